"""The voice of last resort: the `flite` command, a process for each prompt. Used when mimic3 cannot start.

Its voice `rms` is the one the shipped voice learnt from, so a callee hears little difference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodes.speech import by_command

__all__ = ["FliteVoice", "start"]


class FliteVoice:
    """One of Flite's voices of 16 kHz."""

    rate_hz = 16000

    def __init__(self, voice: str = "rms") -> None:
        """Find the command. Raises: EngineFailed when it is not installed."""
        self.name, self._voice, self._command = f"flite {voice}", voice, by_command.program("flite")

    def speak(self, words: str, rate: float) -> NDArray[np.int16]:
        """Say `words`, `rate` times as fast as usual. Raises: EngineFailed."""
        stretch = f"duration_stretch={1 / rate:.3f}"
        said = [self._command, "-voice", self._voice, "--setf", stretch, "-t", words, "-o", "/dev/stdout"]
        return by_command.sound(said)


def start(model: Path | None) -> FliteVoice:
    """Return its usual voice; it has no model. Raises: EngineFailed when it is not installed."""
    return FliteVoice()
