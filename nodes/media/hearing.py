"""What is in a frame: samples, level, pitch; for all frames of a slot at once.

Why at once: numpy's price is per operation, so a slot of 75 frames costs a sixth of 75 single ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

import numpy as np

from nodes.audio.g711 import FRAME_BYTES, SILENCE, ULAW_TO_PCM
from nodes.audio.tones import pitches
from nodes.audio.vad import GATE_DBOV, levels


class Sound(NamedTuple):
    """20 ms: 160 samples as little-endian bytes, the level in dBov, the pitch in Hz of a single tone or 0.0; the same
    samples as mu-law, and the level of the echo that was taken out."""

    samples: bytes
    level_dbov: float
    pitch_hz: float
    payload: bytes
    echo_dbov: float = -inf


HUSH: Final = Sound(bytes(2 * FRAME_BYTES), -100.0, 0.0, SILENCE)
"""A frame with nothing in it."""


def analyse(frames: Sequence[bytes]) -> list[Sound]:
    """Return what is in each frame of 160 mu-law bytes."""
    if not frames:
        return []
    samples = ULAW_TO_PCM[np.frombuffer(b"".join(frames), np.uint8)].reshape(-1, FRAME_BYTES)
    floats = samples.astype(np.float32)
    level = levels(floats)
    loud = [row for row, dbov in enumerate(level) if dbov > GATE_DBOV]
    pitch = dict(zip(loud, pitches(floats[loud]), strict=True)) if loud else {}
    return [Sound(row.tobytes(), level[k], pitch.get(k, 0.0), frames[k]) for k, row in enumerate(samples)]


__all__ = ["HUSH", "Sound", "analyse"]
