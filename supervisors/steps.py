"""What a state machine's handler wants to happen: a Step, built in one expression, and the events that time brings.

return goto(St.GREETING).after(30).timer("whole call", 600).reply("picked up")
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Never, Self, TypeVar

from supervisors.exits import Exit, Normal
from supervisors.spec import INFINITY

S = TypeVar("S", bound=Enum)
S_co = TypeVar("S_co", bound=Enum, covariant=True)


@dataclass(frozen=True, slots=True)
class StateTimeout:
    """The time given by `.after(seconds)` has passed in the state that set it."""


@dataclass(frozen=True, slots=True)
class EventTimeout:
    """The time given by `.idle(seconds)` has passed without an event."""


@dataclass(frozen=True, slots=True)
class TimerRang:
    """The timer `.timer(name, seconds)` has run out."""

    name: str


@dataclass(frozen=True, slots=True)
class At:
    """A moment, wherever a number of seconds may be given: `when`, in seconds on the clock of the event loop."""

    when: float


Timing = StateTimeout | EventTimeout | TimerRang


class Kind(Enum):
    """What becomes of the state."""

    STAY = "stay"
    REPEAT = "stay, and run the enter handler again"
    GOTO = "goto"
    POSTPONE = "postpone"
    STOP = "stop"


@dataclass(slots=True)
class Step(Generic[S_co]):
    """What a handler wants to happen, all of it. Made by `stay`, `repeat`, `goto`, `postpone`, `stop`."""

    kind: Kind
    target: S_co | None = None
    reason: Exit = field(default_factory=Normal)
    times: dict[Timing, float | At] = field(default_factory=dict)
    injected: list[object] = field(default_factory=list)
    answer: object = None

    def after(self, seconds: float | At) -> Self:
        """Set or reset the state timeout: StateTimeout comes in `seconds`, unless the state changes first.

        Here as in `idle` and `timer`: INFINITY cancels; 0 comes after what is injected, before what is in the mailbox.
        """
        self.times[StateTimeout()] = seconds
        return self

    def idle(self, seconds: float | At) -> Self:
        """Set the event timeout: EventTimeout comes in `seconds`, unless any other event comes first."""
        self.times[EventTimeout()] = seconds
        return self

    def timer(self, name: str, seconds: float | At) -> Self:
        """Set or reset a named timer: TimerRang(name) comes in `seconds`, in whatever state."""
        self.times[TimerRang(name)] = seconds
        return self

    def cancel(self, name: str) -> Self:
        """Cancel a named timer; one that is not set is fine."""
        return self.timer(name, INFINITY)

    def next(self, event: object) -> Self:
        """Inject `event`: it is handled next, in the order injected, before anything that waits."""
        self.injected.append(event)
        return self

    def reply(self, answer: object) -> Self:
        """Answer the ask that brought this event: now, or with a future when that is done; without it with None."""
        self.answer = answer
        return self


def stay() -> Step[Never]:
    """Stay in this state."""
    return Step(Kind.STAY)


def repeat() -> Step[Never]:
    """Stay in this state and run its enter handler again."""
    return Step(Kind.REPEAT)


def goto(state: S) -> Step[S]:
    """Change to `state`. Going to the present one is staying."""
    return Step(Kind.GOTO, state)


def postpone() -> Step[Never]:
    """Stay, and have this event again after the next change of state."""
    return Step(Kind.POSTPONE)


def stop(reason: Exit = Normal()) -> Step[Never]:  # noqa: B008 - a frozen value
    """End the machine; its answer still goes out."""
    return Step(Kind.STOP, reason=reason)
