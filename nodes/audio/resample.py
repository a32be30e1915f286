"""16 kHz to 8 kHz and back, block by block, one millisecond late.

What it does: a linear-phase low-pass of 32 taps, remembering the end of the last block, so that the
blocks join. What it does not: other ratios. Why our own: a streaming resampler made for files holds back 60 to
100 ms and then bursts; this one gives out what it took in. It delays by (32 - 1) / 2 samples at 16 kHz = 0.97 ms.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nodes.audio.g711 import Samples

_TAPS: Final = 32
_KAISER_BETA: Final = 6.0
"""60 dB of stop band (Kaiser, 1974), over a transition as wide as 32 taps allow."""


def _low_pass() -> npt.NDArray[np.float32]:
    """Taps at 16 kHz that cut at 4 kHz, with a gain of one."""
    at = np.arange(_TAPS) - (_TAPS - 1) / 2
    taps = np.sinc(at / 2) * np.kaiser(_TAPS, _KAISER_BETA)
    unity: npt.NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return unity


_LOW_PASS: Final = _low_pass()


class Downsampler:
    """One stream from 16 kHz to 8 kHz."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past = np.zeros(_TAPS - 1, np.float32)

    def __call__(self, samples: Samples) -> Samples:
        """Return half as many samples as are given; the block length must be even.

        Raises: ValueError for an odd one, because the blocks would no longer join.
        """
        if len(samples) % 2:
            raise ValueError(f"a block of {len(samples)} samples cannot be halved")
        given = np.concatenate((self._past, samples.astype(np.float32)))
        self._past = given[len(samples) :]
        return _rounded(np.convolve(given, _LOW_PASS, "valid")[0::2])


class Upsampler:
    """One stream from 8 kHz to 16 kHz."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past = np.zeros(_TAPS - 1, np.float32)

    def __call__(self, samples: Samples) -> Samples:
        """Return twice as many samples as are given."""
        if not len(samples):
            return samples
        given = np.zeros(len(self._past) + 2 * len(samples), np.float32)
        given[: _TAPS - 1] = self._past
        given[_TAPS - 1 :: 2] = 2 * samples.astype(np.float32)  # the zeros between take half of the power
        self._past = given[-(_TAPS - 1) :].copy()
        return _rounded(np.convolve(given, _LOW_PASS, "valid"))


def _rounded(out: npt.NDArray[np.float32]) -> Samples:
    return np.clip(np.rint(out), -32768, 32767).astype(np.int16)


__all__ = ["Downsampler", "Upsampler"]
