"""Asking the system for the beat's priority: one thread that is late is heard by every caller.

What it does: raises this thread to SCHED_RR 5, and makes the collector of cyclic garbage rare. What it does not: raise
threads started later (`SCHED_RESET_ON_FORK`): the recordings' thread stays normal.

Measured: the class, at a load of 27 with 200 calls, takes p99 lateness from 4.5 to 1.1 ms. The collector, at 300 calls,
stopped the beat for 3 to 15 ms every second, to look through frames that are never part of a cycle.
"""

from __future__ import annotations

import gc
import os
from typing import Final

PRIORITY: Final = 5
"""Above every normal process, below the kernel's own helpers at 50."""
_GARBAGE: Final = 100_000
"""Objects made and not freed before the collector looks: 30 MB of cycles at most. Nothing in a tick is kept."""


def claim() -> bool:
    """Raise the calling thread; say whether it was allowed (`LimitRTPRIO`, CAP_SYS_NICE)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
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
