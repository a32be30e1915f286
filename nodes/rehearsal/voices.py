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
OTHER_VOICES = {"zh": ("cmn-latn-pinyin+f2", "cmn-latn-pinyin+m3")}
"""Of espeak-ng: a language that flite does not speak, in other voices than the robot's."""
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
    said = ["flite", "-voice", voice, "-t", words, "-o", "/dev/stdout"]
    if voice not in VOICES:
        said = ["espeak-ng", "-v", voice, "--stdout", words]
    try:
        made = await asyncio.create_subprocess_exec(
            *said, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Voiceless(f"{said[0]} is not installed; run `make setup`") from error
    async with asyncio.timeout(TIMEOUT_S):
        out, complaint = await made.communicate()
    if made.returncode:
        raise Voiceless(f"{said[0]} {voice}: {complaint.decode(errors='replace').strip()[:200]}")
    return _telephone(out)


def _telephone(wav: bytes) -> bytes:
    with wave.open(io.BytesIO(wav)) as audio:
        samples, rate_hz = np.frombuffer(audio.readframes(audio.getnframes()), np.int16), audio.getframerate()
    if rate_hz != RATE_HZ:
        at = np.arange(len(samples) * RATE_HZ // rate_hz) * (rate_hz / RATE_HZ)
        samples = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
    return g711.encode(Downsampler()(samples[: len(samples) // 2 * 2]))


__all__ = ["OTHER_VOICES", "VOICES", "Voiceless", "speak"]
