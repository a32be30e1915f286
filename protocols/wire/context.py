"""What an agent is told when a caller is handed over: four blocks, the names of which are the product's contract.

    session_meta       which call this is
    dialog_history     the last five turns, the oldest first
    user_profile       what is known of the caller: the call's slots
    handover_context   why they are handed over, and how urgent it is

What it does not: travel (a message of `messages.py` carries it) or decide anything (`handover` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocols.wire.ids import CallId, CampaignId, ScriptHash

TURNS: Final = 5
"""Turns that an agent reads in the two seconds before they speak."""


class Speaker(StrEnum):
    """Whose turn it was."""

    CALLER = "caller"
    BOT = "bot"


class Urgency(StrEnum):
    """How soon somebody should answer; a queue is served in this order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """Which call this is. `answered_wall`: ISO 8601 with offset."""

    call_id: CallId
    campaign_id: CampaignId
    script: ScriptHash
    state: str
    """The script's state that the call is in."""
    answered_wall: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of the two said."""

    speaker: Speaker
    words: str
    intent: str = ""


@dataclass(frozen=True, slots=True)
class UserProfile:
    """What is known of the caller: contact columns and filled slots, as written text."""

    slots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandoverReason:
    """Why a human is wanted, and which."""

    reason: str
    urgency: Urgency = Urgency.NORMAL
    skill: str = ""


@dataclass(frozen=True, slots=True)
class HandoverContext:
    """The four blocks."""

    session_meta: SessionMeta
    dialog_history: tuple[Turn, ...]
    user_profile: UserProfile
    handover_context: HandoverReason


def last_turns(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Return the turns that go into a context.

    >>> [turn.words for turn in last_turns([Turn(Speaker.CALLER, word) for word in "abcdefg"])]
    ['c', 'd', 'e', 'f', 'g']
    """
    return tuple(turns[-TURNS:])


__all__ = [
    "HandoverContext", "SessionMeta", "Turn", "UserProfile", "HandoverReason", "Speaker", "Urgency",
    "TURNS", "last_turns",
]  # fmt: skip
