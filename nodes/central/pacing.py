"""How many calls to place now: what decides is here, what acts is `dialler.py`.

Progressive and predictive pacing would look at free agents and at how long people take to answer; this is the plain
rule, a campaign's own number of calls at one time.
"""

from __future__ import annotations

from protocols.wire.campaigns import Plan


def calls_to_place(plan: Plan, n_in_flight: int) -> int:
    """Return how many calls a campaign may begin now, with `n_in_flight` attempts between dial and end.

    >>> calls_to_place(Plan(concurrency=10), 7), calls_to_place(Plan(concurrency=10), 12)
    (3, 0)
    """
    return max(0, plan.concurrency - n_in_flight)


__all__ = ["calls_to_place"]
