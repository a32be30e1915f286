"""The one shape of a protocol machine: `step(given, now)` returns effects, `deadline` says when to step again.

A machine is a plain object with state. Whoever drives it (`nodes/edge/leg.py`, for one, or a test) does three things:

1. something arrived (bytes, a command): `effects = machine.step(it, now)`
2. `now >= machine.deadline`: `effects = machine.step(Expired(), now)`
3. after each step: carry out the effects in order, then look at `deadline` again.

Effects are returned and never queued inside, so there is no second call to forget. `now` is seconds on the monotonic
clock, and never runs backwards; stepping early with `Expired` changes nothing. A machine that has come to its end has
no deadline and answers every step with what is still due to the far side, or with nothing.

Bytes from the network are an input like any other: they may be wrong, and a wrong input yields an effect (an answer,
a notice) or nothing, never an exception. `LocalProtocolError` is raised for our own misuse only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

Address: TypeAlias = tuple[str, int]
"""Where a datagram comes from or goes to: numeric host (or a name, for a resolving transport) and port."""

E = TypeVar("E")
Ev = TypeVar("Ev")
In_contra = TypeVar("In_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these bytes, as one datagram, to `to`; None means the machine's one peer."""

    data: bytes
    to: Address | None = None


@dataclass(frozen=True, slots=True)
class Notify(Generic[E]):
    """Tell the owner what has happened."""

    event: E


@dataclass(frozen=True, slots=True)
class Expired:
    """The input that says: your deadline has passed."""


Effect: TypeAlias = Transmit | Notify[E]


class Machine(Protocol[In_contra, Ev]):
    """What every machine of this room looks like to the one who drives it."""

    @property
    def deadline(self) -> float | None:
        """The instant at which `step(Expired(), now)` is wanted, on the clock of `now`; None while nothing is due."""
        ...

    def step(self, given: In_contra, now: float) -> list[Effect[Ev]]:
        """Take one input at `now` (monotonic seconds) and return what is to be done about it, in order."""
        ...


def earliest(times: Iterable[float | None]) -> float | None:
    """Return the first of several deadlines, where None is never.

    >>> earliest([3.0, None, 0.0]), earliest([None])
    (0.0, None)
    """
    return min((at for at in times if at is not None), default=None)


__all__ = ["Address", "Effect", "Expired", "Machine", "Notify", "Transmit", "earliest"]
