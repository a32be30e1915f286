"""What supervision tells the world: seven events, one hook.

Logs, metrics and tests all hang from the hook given to `running(tree, hook=...)`. It is called inside the
kernel: it must be quick and must not ask. An event is plain data; its `str` is the log line, and
`report` is what OTP would have logged of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from reprlib import Repr

from supervisors.exits import Crash, Exit


# These two are made at every start and every end, and not frozen: making a frozen one costs 0.2 us more, which would be
# a fifth of stopping an idle actor.
@dataclass(slots=True, unsafe_hash=True)
class ChildStarted:
    """The child at `path` is up; `restarts` lives came before."""

    path: str
    restarts: int


@dataclass(slots=True, unsafe_hash=True)
class ChildExited:
    """The child at `path` ended, in or after the handler named `during` when it crashed.

    `was_stopped`: it was its supervisor that ended it, or waited for its end already.
    """

    path: str
    reason: Exit
    during: str = ""
    was_stopped: bool = False


@dataclass(frozen=True, slots=True)
class BackingOff:
    """The child at `path` will be started in `delay_s` seconds."""

    path: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class GaveUp:
    """The supervisor at `path` has seen more than `intensity` restarts in `period_s` seconds and ends.

    `child`: the id of the one that would have been the next.
    """

    path: str
    intensity: int
    period_s: float
    child: str


@dataclass(frozen=True, slots=True)
class WouldNotStop:
    """`n_tasks` tasks of the child at `path` outlived every rung of the kill ladder and were abandoned."""

    path: str
    n_tasks: int


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """One callback has held the event loop for `seconds`, and holds it still (`watchdog.py`).

    `path`: of the actor whose code it is; the name of the task, or nothing, when it is no actor's. `during`: the
    handler. `stack`: its innermost calls, `file:line in function`, the last one last.
    """

    path: str
    during: str
    seconds: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoopFreed:
    """What blocked the event loop, at `path`, has let go of it after `seconds`."""

    path: str
    seconds: float


Event = ChildStarted | ChildExited | BackingOff | GaveUp | WouldNotStop | LoopBlocked | LoopFreed
Hook = Callable[[Event], None]


def report(event: Event, *, lines: bool = False, depth: int = 10, limit: int = 1000) -> str:
    """Return what OTP's supervisor report says of `event` (format_log): supervisor, context, reason and offender.

    In one line, or with `lines` one for each field. `depth`: how many levels and elements are shown of what an error
    was raised with; 0: none, for that may be what a caller has said. `limit`: characters in all; the reason gives way.

    >>> report(ChildExited("links/zmq", Crash(ValueError("no", [1, 2, 3])), "read"), depth=2)
    "supervisor: links; context: child_terminated; reason: ValueError('no', [1, 2, ...]); offender: zmq; during: read"
    """
    told = _fields(event, depth)
    over = len(_text(told, lines)) - limit
    if over > 0 and "reason" in told:
        told["reason"] = _cut(told["reason"], len(told["reason"]) - over)
    return _cut(_text(told, lines), limit)


def _fields(event: Event, depth: int) -> dict[str, str]:
    head, _, id = event.path.rpartition("/")
    above, id = (head or "/", id) if id else ("", "/")
    match event:
        case ChildStarted(restarts=restarts):
            told = {"supervisor": above, "started": id, "restarts": str(restarts)}
        case ChildExited(reason=reason, during=during, was_stopped=was_stopped):
            context = "shutdown" if was_stopped else "child_terminated"
            context = "start_error" if during in ("init", "start") else context
            told = {"context": context, "reason": _reason(reason, depth), "offender": id, "during": during}
            told = {"supervisor": above, **told}
        case GaveUp(intensity=intensity, period_s=period_s, child=child):
            reason_ = f"more than {intensity} restarts in {period_s} s"
            told = {"supervisor": event.path, "context": "shutdown", "reason": reason_, "offender": child}
        case WouldNotStop(n_tasks=n):
            reason_ = f"{n} tasks would not stop"
            told = {"supervisor": above, "context": "shutdown_error", "reason": reason_, "offender": id}
        case _:  # OTP has no report of it
            rest = {field.name: str(getattr(event, field.name)) for field in fields(event)}
            told = {"event": type(event).__name__, **rest}
    return {name: text for name, text in told.items() if text}


def _reason(reason: Exit, depth: int) -> str:
    if not isinstance(reason, Crash):
        return repr(reason)
    short = Repr()
    short.maxlevel = short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = depth
    short.maxdeque = short.maxarray = depth
    short.maxstring = short.maxlong = short.maxother = sys.maxsize  # the size is limited as a whole
    raised_with = short.repr(list(reason.error.args))[1:-1]
    return " ".join(f"{type(reason.error).__name__}({raised_with})".split("\n"))


def _text(told: dict[str, str], lines: bool) -> str:
    return ("\n" if lines else "; ").join(f"{name}: {text}" for name, text in told.items())


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."[: max(limit, 0)]
