"""The voice of last resort: the `flite` command, a process for each prompt. Used when mimic3 cannot start.

Its voice `rms` is the one the shipped voice learnt from, so a callee hears little difference.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodes.speech.errors import EngineFailed

__all__ = ["FliteVoice", "start"]

TIMEOUT_S = 10.0


class FliteVoice:
    """One of Flite's voices of 16 kHz."""

    rate_hz = 16000

    def __init__(self, voice: str = "rms") -> None:
        """Find the command. Raises: EngineFailed when it is not installed."""
        self.name, self._voice = f"flite {voice}", voice
        command = shutil.which("flite")
        if command is None:
            raise EngineFailed("flite is not installed")
        self._command = command

    def speak(self, words: str, rate: float) -> NDArray[np.int16]:
        """Say `words`, `rate` times as fast as usual. Raises: EngineFailed."""
        stretch = f"duration_stretch={1 / rate:.3f}"
        said = [self._command, "-voice", self._voice, "--setf", stretch, "-t", words, "-o", "/dev/stdout"]
        try:
            done = subprocess.run(said, capture_output=True, timeout=TIMEOUT_S, check=True)
            with wave.open(io.BytesIO(done.stdout)) as audio:
                return np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            raise EngineFailed(f"flite cannot say it: {error}") from error


def start(model: Path | None) -> FliteVoice:
    """Return its usual voice; it has no model. Raises: EngineFailed when it is not installed."""
    return FliteVoice()
