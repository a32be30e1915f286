"""The log of a machine stays there; whoever looks for something in it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId

MOST_LINES: Final = 1000
MOST_BYTES: Final = 200_000
"""Of one answer: below what a message may have."""


@dataclass(frozen=True, slots=True)
class LogLines:
    """The newest lines that were found, oldest first, each a JSON object. `n_found`: all that were.

    `since`: the moment of the oldest line that is kept at all; empty where none is.
    """

    lines: tuple[str, ...]
    n_found: int
    since: str = ""


@dataclass(frozen=True, slots=True)
class FindLogLines:
    """Look into your machine's log for a call, or for a word (its letters' case does not count), or for either.

    `since`: from this moment on, as lines have it (`2026-03-03T10:00:00.000000Z`). `most`: so many lines, up to
    `MOST_LINES`.
    """

    Reply: ClassVar[type[LogLines]] = LogLines
    call_id: CallId | None = None
    word: str = ""
    since: str = ""
    most: int = MOST_LINES


LOG_MESSAGES: Final = (LogLines, FindLogLines)

__all__ = ["LOG_MESSAGES", "MOST_BYTES", "MOST_LINES", "FindLogLines", "LogLines"]
