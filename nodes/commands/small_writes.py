"""How many small writes a second a disk takes, each on the disk before the next: measured, for a second.

Recordings that are published, and what NATS's streams acknowledge, are such writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

ENOUGH: Final = 300.0
"""Writes a second: the source documents' figure for a recordings' disk."""
SIZE: Final = 4096
FOR_S: Final = 1.0
MOST: Final = 2000
"""Writes, 8 MB: who is so fast need not be measured longer."""


def per_second(
    directory: Path, sync: Callable[[int], object] = os.fdatasync, now: Callable[[], float] = time.monotonic
) -> float:
    """Return how many writes of 4 kB a second are on the disk of `directory`; nothing is left there. Raises: OSError.

    It takes `FOR_S` seconds, and as long as one write takes more.
    """
    with TemporaryFile(dir=directory, buffering=0) as file:
        block = bytes(SIZE)
        n, taken_s, began_s = 0, 0.0, now()
        while n < MOST and taken_s < FOR_S:
            file.write(block)
            sync(file.fileno())
            n, taken_s = n + 1, now() - began_s
        return n / max(taken_s, 1e-6)


__all__ = ["ENOUGH", "FOR_S", "MOST", "SIZE", "per_second"]
