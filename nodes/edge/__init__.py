"""The edge: the brain of a call. SIP signalling, call actors, conversations; pure control, never audio, never blocking.

process.py   one edge process: active, or a spare that keeps the records of the active one
calls.py     its calls: begun, gone on with, kept by heirs (heirs.py) and on disk (disk.py)
requests.py  what other processes ask of it
trunk.py     the SIP socket: which leg a datagram belongs to
leg.py       one SIP leg as an actor around `protocols.sip.Uac`
browser.py   a callee at a browser: the same leg, through a desk
call.py      one call as an actor: it steps `nodes.call` and carries out what that wants
record_store.py  the record of one call, which outlives its actors; will.py: what is done when nobody can go on with it
placing.py   the way to a callee
ears.py      the call's side of speech: which engine hears it, prompts by hash
line.py      the call's side of media: the wanted state of its channel; desks.py: of the agents' desks
diary.py     the call's events; views.py: the calls as everybody may see them
fetch.py     business APIs: HTTP, JSON, time-out, breaker
"""

__all__: list[str] = []
