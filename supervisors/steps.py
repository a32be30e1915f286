"""What a state machine's handler wants to happen: a Step, built in one expression.

return goto(St.GREETING).after(30).timer("whole call", 600).reply("picked up")
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Never, Self, TypeVar

from supervisors.exits import Exit, Normal

S = TypeVar("S", bound=Enum)
S_co = TypeVar("S_co", bound=Enum, covariant=True)


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
    after_s: float | None = None
    timers: dict[str, float | None] = field(default_factory=dict)
    injected: list[object] = field(default_factory=list)
    answer: object = None

    def after(self, seconds: float) -> Self:
        """Set the state timeout: StateTimeout comes in `seconds`, unless the state changes first."""
        self.after_s = seconds
        return self

    def timer(self, name: str, seconds: float) -> Self:
        """Set or reset a named timer: TimerRang(name) comes in `seconds`, in whatever state."""
        self.timers[name] = seconds
        return self

    def cancel(self, name: str) -> Self:
        """Cancel a named timer; one that is not set is fine."""
        self.timers[name] = None
        return self

    def next(self, event: object) -> Self:
        """Inject `event`: it is handled next, in the order injected, before anything that waits."""
        self.injected.append(event)
        return self

    def reply(self, answer: object) -> Self:
        """Answer the ask that brought this event; without it the answer is None."""
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
