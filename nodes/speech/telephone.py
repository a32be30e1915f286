"""A voice's samples as the telephone carries them: 8 kHz mu-law, at a fixed level, without waiting.

What it does: any sample rate down to 8 kHz by a windowed sinc, a whole prompt at a time (3 s of speech: 10 ms).
What it does not: streams (`nodes.audio.resample`).
"""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from nodes.audio import g711
from nodes.audio.g711 import Samples

__all__ = ["RATE_HZ", "at_8_khz", "telephone"]

RATE_HZ = 8000

_AUDIBLE = 200
_LEAD = RATE_HZ // 100
"""Silence kept before the first sound: the caller is waiting for it."""

_CUT_HZ = 3700.0
_HALF = 32
"""Samples of the voice on either side of each of ours: at 22.05 kHz, 1.5 ms."""
_KAISER_BETA = 5.0


def telephone(samples: Samples, rate_hz: int) -> bytes:
    """The prompt in whole frames of 20 ms of mu-law, from just before its first sound; empty when it has none.

    Voices give every sentence at full scale: half of that leaves room for the code's steps and for callees' ears, and
    is the same for all sentences, so that those of one prompt are equally loud.
    """
    low = at_8_khz(samples, rate_hz) // 2
    heard = np.flatnonzero(np.abs(low) > _AUDIBLE)
    if not len(heard):
        return b""
    audio = g711.encode(low[max(0, heard[0] - _LEAD) :])
    return audio + g711.SILENCE[: -len(audio) % g711.FRAME_BYTES]


def at_8_khz(samples: Samples, rate_hz: int) -> Samples:
    """Resample to 8 kHz: each new sample is a low-passed (3.7 kHz) sum of those around its moment.

    >>> tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)).astype(np.int16)
    >>> len(at_8_khz(tone, 22050)), bool(np.abs(at_8_khz(tone, 22050)[200:-200]).max() > 7900)
    (8000, True)
    """
    weights = _weights(rate_hz)
    at = np.arange(len(samples) * RATE_HZ // rate_hz)
    around = sliding_window_view(np.pad(samples.astype(np.float32), _HALF), 2 * _HALF)[at * rate_hz // RATE_HZ + 1]
    low: npt.NDArray[np.float32] = np.einsum("ij,ij->i", around, weights[at % len(weights)])
    return np.clip(np.rint(low), -32768, 32767).astype(np.int16)


@cache
def _weights(rate_hz: int) -> npt.NDArray[np.float32]:
    """A row of taps for each place that one of our samples can have between two of the voice's."""
    n_places = RATE_HZ // gcd(RATE_HZ, rate_hz)
    between = np.arange(n_places) * rate_hz % RATE_HZ / RATE_HZ
    offsets = np.arange(1 - _HALF, 1 + _HALF) - between[:, None]
    cut = min(1.0, 2 * _CUT_HZ / rate_hz)
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0, 1 - (offsets / _HALF) ** 2))) / np.i0(_KAISER_BETA)
    taps: npt.NDArray[np.float32] = (cut * np.sinc(cut * offsets) * window).astype(np.float32)
    return taps
