"""What an operator may look at inside a process: its supervision tree as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something ended that should have gone on.

    `error`: what was raised, as text, or how a process ended. `message`: the handler that raised it, never what it was
    given; empty for a process. `lines`: the last a process wrote to standard error.
    """

    error: str
    message: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One child, `depth` levels below the root: OTP's which_children, with how it fares."""

    depth: int
    id: str
    kind: str
    state: str
    restarts: int
    """How often it has come back since its supervisor knows it."""
    restarts_in_window: int
    """Of a supervisor, and of a process: how many restarts the intensity counts at the moment."""
    waiting: int
    """Messages in its mailbox."""
    handled: int
    """Messages handled, over all its lives."""
    handled_per_s: float
    """The same per second, over the time that the ask gave."""
    uptime_s: float
    """How long this life has been up; 0 when it is not."""
    last: str
    """How its last life ended, whatever the reason; empty when this is the first."""
    failure: Failure | None = None
    """Its last failure, None when there was none."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The rows from the root down, a parent before its children."""

    rows: tuple[TreeRow, ...]


@dataclass(frozen=True, slots=True)
class GetTree:
    """Ask a process for its tree, with rates over `over_s` seconds: as long as the answer then takes; 0: no rates.

    A process without actors of its own does not serve it.
    """

    over_s: float = 0.0

    Reply: ClassVar[type[Tree]] = Tree


INSPECTION_MESSAGES: tuple[type, ...] = (Tree, GetTree)

__all__ = ["INSPECTION_MESSAGES", "Failure", "GetTree", "Tree", "TreeRow"]
