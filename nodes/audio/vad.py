"""Speech or not, and where an utterance begins and ends.

What it does: asks WebRTC's detector about each 20 ms frame, behind a gate that no faint noise passes, and turns its
flicker into one beginning and one end. What it does not: decide whose turn it is; the grammar does that, usually long
before the tail given here is over.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt
import webrtcvad

from protocols.pauses import TAIL_S

_RATE_HZ: Final = 8000
_AGGRESSIVENESS: Final = 2
"""Of 0 to 3. Three misses quiet word endings, one takes line noise for speech."""
GATE_DBOV: Final = -50.0
"""Telephone speech lies between -15 and -40 dBov (ITU-T P.56 levels), the noise of a quiet line below -55."""
_FULL_SCALE: Final = 32768.0**2

ONSET_FRAMES, ONSET_VOICED = 5, 3
"""Speech has begun when three of the last five frames were voiced: 60 ms, longer than a click."""
_FRAME_MS: Final = 20
PAUSES_MS: Final = (150, 200, 300, round(TAIL_S * 1000))
"""Pauses that mean something: an engine decides at each of them what was said, or waits for the next
(`nodes.speech.turn`). The last is the whole tail: the pause within a dictated number is shorter."""
DECISIVE_FRAMES: Final = frozenset(-(-ms // _FRAME_MS) for ms in PAUSES_MS)
"""The frames of silence with which they are over: the 8th, 10th, 15th and 40th."""
TAIL_FRAMES: Final = max(DECISIVE_FRAMES)


def levels(frames: npt.NDArray[np.float32]) -> list[float]:
    """Return the level of each row in dBov; digital silence is -100.

    >>> [round(level) for level in levels(np.array([[0, 0], [32767, -32767]], np.float32))]
    [-100, 0]
    """
    power = np.einsum("ij,ij->i", frames, frames) / (frames.shape[1] * _FULL_SCALE)
    in_db: list[float] = (10 * np.log10(np.maximum(power, 1e-10))).tolist()
    return in_db


class VoiceDetector:
    """WebRTC's detector for one channel; it adapts to the channel's noise, so each has its own."""

    __slots__ = ("_vad",)

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(_AGGRESSIVENESS)

    def is_voiced(self, samples: bytes, level_dbov: float) -> bool:
        """Say whether 320 bytes of 16-bit samples (20 ms at 8 kHz), of this level, hold a voice."""
        return level_dbov > GATE_DBOV and bool(self._vad.is_speech(samples, _RATE_HZ))


class Speech(Enum):
    """What a frame has changed."""

    STARTED = "started"
    ENDED = "ended"
    UNCHANGED = "unchanged"


class Hangover:
    """Turns voiced and unvoiced frames into utterances: begins after a little voice, ends after the whole tail."""

    __slots__ = ("_recent", "silent_frames", "speaking")

    def __init__(self) -> None:
        self._recent = 0  # a bit per frame, newest lowest
        self.silent_frames = 0  # since the last voiced one
        self.speaking = False

    def would_begin(self, voiced: bool) -> bool:
        """Say whether an utterance begins if this is the next frame's verdict."""
        return not self.speaking and self._with(voiced).bit_count() >= ONSET_VOICED

    def step(self, voiced: bool) -> Speech:
        """Take the next frame's verdict."""
        begins = self.would_begin(voiced)
        self._recent = self._with(voiced)
        self.silent_frames = 0 if voiced else self.silent_frames + 1
        if begins:
            self.speaking = True
            return Speech.STARTED
        if self.speaking and self.silent_frames >= TAIL_FRAMES:
            self.speaking, self._recent = False, 0
            return Speech.ENDED
        return Speech.UNCHANGED

    def _with(self, voiced: bool) -> int:
        return (self._recent << 1 | voiced) & ((1 << ONSET_FRAMES) - 1)


__all__ = [
    "DECISIVE_FRAMES", "GATE_DBOV", "ONSET_FRAMES", "PAUSES_MS", "TAIL_FRAMES", "Hangover", "Speech", "VoiceDetector",
    "levels",
]  # fmt: skip
