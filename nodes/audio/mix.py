"""Several voices in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.audio.g711 import Samples


def mix(voices: Sequence[Samples]) -> Samples:
    """Return the sum of voices of equal length; what is too loud is clipped, not wrapped.

    Raises: ValueError when there is none, or the lengths differ.

    >>> mix([np.array([1, 30000], np.int16), np.array([2, 30000], np.int16)]).tolist()
    [3, 32767]
    """
    total = np.sum(np.stack(voices), axis=0, dtype=np.int32)
    clipped: Samples = np.clip(total, -32768, 32767).astype(np.int16)
    return clipped


__all__ = ["mix"]
