"""Voices that are commands: a process for each prompt, which writes a WAV to its standard output."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.speech.errors import EngineFailed

__all__ = ["output", "program", "sound"]

TIMEOUT_S: Final = 10.0


def program(command: str) -> str:
    """Return where a command is. Raises: EngineFailed when it is not installed."""
    if path := shutil.which(command):
        return path
    raise EngineFailed(f"{command} is not installed")


def output(command: Sequence[str], given: str = "") -> bytes:
    """Return what a command writes. Raises: EngineFailed, also when it takes too long."""
    try:
        asked = given.encode(errors="replace")
        return subprocess.run(command, input=asked, capture_output=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineFailed(f"{command[0]} cannot say it: {error}") from error


def sound(command: Sequence[str], given: str = "") -> NDArray[np.int16]:
    """Return the samples that a command speaks; none where it writes nothing. Raises: EngineFailed."""
    audio = output(command, given)
    if not audio:
        return np.zeros(0, np.int16)
    try:
        with wave.open(io.BytesIO(audio)) as heard:
            return np.frombuffer(heard.readframes(heard.getnframes()), np.int16)
    except (wave.Error, EOFError, ValueError) as error:
        raise EngineFailed(f"{command[0]} said no sound: {error}") from error
