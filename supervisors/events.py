"""What supervision tells the world: five events, one hook.

Logs, metrics and tests all hang from the hook given to `running(tree, hook=...)`. It is called inside the
kernel: it must be quick and must not ask. An event is plain data; its `str` is the log line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervisors.exits import Exit


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """The child at `path` is up; `restarts` lives came before."""

    path: str
    restarts: int


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The child at `path` ended, in or after the handler named `during` when it crashed."""

    path: str
    reason: Exit
    during: str = ""


@dataclass(frozen=True, slots=True)
class BackingOff:
    """The child at `path` will be started in `delay_s` seconds."""

    path: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The supervisor at `path` has seen more than `intensity` restarts in `period_s` seconds and ends."""

    path: str
    intensity: int
    period_s: float


@dataclass(frozen=True, slots=True)
class WouldNotStop:
    """`n_tasks` tasks of the child at `path` outlived every rung of the kill ladder and were abandoned."""

    path: str
    n_tasks: int


Event = ChildStarted | ChildExited | BackingOff | GaveUp | WouldNotStop
Hook = Callable[[Event], None]
