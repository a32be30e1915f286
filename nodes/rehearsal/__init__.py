"""Rehearsal: callees who are not people. Real SIP, real RTP, a voice of their own, and a manner.

personas.py   the manners, as a table
voices.py     what they say, spoken by flite and as the telephone carries it
earpiece.py   their RTP: speaks frame by frame, notes when the bot's voice comes and where it has gaps
callee.py     one callee in one call: rings, answers, listens, answers the script's questions
agent.py      an agent at the desk, through the WebSocket of its page
exchange.py   the SIP socket they share
process.py    all of it in a process of its own
"""

__all__: list[str] = []
