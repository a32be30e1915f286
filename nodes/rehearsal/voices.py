"""What callees say, spoken by flite and as the telephone carries it: 8 kHz mu-law.

Never the robot's own voice, nor the one it learnt from: a recogniser that is judged by its own mouth proves nothing.
"""

from __future__ import annotations

import asyncio
import io
import wave
from functools import lru_cache

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


async def speak(words: str, voice: str) -> bytes:
    """Return the words as mu-law, 8 kHz, with the voice's own leading silence. Raises: Voiceless."""
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


@lru_cache(maxsize=512)
def _telephone(wav: bytes) -> bytes:
    with wave.open(io.BytesIO(wav)) as audio:
        samples = np.frombuffer(audio.readframes(audio.getnframes()), np.int16)
    return g711.encode(Downsampler()(samples[: len(samples) // 2 * 2]))


__all__ = ["VOICES", "Voiceless", "speak"]
