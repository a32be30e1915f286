"""What a voice is, whoever speaks: words in, samples out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Voice"]


class Voice(Protocol):
    """One way to say things. Used from one thread only, always the same."""

    @property
    def name(self) -> str:
        """Changes whenever the same words would sound different: part of a prompt's hash."""

    @property
    def rate_hz(self) -> int:
        """Samples per second of what `speak` returns."""

    def speak(self, words: str, rate: float) -> NDArray[np.int16]:
        """Say `words`, `rate` times as fast as usual. Raises: EngineFailed."""
