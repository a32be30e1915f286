"""What callees say, spoken by flite and as the telephone carries it: 8 kHz mu-law.

Never the robot's own voice, nor the one it learnt from: a recogniser that is judged by its own mouth proves nothing.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections import OrderedDict

import numpy as np

from nodes.audio import g711
from nodes.audio.resample import Downsampler
from nodes.errors import NodeError

VOICES = ("slt", "kal16", "awb")
"""Of flite 2.2: a woman of the US, a man of the US (diphone), a man of Scotland; all 16 kHz."""
RATE_HZ = 16_000
TIMEOUT_S = 20.0


class Voiceless(NodeError):
    """flite is not installed, or cannot say it."""


MAX_SPOKEN = 1024
"""Sentences whose sound is remembered, some 16 kB each; the least recently said is forgotten first."""

_spoken: OrderedDict[tuple[str, str], bytes] = OrderedDict()


async def speak(words: str, voice: str) -> bytes:
    """Return the words as mu-law, 8 kHz, with the voice's own leading silence. Raises: Voiceless."""
    if (words, voice) not in _spoken:
        _spoken[words, voice] = await _rendered(words, voice)
        if len(_spoken) > MAX_SPOKEN:
            _spoken.popitem(last=False)
    _spoken.move_to_end((words, voice))
    return _spoken[words, voice]


async def _rendered(words: str, voice: str) -> bytes:
    try:
        made = await asyncio.create_subprocess_exec(
            "flite", "-voice", voice, "-t", words, "-o", "/dev/stdout",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Voiceless("flite is not installed; run `make setup`") from error
    async with asyncio.timeout(TIMEOUT_S):
        out, complaint = await made.communicate()
    if made.returncode:
        raise Voiceless(f"flite -voice {voice}: {complaint.decode(errors='replace').strip()[:200]}")
    return _telephone(out)


def _telephone(wav: bytes) -> bytes:
    with wave.open(io.BytesIO(wav)) as audio:
        samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
    return g711.encode(Downsampler()(samples[: len(samples) // 2 * 2]))


__all__ = ["VOICES", "Voiceless", "speak"]
