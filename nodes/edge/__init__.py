"""The edge: the brain of a call. SIP signalling, call actors, conversations; pure control, never audio, never blocking.

process.py   one edge process: active, or a spare that keeps the records of the active one
trunk.py     the SIP socket: which leg a datagram belongs to
leg.py       one SIP leg as an actor around `protocols.sip.Uac`
browser.py   a callee at a browser: the same leg, through a desk
call.py      one call as an actor: it begins, goes on after any death, and ends
placing.py   the way to a callee
will.py      what is done for a call that nobody can go on with
bot.py       machine detection, floor and conversation, and what they ask of media and speech
ears.py      the call's side of speech: which engine hears it, prompts by hash
line.py      the call's side of media: the wanted state of its channel
record.py    everything needed to go on with a call, and who keeps it
diary.py     the call's events
handover.py  the way to an agent, carried out; seats.py: the agent's channel; briefing.py: what the agent is told
views.py     the calls as everybody may see them
fetch.py     business APIs: HTTP, JSON, time-out, breaker
"""

__all__: list[str] = []
