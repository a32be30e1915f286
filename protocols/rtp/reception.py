"""What came of one incoming stream: how much was lost and how unsteady the rest was (RFC 3550 s.6.4.1, A.3, A.8).

What it does: counts by sequence number and measures arrival against timestamps. What it does not: put packets in
order (`jitter`) or judge whether one is welcome (whoever reads the socket). A new SSRC or a leap of the sequence is a
new stream (A.1): the past is added to the totals and the numbers start afresh.
"""

from __future__ import annotations

from protocols.rtp.numbers import unwrap
from protocols.rtp.packet import Packet
from protocols.rtp.rtcp import ReportBlock

_CLOCK_HZ = 8000
_MAX_LEAP = 3000
"""MAX_DROPOUT of RFC 3550 A.1: further than this, a sequence number belongs to another stream."""


class Reception:
    """Totals over the life of a channel; `report` describes the stream of now to the far end."""

    __slots__ = ("_base", "_counted", "_jitter", "_last_expected", "_last_received", "_past_lost", "_top", "_transit",
                 "received", "ssrc")  # fmt: skip

    def __init__(self) -> None:
        self.received = 0
        self.ssrc: int | None = None
        self._past_lost = 0  # of streams that have ended
        self._base = self._top = self._counted = 0
        self._transit = self._jitter = 0.0  # in units of the 8 kHz clock
        self._last_expected = self._last_received = 0

    def arrived(self, packet: Packet, now: float, is_timed: bool = True) -> bool:
        """Count one packet that came at `now` (seconds, monotonic); say whether it is the first of a stream.

        `is_timed` is False for a telephone event: its timestamp is that of the press, not of the packet.
        """
        self.received += 1
        sequence = unwrap(packet.sequence, self._top, bits=16)
        if packet.ssrc != self.ssrc or abs(sequence - self._top) > _MAX_LEAP:
            self._begin(packet, now)
            return True
        self._counted += 1
        self._top = max(self._top, sequence)
        if is_timed:
            self._unsteady(packet, now)
        return False

    @property
    def lost(self) -> int:
        """Packets expected that have not come; a duplicate can hide a loss, as in RFC 3550 A.3."""
        return self._past_lost + max(0, self._expected - self._counted)

    @property
    def jitter_ms(self) -> float:
        """Smoothed unsteadiness of arrival (RFC 3550 A.8), in milliseconds."""
        return self._jitter * 1000 / _CLOCK_HZ

    def report(self) -> ReportBlock | None:
        """Return what to tell the far end about its stream since the last report; None before its first packet."""
        if self.ssrc is None:
            return None
        expected, received = self._expected - self._last_expected, self._counted - self._last_received
        self._last_expected, self._last_received = self._expected, self._counted
        fraction = max(0, expected - received) * 256 // expected if expected else 0
        lost = max(0, self._expected - self._counted)
        return ReportBlock(self.ssrc, min(fraction, 255), lost, self._top & 0xFFFFFFFF, int(self._jitter))

    @property
    def _expected(self) -> int:
        return self._top - self._base + 1 if self.ssrc is not None else 0

    def _unsteady(self, packet: Packet, now: float) -> None:
        transit = now * _CLOCK_HZ - packet.timestamp
        moved = abs(transit - self._transit)
        self._transit = transit
        if moved < _CLOCK_HZ:  # a second of it is a pause or a wrap of the timestamp, not jitter
            self._jitter += (moved - self._jitter) / 16

    def _begin(self, packet: Packet, now: float) -> None:
        self._past_lost = self.lost
        self.ssrc = packet.ssrc
        self._base = self._top = packet.sequence
        self._counted = 1
        self._transit = now * _CLOCK_HZ - packet.timestamp
        self._last_expected = self._last_received = 0


__all__ = ["Reception"]
