"""Rehearsal: callees who are not people. Real SIP, real RTP, a voice of their own, and a manner.

personas.py   the manners, as a table
voices.py     what they say, spoken by flite and as the telephone carries it
earpiece.py   their RTP: speaks frame by frame, notes when the bot's voice comes and where it has gaps
callee.py     one callee in one call: rings, answers, listens, answers the script's questions
agent.py      an agent at the desk, through the WebSocket of its page
exchange.py   the SIP socket they share
process.py    all of it in a process of its own
far_end.py    that process on a machine of its own

And machines to rehearse with, made of namespaces:

host_init.py  the first process of a test host: starts commands there
remote.py     those commands, as we see them
ground.py     the router between them, where they all begin: partitions, bad networks
relay.py      a bad network: what it hands on comes late, or never
hosts.py      the hosts: paused, without power, with a full disk
hosted.py     what runs on them: nodes, a nats-server, callees; hosted_cluster.py: several as one cluster
stepped/      a wall clock of their own, for what is written in Python
faults.py     what may happen to one, as data
"""

__all__: list[str] = []
