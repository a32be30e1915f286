"""What the edges of two machines say to each other about who has a call, and what an edge has media do in doubt.

The records themselves travel as to a spare of the same machine (`heirs`); who may say what, and what it means, is
`protocols.takeover`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId, ChannelId

MAX_ASKED: Final = 500
"""Calls in one question."""


@dataclass(frozen=True, slots=True)
class Had:
    """Of the calls that were asked about: those that the heir has taken, and those that it has closed as unanswered."""

    taken: tuple[CallId, ...] = ()
    closed: tuple[CallId, ...] = ()


@dataclass(frozen=True, slots=True)
class WhoHas:
    """I live; and which of these calls of mine have you? The numbers are the epoch and the revision of my records.

    Whoever answers has given up its copies of those that it has not. Refused: `not_active`, `unsettled`.
    """

    Reply: ClassVar[type[Had]] = Had
    calls: dict[CallId, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Beware:
    """These channels may be another machine's meanwhile: while their far ends are not heard, send them nothing.

    `is_wary` false: they are this machine's, for certain.
    """

    channels: tuple[ChannelId, ...]
    is_wary: bool


TAKEOVER_MESSAGES: Final[tuple[type, ...]] = (Had, WhoHas, Beware)
"""The kinds of this page that an envelope may carry."""

__all__ = ["MAX_ASKED", "TAKEOVER_MESSAGES", "Beware", "Had", "WhoHas"]
