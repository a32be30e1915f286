"""The tree as data: what OTP's which_children and count_children tell, for people, metrics and tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from supervisors.cell import Cell, Life, LifePhase, Repair
from supervisors.exits import Crash
from supervisors.intensity import RestartWindow


@dataclass(frozen=True, slots=True)
class Counts:
    """OTP's count_children: known, running, and of the known those that are supervisors or not."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A crash as it is remembered: what was raised, as text, and the handler it was raised in; not what that was given.

    Text, because a traceback would keep the actor, and with it a temporary child's arguments.
    """

    error: str
    during: str


@dataclass(frozen=True, slots=True)
class Census:
    """One child: where, what, how it fares.

    `uptime_s` is 0 when it is not up. `last` is how its last life ended, `failure` its last crash or failed start.
    `handled` counts messages over all its lives. `restarts_in_window`: of a supervisor, what its intensity counts now.
    """

    path: str
    kind: str
    state: str
    restarts: int
    n_waiting: int
    uptime_s: float
    last: str
    handled: int
    restarts_in_window: int
    failure: Failure | None
    children: tuple[Census, ...] = ()

    def __str__(self) -> str:
        """The tree as text, one line a child."""
        return "\n".join(self._lines(0))

    def _lines(self, depth: int) -> list[str]:
        told = f"{'  ' * depth}{self.path.rsplit('/', 1)[-1] or '/'} {self.kind} {self.state}"
        told += f" up {self.uptime_s:.0f} s, {self.restarts} restarts, {self.n_waiting} waiting"
        return [told] + [line for child in self.children for line in child._lines(depth + 1)]


def row(ref: Cell) -> Census:
    """Return one child as data, without its children."""
    box, up, now = ref._box, ref._phase is LifePhase.UP, ref._system.loop.time()
    window = getattr(ref._actor, "_window", None)
    return Census(
        path=ref.path,
        kind=kind.__name__ if (kind := _kind(ref)) is not None else "",
        state=state(ref),
        restarts=max(ref._lives - 1, 0),
        n_waiting=len(box.user) if box is not None else 0,
        uptime_s=now - ref._since if up else 0.0,
        last=_last(ref),
        handled=ref._handled,
        restarts_in_window=window.count(now) if isinstance(window, RestartWindow) else 0,
        failure=None if ref._failure is None else Failure(*ref._failure),
    )


def _last(ref: Cell) -> str:
    if isinstance(ref._last, Crash) and ref._failure is not None:
        return ref._failure[0]  # as its actor wants it told
    return "" if ref._last is None else str(ref._last)


def _kind(ref: Cell) -> type[Life] | None:
    """Return the class of the present life, or else of the last."""
    return getattr(ref, "_kind", None) if ref._actor is None else type(ref._actor)


def state(ref: Cell) -> str:
    """Return `running`, `starting`, `stopping`, `restarting` (being brought back, or waiting for it) or `stopped`."""
    match ref._phase:
        case LifePhase.STARTING | LifePhase.DOWN if isinstance(ref._intent, Repair):
            return "restarting"
        case LifePhase.UP:
            return "running"
        case LifePhase.STARTING:
            return "starting"
        case LifePhase.STOPPING:
            return "stopping"
        case LifePhase.DOWN:
            return "stopped"


def tree(ref: Cell) -> Census:
    """Return a child with everything below it."""
    here = row(ref)
    below = tuple(tree(child) for child in (ref._children or {}).values())
    return here if not below else replace(here, children=below)


def count(refs: Iterable[Cell]) -> Counts:
    """Return how many of `refs` there are, run, are supervisors (they have an address with children) and are not."""
    refs = list(refs)
    n_supervisors = sum(ref._children is not None for ref in refs)
    return Counts(len(refs), sum(ref._phase is LifePhase.UP for ref in refs), n_supervisors, len(refs) - n_supervisors)
