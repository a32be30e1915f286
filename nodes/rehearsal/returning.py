"""A telephone line that sends back what it hears, fainter and later: the hybrid, or the room, at a callee's end."""

from __future__ import annotations

from typing import Final

import numpy as np

from nodes.audio import g711
from nodes.audio.g711 import FRAME_BYTES, SILENCE, ULAW_TO_PCM
from protocols.rtp.numbers import FRAME_SAMPLES

_DEPTH: Final = 2
"""Frames that the telephone keeps, so that none is missing when it is due."""
_MOST: Final = 50
"""Frames out of their time, after which another stream has begun."""


class Returning:
    """One line. Tell what was `heard`, by its media time, and have it `joined` to what the callee says; all mu-law.

    >>> line = Returning(-20.0, 0.0)
    >>> line.heard(800, g711.encode(np.full(160, 10000, np.int16)))
    >>> [int(g711.decode(line.joined(SILENCE))[0]) for _ in range(4)]
    [0, 0, 988, 0]
    """

    def __init__(self, level_db: float, delay_ms: float) -> None:
        """`level_db`: of what comes back, against what came; below 0."""
        self._fainter = g711.encode((ULAW_TO_PCM * 10 ** (level_db / 20)).astype(np.int16))
        self._tail = b"\xff" * int(delay_ms * 8)  # on its way back
        self._frames: dict[int, bytes] = {}
        self._next: int | None = None  # number of the frame that is due

    def heard(self, timestamp: int, ulaw: bytes) -> None:
        """Take what has come out of the earpiece; `timestamp` is its packet's."""
        number = timestamp // FRAME_SAMPLES
        if self._next is None or abs(number - self._next) > _MOST:
            self._frames.clear()
            self._next = number - _DEPTH
        if number >= self._next:
            self._frames[number] = ulaw.translate(self._fainter)

    def joined(self, ulaw: bytes) -> bytes:
        """Return what the line sends while the callee says this; silence too may be joined by an echo."""
        if self._next is not None:
            self._tail += self._frames.pop(self._next, SILENCE)
            self._next += 1
        else:
            self._tail += SILENCE
        back, self._tail = self._tail[:FRAME_BYTES], self._tail[FRAME_BYTES:]
        if back == SILENCE:
            return ulaw
        both = g711.decode(ulaw).astype(np.int32) + g711.decode(back)
        return g711.encode(np.clip(both, -32768, 32767).astype(np.int16))


__all__ = ["Returning"]
