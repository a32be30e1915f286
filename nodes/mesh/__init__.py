"""Between processes: asking and telling over ZeroMQ, on one machine and, encrypted, between machines.

`mesh` is a process's end of it; `far` says when somebody has gone. What it does not: know which processes there are
(`nodes.links.roster`, `nodes.links.members`), or anything of NATS (`nodes.bus`). Import by module.
"""
