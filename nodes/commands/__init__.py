"""The commands: one module each, named like the command, with `describe(parser)` and `run(args) -> exit status`.

A command imports what it needs when it runs, so that `ringmaster --help` is instant and `call` needs no engine.
"""

COMMANDS: dict[str, str] = {
    "demo": "place real calls on this machine, from nothing to the report",
    "up": "run a node in the foreground, until Ctrl-C",
    "call": "place one call and follow it live",
    "campaign": "check, rehearse, start and stop campaigns",
    "dnc": "who must not be called: add, remove, import, export, check",
    "forget": "a person who wants to be: out of everything that any node keeps, with a proof",
    "backup": "what a node and its cluster know, into a directory, while they run",
    "restore": "a backup onto a machine that has nothing yet",
    "script": "check a script, or talk to it in the terminal",
    "report": "what the calls came to, from the recorder's database",
    "recording": "a call's recording as a WAV file, from this disk or the store, opened with our keys",
    "tree": "the supervision tree of the running node, live",
    "logs": "what all nodes say of a call, or with a word in it",
    "cluster": "several machines as one: make a cluster, join, see who is in it",
    "config": "settings that change while nodes run: check, apply, go back, see who changed what",
    "speech": "which recogniser hears whom, changed while calls are up; and whether one keeps its contract",
    "user": "who may sign in at the desk or ask its API, and as what",
    "doctor": "what this machine lacks, and how to mend it",
    "bench": "measure the promises, each beside its floor or peer",
    "node": "the processes of the running node, and how each is",
}

__all__ = ["COMMANDS"]
