"""The tree as data: what OTP's which_children and count_children tell, for people, metrics and tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from supervisors.ref import Intent, Phase

if TYPE_CHECKING:
    from supervisors.actor import Actor
    from supervisors.ref import Ref


@dataclass(frozen=True, slots=True)
class Counts:
    """OTP's count_children: known, running, and of the known those that are supervisors or not."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class Census:
    """One child: where, what, how it fares; `uptime_s` is 0 when it is not up; `last` is how its last life ended."""

    path: str
    kind: str
    state: str
    restarts: int
    n_waiting: int
    uptime_s: float
    last: str
    children: tuple[Census, ...] = ()

    def __str__(self) -> str:
        """The tree as text, one line a child."""
        return "\n".join(self._lines(0))

    def _lines(self, depth: int) -> list[str]:
        told = f"{'  ' * depth}{self.path.rsplit('/', 1)[-1] or '/'} {self.kind} {self.state}"
        told += f" up {self.uptime_s:.0f} s, {self.restarts} restarts, {self.n_waiting} waiting"
        return [told] + [line for child in self.children for line in child._lines(depth + 1)]


def row(ref: Ref[Actor]) -> Census:
    """Return one child as data, without its children."""
    box, up = ref._box, ref._phase is Phase.UP
    return Census(
        path=ref.path,
        kind=type(ref._actor).__name__ if ref._actor is not None else "",
        state=state(ref),
        restarts=max(ref._lives - 1, 0),
        n_waiting=len(box.user) if box is not None else 0,
        uptime_s=ref._system.loop.time() - ref._since if up else 0.0,
        last="" if ref._last is None else str(ref._last),
    )


def state(ref: Ref[Actor]) -> str:
    """Return `running`, `starting`, `stopping`, `restarting` (waits to be brought back) or `stopped`."""
    match ref._phase:
        case Phase.UP:
            return "running"
        case Phase.STARTING:
            return "starting"
        case Phase.STOPPING:
            return "stopping"
        case Phase.DOWN:
            return "restarting" if ref._intent is Intent.REPAIR else "stopped"


def tree(ref: Ref[Actor]) -> Census:
    """Return a child with everything below it."""
    here = row(ref)
    below = tuple(tree(child) for child in (ref._children or {}).values())
    return here if not below else _with(here, below)


def _with(here: Census, children: tuple[Census, ...]) -> Census:
    from dataclasses import replace

    return replace(here, children=children)


def count(refs: Iterable[Ref[Actor]]) -> Counts:
    """Return how many of `refs` there are, run, are supervisors (they have an address with children) and are not."""
    refs = list(refs)
    n_supervisors = sum(ref._children is not None for ref in refs)
    return Counts(len(refs), sum(ref._phase is Phase.UP for ref in refs), n_supervisors, len(refs) - n_supervisors)
