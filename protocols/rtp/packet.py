"""One RTP packet: twelve bytes of header, and the payload behind them (RFC 3550 s.5.1).

What it does: bytes to `Packet` and back, and tells RTP from RTCP on a shared port. What it does not: order packets
(`jitter`) or count them (`reception`). Contributing sources and header extensions are stepped over, not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from protocols.errors import RemoteProtocolError

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!HH")
_VERSION_2 = 0x80
HEADER_BYTES = _HEADER.size

PCMU, PCMA, COMFORT_NOISE = 0, 8, 13
"""Static payload types (RFC 3551 s.6, RFC 3389 s.5)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """`sequence` is 16 bits, `timestamp` and `ssrc` 32; the clock of `timestamp` is 8 kHz for all we speak."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False

    def build(self) -> bytes:
        """Return the packet as sent: no padding, no extension, no contributing sources.

        >>> Packet(payload_type=0, sequence=65536 + 7, timestamp=160, ssrc=1, payload=b"x").build().hex()
        '80000007000000a00000000178'
        """
        return header(self.payload_type, self.marker, self.sequence, self.timestamp, self.ssrc) + self.payload

    @staticmethod
    def parse(data: bytes) -> Packet:
        """Return the packet in one datagram.

        Raises: RemoteProtocolError (`not_rtp`, `truncated`, `bad_padding`) for anything else.

        >>> Packet.parse(bytes.fromhex("80800007000000a00000000178")).marker
        True
        """
        if len(data) < HEADER_BYTES:
            raise RemoteProtocolError("truncated", f"{len(data)} bytes")
        flags, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if flags & 0xC0 != _VERSION_2:
            raise RemoteProtocolError("not_rtp", f"version {flags >> 6}")
        payload = data[HEADER_BYTES:] if flags == _VERSION_2 else _payload(data, flags)
        return Packet(kind & 0x7F, sequence, timestamp, ssrc, payload, kind >= 0x80)


def header(payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """Return the twelve bytes; numbers that have grown past their field wrap as the RFC says they do."""
    kind = payload_type | 0x80 if marker else payload_type
    return _HEADER.pack(_VERSION_2, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


def is_rtcp(data: bytes) -> bool:
    """Say whether a datagram on a shared port is RTCP: its second byte is 192 to 223 (RFC 5761 s.4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def _payload(data: bytes, flags: int) -> bytes:
    """Step over contributing sources and the extension, and take the padding off (RFC 3550 s.5.1, 5.3.1)."""
    start, end = HEADER_BYTES + 4 * (flags & 0x0F), len(data)
    if flags & 0x10:
        if start + _EXTENSION.size > end:
            raise RemoteProtocolError("truncated", "extension header")
        start += _EXTENSION.size + 4 * _EXTENSION.unpack_from(data, start)[1]
    if flags & 0x20:
        if data[-1] == 0:
            raise RemoteProtocolError("bad_padding", "of no length")
        end -= data[-1]
    if start > end:
        raise RemoteProtocolError("truncated", f"payload would begin at byte {start} of {end}")
    return data[start:end]


__all__ = ["COMFORT_NOISE", "HEADER_BYTES", "PCMA", "PCMU", "Packet", "header", "is_rtcp"]
