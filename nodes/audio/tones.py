"""Tones: finding the beep of an answering machine, and making beeps to be found.

What it does: names the single steady tone in a 20 ms frame, if there is one, and says when one that was a beep has
ended. What it does not: ring-back cadences, keys in the audio (they come as telephone events, `protocols/rtp/dtmf.py`).
A tone is a spectrum with nine tenths of its power in one peak: two tones at once, voices and noise spread theirs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nodes.audio.g711 import Samples

RATE_HZ: Final = 8000
_FRAME: Final = 160
_BIN_HZ: Final = RATE_HZ / _FRAME
_WINDOW: Final = np.hanning(_FRAME + 1)[:_FRAME].astype(np.float32)
_PURITY: Final = 0.9
"""A Hann window leaves at least 97 % of a tone's power in three bins; two equal tones leave half."""
_FIRST_BIN, _LAST_BIN = int(400 / _BIN_HZ), int(2500 / _BIN_HZ)
_STEADY_HZ: Final = 20.0
_SHORTEST, _SURE, _LONGEST = 5, 11, 110
"""Frames of a beep: those of voicemail systems last 120 ms to 2 s. No vowel is this pure for 220 ms; for 100 some are,
but their level moves: of 3,000 spoken digits (22 minutes, six people) two had 5 or 6 such frames, over 3 dB."""
_LEVEL_DB: Final = 2.0
"""What the level of a short beep may move, without its first and its last frame."""


def pitches(frames: npt.NDArray[np.float32]) -> list[float]:
    """Return, for each row of 160 samples, the frequency in Hz of its one tone of 400 to 2500 Hz, or 0.0.

    Silence has no pitch. Many rows at once cost a third of one at a time.
    """
    power = np.square(np.abs(np.fft.rfft(frames * _WINDOW, axis=1)))
    peak = np.clip(np.argmax(power[:, 1:], axis=1) + 1, 1, _FRAME // 2 - 1)
    near = peak[:, None] + np.arange(-1, 2)
    share = np.take_along_axis(power, near, axis=1)
    at_peak = share.sum(axis=1)
    total = power[:, 1:].sum(axis=1)
    is_tone = (at_peak > _PURITY * total) & (total > 0) & (peak >= _FIRST_BIN) & (peak <= _LAST_BIN)
    hz = _BIN_HZ * (near * share).sum(axis=1) / np.maximum(at_peak, 1e-9)
    found: list[float] = np.where(is_tone, hz, 0.0).tolist()
    return found


class BeepDetector:
    """Tells a beep once, when it has ended: what is said to a machine begins after it."""

    __slots__ = ("_frames", "_hz", "_levels")

    def __init__(self) -> None:
        self._hz, self._frames = 0.0, 0
        self._levels: list[float] = []

    def step(self, hz: float, level_dbov: float) -> bool:
        """Take one frame's pitch (0.0 for none) and level; say whether a beep ended before it."""
        if hz > 0 and abs(hz - self._hz) <= _STEADY_HZ:
            self._frames += 1
            if self._frames < _SURE:
                self._levels.append(level_dbov)
            self._hz = hz
            return False
        was_beep = self._is_beep
        self._hz, self._frames, self._levels = hz, int(hz > 0), [level_dbov]
        return was_beep

    @property
    def _is_beep(self) -> bool:
        if self._frames >= _SURE:
            return self._frames <= _LONGEST
        inner = self._levels[1:-1]
        return self._frames >= _SHORTEST and max(inner) - min(inner) <= _LEVEL_DB


def tone(hz: float, ms: int, level_dbov: float = -15.0) -> Samples:
    """Return `ms` of a sine at 8 kHz. A level of 0 dBov is a full-scale square wave; a full-scale sine has -3."""
    at = np.arange(ms * RATE_HZ // 1000) / RATE_HZ
    size = min(32767.0, 32768 * 2**0.5 * 10 ** (level_dbov / 20))
    samples: Samples = (size * np.sin(2 * np.pi * hz * at)).astype(np.int16)
    return samples


__all__ = ["RATE_HZ", "BeepDetector", "pitches", "tone"]
