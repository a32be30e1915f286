"""The files of recordings: two channels, 16-bit at 8 kHz, with the number of the first packet; and several as one.

Where a frame goes follows from its packet number, which counts from the beginning of the call on whatever machine has
it. It is in a private chunk of the header (`rmn0`). So the parts that several machines have of a call are put in their
places: what nobody has recorded between two is silence, what both have is the first one's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodes.audio.g711 import FRAME_BYTES

RATE_HZ, CHANNELS, SAMPLE_BYTES = 8000, 2, 2
FRAME_FILE_BYTES: Final = FRAME_BYTES * CHANNELS * SAMPLE_BYTES
BYTES_PER_S: Final = RATE_HZ * CHANNELS * SAMPLE_BYTES
_HEADER = struct.Struct("<4sI4s 4sIHHIIHH 4sIq 4sI")
HEADER_BYTES: Final = _HEADER.size
MOST_APART: Final = 120 * 50
"""Frames: two minutes. Nobody goes on with a call after longer; so numbers that are further apart are of two clocks."""
MOST_TWICE: Final = 5 * 50
"""Frames that two machines may have of the same time: they change over within a second."""


def header(first: int, data_bytes: int) -> bytes:
    """Return RIFF, `fmt `, our `rmn0` and the head of `data` (Multimedia Programming Interface 1.0, 1991)."""
    align = CHANNELS * SAMPLE_BYTES
    return _HEADER.pack(
        b"RIFF", _HEADER.size - 8 + data_bytes, b"WAVE",
        b"fmt ", 16, 1, CHANNELS, RATE_HZ, RATE_HZ * align, align, 8 * SAMPLE_BYTES,
        b"rmn0", 8, first,
        b"data", data_bytes,
    )  # fmt: skip


def first_of(head: bytes) -> int | None:
    """Return the number of a file's first packet; None: it is none of ours.

    >>> first_of(header(-7, 0)), first_of(b"RIFF"), first_of(bytes(100))
    (-7, None, None)
    """
    if len(head) < HEADER_BYTES:
        return None
    fields = _HEADER.unpack_from(head)
    is_ours = (fields[0], fields[2], fields[3], fields[11], fields[14]) == (b"RIFF", b"WAVE", b"fmt ", b"rmn0", b"data")
    return int(fields[13]) if is_ours else None


@dataclass(frozen=True, slots=True)
class Share:
    """What a part is in the whole: so many bytes of silence, and then its samples without the first `skip` bytes."""

    silence: int
    skip: int
    n_bytes: int


def joined(parts: Sequence[tuple[int, int]]) -> list[Share]:
    """Return the shares of parts in their order; each is the number of its first packet, and its bytes of samples.

    Numbers that cannot be right, too far apart or long before the end of the part before, count for nothing.

    >>> [(one.silence, one.skip, one.n_bytes) for one in joined([(0, 6400), (12, 640), (12, 1280)])]
    [(0, 0, 6400), (1280, 0, 640), (0, 640, 640)]
    """
    shares: list[Share] = []
    end: int | None = None
    for first, n_bytes in parts:
        apart, until = 0 if end is None else first - end, first + n_bytes // FRAME_FILE_BYTES
        is_right = end is not None and -MOST_TWICE <= apart <= MOST_APART
        gap = apart if is_right else 0
        skip = min(n_bytes, max(0, -gap) * FRAME_FILE_BYTES)
        shares.append(Share(max(0, gap) * FRAME_FILE_BYTES, skip, n_bytes - skip))
        end = max(end, until) if is_right and end is not None else until
    return shares


__all__ = [
    "BYTES_PER_S", "CHANNELS", "FRAME_FILE_BYTES", "HEADER_BYTES", "RATE_HZ", "SAMPLE_BYTES", "Share", "first_of",
    "header", "joined",
]  # fmt: skip
