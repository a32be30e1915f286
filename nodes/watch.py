"""Watching the event loop of every process: how long one callback may hold it, and what the log says of it.

    {"event": "loop.blocked", "path": "calls/7/call", "during": "Call.told", "ms": 253, "stack": ["...:12 in ..."], ...}
    {"event": "loop.freed", "path": "calls/7/call", "ms": 1004, ...}

The first is written while the loop is held, by the watchdog's thread; neither has a number or a word of a caller in it.
A part of the launcher, too: the kernel and the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from supervisors import Event, LoopBlocked, LoopFreed, Watchdog

WARN_S: Final = 0.25
INTERRUPT_S: Final = 1.0
EXIT_S: Final = 1.75
"""The launcher kills a process that has been silent for 2 s at the least (`Program`: `silence_s`, less one beat). By
then its last lines are to say who held its loop."""

Log = Callable[..., object]
"""Writes a line: its event's name, and its fields by keyword. From any thread."""
Over = Callable[[Log], Watchdog]


def over_process(log: Log) -> Watchdog:
    """Return the watchdog of a process that its launcher restarts."""
    return Watchdog(warn_s=WARN_S, interrupt_s=INTERRUPT_S, exit_s=EXIT_S, report=lambda event: _tell(log, event))


def over_launcher(log: Log) -> Watchdog:
    """Return the launcher's own, which ends nothing: calls go on while the launcher is slow, and end with it."""
    return Watchdog(warn_s=WARN_S, report=lambda event: _tell(log, event))


def is_told(event: Event) -> bool:
    """Return whether a watchdog has logged `event` already, before the hook hears of it."""
    return isinstance(event, LoopBlocked | LoopFreed)


def _tell(log: Log, event: LoopBlocked | LoopFreed) -> None:
    fields: dict[str, object] = {"path": event.path, "ms": round(event.seconds * 1000)}
    if isinstance(event, LoopBlocked):
        log("loop.blocked", **fields, during=event.during, stack=list(event.stack))
    else:
        log("loop.freed", **fields)


__all__ = ["EXIT_S", "INTERRUPT_S", "WARN_S", "Log", "Over", "is_told", "over_launcher", "over_process"]
