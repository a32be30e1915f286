"""What is asked after something has died: who has which calls, and which channels. Asked of those who own them.

An answer is true of the moment in which it is given, and of the calls and channels that were asked about, no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId, ChannelId

MAX_ASKED: Final = 500
"""Ids in one question; who wants to know more asks again."""


@dataclass(frozen=True, slots=True)
class CallsFound:
    """Of the calls that were asked about: those that the edge has, and those that have ended there not long ago."""

    held: tuple[CallId, ...]
    over: tuple[CallId, ...]


@dataclass(frozen=True, slots=True)
class FindCalls:
    """Which of these calls has this edge?

    Refused: `not_active` by a spare, `unsettled` until a successor has been given what its fellow heirs alone knew of.
    """

    Reply: ClassVar[type[CallsFound]] = CallsFound
    calls: tuple[CallId, ...]
    token: int = 0
    """Of the lease of the central that asks: no order of an earlier one is taken from now on. 0: it is no central."""


@dataclass(frozen=True, slots=True)
class ChannelsOwned:
    """Of the channels that were asked about: those that belong to a call of this edge."""

    channels: tuple[ChannelId, ...]


@dataclass(frozen=True, slots=True)
class FindChannels:
    """Which of these channels are this edge's? Refused: as `FindCalls`.

    A media process asks with all that it has of this edge, and by that the edge learns what it lacks, too: a channel
    that is not among them, or of a `revision` that is not the last, is told to it again.
    """

    Reply: ClassVar[type[ChannelsOwned]] = ChannelsOwned
    channels: dict[ChannelId, int]
    """By name, the revision of the wanted state that the asker was last told."""


RECONCILE_MESSAGES: tuple[type, ...] = (CallsFound, FindCalls, ChannelsOwned, FindChannels)
"""The kinds of this page that an envelope may carry."""

__all__ = ["MAX_ASKED", "RECONCILE_MESSAGES", "CallsFound", "ChannelsOwned", "FindCalls", "FindChannels"]
