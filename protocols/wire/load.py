"""How much work there is: what engines and media tell the edges twice a second, and what an edge then gives up.

An edge is the authority on how many calls it takes, and learns it from those who carry them. Times are seconds, of the
stretch since the sender's last word; a word that is lost is made up for by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

NOT_NOW: Final = frozenset(("draining", "node_full", "not_active", "do_not_call_unknown", "spool_full"))
"""Reasons for which an edge refuses a call that say nothing about the call: the same order may be taken later."""


class GivesUp(IntEnum):
    """What an edge that fills up gives up, told as a figure of its status; each with all before it."""

    NOTHING = 0
    TRANSCRIPTS = 1
    """What is said word by word: live captions, and the stages of a turn. What it comes to is told."""
    RECORDINGS = 2
    """Of calls that are answered from now on."""
    CALLS = 3
    """New ones."""


@dataclass(frozen=True, slots=True)
class SpeechLoad:
    """From a speech process: how long what callers said waits for it, and how hard it works."""

    age_s: float
    """The oldest audio that was due to be decoded, in this stretch: when it was done, or how old it is by now."""
    usual_age_s: float
    """The same of nine in ten."""
    audio_s: float
    """Audio decoded."""
    decode_s: float
    """How long that took, as one waits for it."""
    decode_cpu_s: float
    """How long that took of a core. Less than `decode_s` by as much as others had the cores."""


@dataclass(frozen=True, slots=True)
class MediaLoad:
    """From a media process: how late its beat is, and what it has left."""

    late_s: float
    """Of a hundred packets, the second latest, in this stretch."""
    busy: float
    """Its thread's share of a core."""
    channels: int
    """It can have so many open."""


LOAD_MESSAGES: tuple[type, ...] = (SpeechLoad, MediaLoad)
"""The kinds of this page that an envelope may carry."""

__all__ = ["GivesUp", "LOAD_MESSAGES", "MediaLoad", "NOT_NOW", "SpeechLoad"]
