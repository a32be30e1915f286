"""RTP numbers that follow from the clock: which packet is due at an instant, and what it is called.

What it does: packet n of a stream is due at `born_s + n * 0.02`, has sequence `seq0 + n` and timestamp
`ts0 + 160 * n` (RFC 3550 s.5.1). Whoever knows the four starting values knows every later one, so a process that takes
a call over needs no stream of numbers from the one that died. What it does not: decide when to look at the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from protocols.rtp.packet import header

FRAME_S = 0.02
FRAME_SAMPLES = 160
"""Twenty milliseconds at 8 kHz: one frame, one packet, 160 bytes of G.711."""

_ROUNDING = 1e-4
"""Two microseconds, as a share of a frame: a tick computed as `k * 0.005` still reaches the packet due exactly then."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The starting values of one outgoing stream. `born_s` is in seconds on the monotonic clock of the machine."""

    ssrc: int
    seq0: int
    ts0: int
    born_s: float

    def index(self, now: float) -> int:
        """Return the number of the packet that is due at `now`, negative before the stream is born.

        >>> [Numbers(ssrc=1, seq0=7, ts0=0, born_s=10.0).index(at) for at in (9.99, 10.0, 10.019, 10.02)]
        [-1, 0, 0, 1]
        """
        return frames_since(self.born_s, now)

    def header(self, n: int, payload_type: int, marker: bool = False, age: int = 0) -> bytes:
        """Return the header of packet `n`. A telephone event keeps the timestamp of its first packet, `age` ago."""
        return header(payload_type, marker, self.seq0 + n, self.timestamp(n - age), self.ssrc)

    def timestamp(self, n: int) -> int:
        """Return the 32-bit media time of packet `n`."""
        return (self.ts0 + FRAME_SAMPLES * n) & 0xFFFFFFFF


def frames_since(start_s: float, now: float) -> int:
    """Count the whole frames between two instants: the same answer in every process that shares the clock."""
    return floor((now - start_s) / FRAME_S + _ROUNDING)


def unwrap(value: int, near: int, bits: int) -> int:
    """Return the number closest to `near` whose last `bits` bits are `value`: 65535, 0, 1 becomes 65535, 65536, 65537.

    >>> unwrap(1, near=65535, bits=16), unwrap(65535, near=65537, bits=16)
    (65537, 65535)
    """
    half = 1 << (bits - 1)
    return near - half + ((value - near + half) & ((1 << bits) - 1))


__all__ = ["FRAME_S", "FRAME_SAMPLES", "Numbers", "frames_since", "unwrap"]
