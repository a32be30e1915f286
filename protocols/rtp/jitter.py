"""The playout buffer: packets go in as they come, a 20 ms frame or a gap comes out whenever the clock asks.

What it does: puts audio back in order, waits for late packets as long as it can afford to, and says what is missing.
What it does not: conceal a gap (`nodes/audio/g711.py`), count loss for the far end (`reception.py`), look at a clock.

Rules
1. Media time rules, not sequence numbers: so any packet length fits, and a telephone event or a pause is a hole.
2. The first packet is played `depth_ms` after it came. Those behind it may be late by that much.
3. An empty buffer stands still. If the next packet is the one that was missing, it is played at once and everything
   is now later by what we waited: the depth has grown to fit this line. If it is a later one, rule 2 starts again.
4. What was never used for a second is cut away, one frame at a time: a depth grown in a bad moment shrinks again, and
   a far end whose clock runs fast cannot push us ever further behind.
5. Never more than `limit_ms` is held: after a burst the oldest is skipped, down to `depth_ms`.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import Final, Literal, NewType

from protocols.rtp.numbers import FRAME_SAMPLES, unwrap

Frame = NewType("Frame", bytes)
"""160 bytes of G.711: 20 ms at 8 kHz."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Twenty milliseconds without audio.

    `empty`: nothing came, the buffer stands still. `filling`: the first packet waits for its depth (rule 2).
    `lost`: later audio is here, this was not.
    """

    reason: Literal["empty", "filling", "lost"]


_EMPTY: Final = Gap("empty")
_FILLING: Final = Gap("filling")
_LOST: Final = Gap("lost")

_SAMPLES_PER_MS = 8
_WINDOW_FRAMES = 50
"""One second, the memory of rule 4: long enough to have seen what this line does, short enough to be unheard."""
_RESTART_SAMPLES = 8000
"""A packet more than a second behind is no late packet: the far end began a new stream under the old name."""


class JitterBuffer:
    """Holds at most `limit_ms` of one stream; `late` and `duplicate` count packets, `skipped` samples never played.

    `silence`: the byte that fills the missing part of a frame of which some was here.
    """

    __slots__ = ("_cursor", "_depth", "_least", "_limit", "_packets", "_playouts", "_silence", "_starts_at",
                 "duplicate", "late", "skipped")  # fmt: skip

    def __init__(self, depth_ms: int = 40, limit_ms: int = 200, silence: bytes = b"\xff") -> None:
        self._depth = depth_ms * _SAMPLES_PER_MS
        self._limit = limit_ms * _SAMPLES_PER_MS
        self._silence = silence
        self._packets: list[tuple[int, bytes]] = []  # (unwrapped timestamp, payload), ordered
        self._cursor: int | None = None  # the next sample to play; None until there was one
        self._starts_at = 0.0
        self._least, self._playouts = self._limit, 0  # rule 4
        self.late = self.duplicate = self.skipped = 0

    @property
    def cursor(self) -> int | None:
        """The media time of the next sample to play, in samples that never wrap; None before there was a stream."""
        return self._cursor

    @property
    def held(self) -> int:
        """Samples from the next one to play to the newest one here: what the caller is heard late by."""
        if not self._packets or self._cursor is None:
            return 0
        start, payload = self._packets[-1]
        return start + len(payload) - self._cursor

    def put(self, timestamp: int, payload: bytes, now: float) -> None:
        """Take a packet's audio, in any order, at `now` (seconds, monotonic). What comes too late or twice is counted.

        Raises: nothing. Source: RFC 3550 s.5.1 for the timestamp; the rules are in this module's header.
        """
        start = timestamp if self._cursor is None else unwrap(timestamp, self._cursor, bits=32)
        if self._cursor is None or self._begins_anew(start):
            self._begin(start, now)
        elif start + len(payload) <= self._cursor:
            self.late += 1
            return
        self._insert(start, payload)
        if self.held > self._limit:
            self._skip(self.held - self._depth)

    def restart(self) -> None:
        """Forget the stream, keep the counts: the far end has begun another one, with numbers of its own."""
        self._packets.clear()
        self._cursor = None

    def playout(self, now: float) -> Frame | Gap:
        """Return the next 20 ms of audio, or the gap where it should have been.

        Frame: 160 bytes of G.711 (20 ms at 8 kHz). `now`: seconds, monotonic; ask every 20 ms.
        Raises: nothing; loss is a value. Source: the rules in this module's header.

        >>> buffer = JitterBuffer(depth_ms=40)
        >>> buffer.playout(now=0.0)
        Gap(reason='empty')
        >>> buffer.put(timestamp=0, payload=bytes(160), now=0.01)
        >>> buffer.playout(now=0.02), len(buffer.playout(now=0.06))
        (Gap(reason='filling'), 160)
        """
        if not self._packets:
            return _EMPTY
        if now < self._starts_at:
            return _FILLING
        frame = self._cut()
        self._shrink()
        return _LOST if frame is None else frame

    def _begins_anew(self, start: int) -> bool:
        """Say whether this packet opens a new stretch of talk (rule 3) or a new stream."""
        assert self._cursor is not None
        return (start > self._cursor and not self._packets) or start < self._cursor - _RESTART_SAMPLES

    def _begin(self, start: int, now: float) -> None:
        self._packets.clear()
        self._cursor = start
        self._starts_at = now + self._depth / (1000 * _SAMPLES_PER_MS)
        self._least, self._playouts = self._limit, 0

    def _insert(self, start: int, payload: bytes) -> None:
        packets = self._packets
        if not packets or start > packets[-1][0]:
            packets.append((start, payload))
        elif any(start == held for held, _ in packets):
            self.duplicate += 1
        else:
            insort(packets, (start, payload))

    def _cut(self) -> Frame | None:
        """Take one frame at the cursor; None when not one sample of it is here."""
        assert self._cursor is not None
        cursor, packets = self._cursor, self._packets
        self._cursor = cursor + FRAME_SAMPLES
        start, payload = packets[0]
        if start == cursor and len(payload) == FRAME_SAMPLES:  # nearly always
            del packets[0]
            return Frame(payload)
        return self._assemble(cursor) if start < self._cursor else None

    def _assemble(self, cursor: int) -> Frame:
        """Put a frame together from packets that do not fall on its borders; what is missing is silence."""
        frame, end = bytearray(self._silence * FRAME_SAMPLES), cursor + FRAME_SAMPLES
        for start, payload in self._packets:
            if start >= end:
                break
            first, last = max(start, cursor), min(start + len(payload), end)
            frame[first - cursor : last - cursor] = payload[first - start : last - start]
        self._forget_before(end)
        return Frame(bytes(frame))

    def _shrink(self) -> None:
        """Cut one frame away when the last second never needed it (rule 4)."""
        self._least = min(self._least, self.held)
        self._playouts += 1
        if self._playouts < _WINDOW_FRAMES:
            return
        if self._least > self._depth:
            self._skip(FRAME_SAMPLES)
        self._least, self._playouts = self._limit, 0

    def _skip(self, samples: int) -> None:
        assert self._cursor is not None
        self.skipped += samples
        self._cursor += samples
        self._forget_before(self._cursor)

    def _forget_before(self, cursor: int) -> None:
        packets = self._packets
        while packets and packets[0][0] + len(packets[0][1]) <= cursor:
            del packets[0]


__all__ = ["Frame", "Gap", "JitterBuffer"]
