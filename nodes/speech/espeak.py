"""The adapter to the `espeak-ng` command, a process for each prompt: it speaks languages that no other voice here has.

Formants, and no recordings: it is understood, and nobody takes it for a person. espeak-ng 1.51 (Debian 12) reads
Chinese characters with its voice `cmn` as English letters and numbers (its issue 1236); `cmn-latn-pinyin` has the same
dictionary, reads it rightly, and pinyin besides.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodes.speech import by_command

__all__ = ["EspeakVoice", "start"]

WORDS_A_MINUTE = 165


class EspeakVoice:
    """One of espeak-ng's voices. Its sample rate is that of all of them."""

    rate_hz = 22050

    def __init__(self, voice: str, respelled: Callable[[str], str] = str) -> None:
        """Find the command; `respelled`: what it is given in place of the words. Raises: EngineFailed without it."""
        self._command, self._voice, self._respelled = by_command.program("espeak-ng"), voice, respelled
        version = (
            by_command.output([self._command, "--version"]).decode(errors="replace").partition("Data at")[0].split()
        )
        self.name = f"espeak-ng {voice} {version[-1] if version else ''}".strip()

    def speak(self, words: str, rate: float) -> NDArray[np.int16]:
        """Say `words`, `rate` times as fast as usual; nothing for no word. Raises: EngineFailed."""
        speed = str(round(WORDS_A_MINUTE * rate))
        said = [self._command, "-v", self._voice, "-s", speed, "-b", "1", "--stdin", "--stdout"]
        return by_command.sound(said, self._respelled(words))


def start(model: Path | None) -> EspeakVoice:
    """Return its American voice; it has no model. Raises: EngineFailed when it is not installed."""
    return EspeakVoice("en-us")
