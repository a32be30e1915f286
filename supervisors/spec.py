"""What a child is and what happens when it ends: data, checked when it is written down.

The words and the defaults are OTP's child spec (supervisor.erl, check_childspec): permanent, 5 s to stop, not
significant. `modules` and `type` are gone: a child is a supervisor when its start returns one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import UnionType
from typing import Final, Generic, Protocol, TypeVar

from supervisors.errors import BadSpec
from supervisors.exits import Exit


class Startable(Protocol):
    """What a start makes: an actor, as far as a spec must know it."""

    def init(self) -> object:
        """Begin."""

    def terminate(self, reason: Exit) -> object:
        """End."""


A_co = TypeVar("A_co", bound=Startable, covariant=True)

INFINITY: Final = math.inf
"""As a shutdown: wait for as long as it takes."""
BRUTAL_KILL: Final = 0.0
"""As a shutdown: killed at once; `terminate` is not called."""


class Restart(Enum):
    """When a child comes back."""

    PERMANENT = "always"
    TRANSIENT = "after an abnormal end"
    TEMPORARY = "never"


class Strategy(Enum):
    """Who is restarted when one child ends."""

    ONE_FOR_ONE = "that child"
    ONE_FOR_ALL = "all children"
    REST_FOR_ONE = "that child and those started after it"


class AutoShutdown(Enum):
    """Whether a supervisor ends when significant children end by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "with the first significant child"
    ALL_SIGNIFICANT = "with the last significant child"


@dataclass(frozen=True, slots=True)
class Child(Generic[A_co]):
    """One child: how to start it, what to call it, when it comes back, how it is stopped.

    `start`: a class or function that makes a fresh actor for each life. `id`: its name among its siblings.
    `shutdown`: seconds it gets to stop, `INFINITY` or `BRUTAL_KILL`. `start_timeout_s`: seconds its `init` gets.
    `significant`: see `AutoShutdown`. Raises BadSpec.
    """

    start: Callable[[], A_co]
    id: str = field(kw_only=True)
    restart: Restart = field(default=Restart.PERMANENT, kw_only=True)
    shutdown: float = field(default=5.0, kw_only=True)
    significant: bool = field(default=False, kw_only=True)
    start_timeout_s: float = field(default=30.0, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.start):
            raise BadSpec(f"start must be callable, not {self.start!r}")
        if not is_a(self.id, str) or not self.id or "/" in self.id:
            raise BadSpec(f"an id is a string that is not empty and has no '/': {self.id!r}")
        if not is_a(self.restart, Restart):
            raise BadSpec(f"{self.id}: restart must be a Restart, not {self.restart!r}")
        if not (is_a(self.shutdown, int | float) and self.shutdown >= 0):
            raise BadSpec(f"{self.id}: shutdown must be seconds, INFINITY or BRUTAL_KILL, not {self.shutdown!r}")
        if not (is_a(self.start_timeout_s, int | float) and self.start_timeout_s > 0):
            raise BadSpec(f"{self.id}: start_timeout_s must be above 0, not {self.start_timeout_s!r}")
        if not is_a(self.significant, bool):
            raise BadSpec(f"{self.id}: significant must be True or False, not {self.significant!r}")
        if self.significant and self.restart is Restart.PERMANENT:
            raise BadSpec(f"{self.id}: a permanent child never ends, so it cannot be significant")


def is_a(value: object, kind: type | UnionType) -> bool:
    """Return `isinstance(value, kind)`, for those who run no type checker; it would call the plain form redundant."""
    return isinstance(value, kind)
