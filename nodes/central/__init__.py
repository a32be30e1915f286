"""Campaigns: who is called when, and what has come of it.

Everything that decides is pure: `contacts` and `imports` read a list, `may_call` is the one predicate, `campaign` the
fold that is central's memory, `agenda`, `pacing`, `scheduler`, `admission` and `dialler` find the next dial, `outcomes`
reads what became of the last ones. `memory`, `leader`, `requests` and `process` act on it.
"""

from nodes.central.may_call import Callee, Pass, Refused, may_call

__all__ = ["Callee", "Pass", "Refused", "may_call"]
