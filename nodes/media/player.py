"""What the callee hears, by the clock: frame k of a play is due at `at_s + k * 0.02`.

What it does: gives the frame of an instant and says when the last one has been heard. What it does not: keep a
position. A successor given the same `Playing` therefore plays on where its predecessor would be, to a frame.
"""

from __future__ import annotations

from nodes.audio.g711 import FRAME_BYTES
from nodes.media.prompts import Prompts
from protocols.rtp.numbers import frames_since
from protocols.wire.messages import Playing


class Player:
    """One channel's play. Being given the same play again changes nothing."""

    __slots__ = ("_audio", "_ended", "_n_frames", "_playing", "_prompts")

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._playing: Playing | None = None
        self._audio = b""
        self._n_frames = 0
        self._ended = False

    @property
    def is_playing(self) -> bool:
        """Say whether there is something to play, now or soon, or its end has not been told."""
        return self._playing is not None and not self._ended

    def set(self, playing: Playing | None) -> None:
        """Play this from now on, or nothing."""
        if playing == self._playing:
            return
        self._playing, self._ended = playing, False
        self._audio = b"".join(self._prompts.get(prompt) for prompt in playing.prompts) if playing else b""
        self._n_frames = -(-len(self._audio) // FRAME_BYTES)
        self._audio = self._audio.ljust(self._n_frames * FRAME_BYTES, b"\xff")

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
