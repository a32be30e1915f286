"""Lives of actors, as other processes watch them: how each ends is told once, however often it is asked.

    watcher   Watch(actor)      ->   watched   answered at once: the present life has this number, or there is none
    watcher   AwaitEnd(number)  ->   watched   answered when that life ends, or after a while; then asked again

A link is two watches: the watcher gives the number under which its own life can be asked about from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class End(StrEnum):
    """How a life ended: the kernel's exit reasons."""

    NONE = "none"
    """It lives."""
    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    CRASH = "crash"
    NO_PROC = "no_proc"
    NO_CONNECTION = "no_connection"


@dataclass(frozen=True, slots=True)
class Fate:
    """What there is to say of a life. `detail`: by what it was shut down, or what it raised, as text."""

    number: int
    """Of the life, in the process that has it; 0 when there is none."""
    end: End = End.NONE
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """Begin to watch the present life of an actor: `no_proc` when there is none."""

    Reply: ClassVar[type[Fate]] = Fate
    actor: str
    """The name that it has registered, else its path in the supervision tree."""
    back: int = 0
    """For a link: the number of the watcher's own life; 0: none."""


@dataclass(frozen=True, slots=True)
class AwaitEnd:
    """Answer when this life ends. A number that has been forgotten is `no_connection`."""

    Reply: ClassVar[type[Fate]] = Fate
    number: int


LIFE_MESSAGES: tuple[type, ...] = (Fate, Watch, AwaitEnd)
"""The kinds of this page that an envelope may carry."""

__all__ = ["AwaitEnd", "End", "LIFE_MESSAGES", "Fate", "Watch"]
