"""What an operator may look at inside a process: its supervision tree as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One child, `depth` levels below the root (OTP's which_children, with how it fares). `last`: its last end."""

    depth: int
    id: str
    kind: str
    state: str
    restarts: int
    waiting: int
    """Messages in its mailbox."""
    uptime_s: float
    last: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The rows from the root down, a parent before its children."""

    rows: tuple[TreeRow, ...]


@dataclass(frozen=True, slots=True)
class GetTree:
    """Ask a process for its tree. A process without actors of its own does not serve it."""

    Reply: ClassVar[type[Tree]] = Tree


INSPECTION_MESSAGES: tuple[type, ...] = (Tree, GetTree)

__all__ = ["INSPECTION_MESSAGES", "GetTree", "Tree", "TreeRow"]
