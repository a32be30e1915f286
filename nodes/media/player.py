"""What the callee hears, by the clock: frame k of a play is due at `at_s + k * 0.02`.

What it does: gives the frame of an instant and says when the last one has been heard. What it does not: keep a
position. A successor given the same `Playing` therefore plays on where its predecessor would be, to a frame.
"""

from __future__ import annotations

from typing import Final

from nodes.audio.g711 import FRAME_BYTES
from nodes.media.prompts import Prompts
from protocols.rtp.numbers import frames_since
from protocols.wire.messages import Playing

LAST_WORD_FRAMES: Final = 25
"""Half a second: a word, as prompts are spoken."""

_BYTES_A_SECOND: Final = FRAME_BYTES * 50
"""Of mu-law: 50 frames of 20 ms."""


class Player:
    """One channel's play. Being given the same play again changes nothing."""

    __slots__ = ("_audio", "_ended", "_n_frames", "_playing", "_prompts")

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._playing: Playing | None = None
        self._audio = b""
        self._n_frames = 0
        self._ended = False

    def has_more_to_say(self, at: float) -> bool:
        """Say whether more than the last word is still to come: who speaks over that one answers in time."""
        if self._playing is None or self._ended:
            return False
        return frames_since(self._playing.at_s, at) < self._n_frames - LAST_WORD_FRAMES

    def set(self, playing: Playing | None) -> None:
        """Play this from now on, or nothing."""
        if playing == self._playing:
            return
        self._playing, self._ended = playing, False
        self._audio = b"".join(self._wanted(playing)) if playing else b""
        self._n_frames = -(-len(self._audio) // FRAME_BYTES)
        self._audio = self._audio.ljust(self._n_frames * FRAME_BYTES, b"\xff")

    def _wanted(self, playing: Playing) -> list[bytes]:
        """Return the audio of its prompts, from the one on in which `skip_s` lies."""
        audio, skipped = [self._prompts.get(prompt) for prompt in playing.prompts], playing.skip_s * _BYTES_A_SECOND
        while len(audio) > 1 and len(audio[0]) <= skipped:
            skipped -= len(audio.pop(0))
        return audio

    def again(self) -> None:
        """Tell once more that the play has ended, if it has: the first message may have been lost."""
        self._ended = False

    def frame(self, at: float) -> bytes | None:
        """Return the 20 ms of mu-law that are due at `at`; None before the play, after it, and without one."""
        if self._playing is None or self._ended:
            return None
        start = FRAME_BYTES * frames_since(self._playing.at_s, at)
        return self._audio[start : start + FRAME_BYTES] or None if start >= 0 else None

    def ended(self, at: float) -> int | None:
        """Return the number of the play whose last sample has now been sent, once."""
        if self._playing is None or self._ended or frames_since(self._playing.at_s, at) < self._n_frames:
            return None
        self._ended = True
        return self._playing.play_id


__all__ = ["Player"]
