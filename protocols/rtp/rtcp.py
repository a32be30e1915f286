"""RTCP: sender and receiver reports, and the canonical name that must go with them (RFC 3550 s.6.4, 6.5).

What it does: reads the reports of a compound packet and writes one. What it does not: schedule them; we answer a
report with a report, so the far end's own interval (s.6.2) paces both. Other packet types are stepped over.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from protocols.errors import RemoteProtocolError

_HEADER = Struct("!BBH")
_SENDER = Struct("!QIII")
_BLOCK = Struct("!IIIIII")
_SR, _RR, _SDES = 200, 201, 202
_CNAME = 1
_LOST_BITS = 24
NTP_EPOCH_S = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970."""


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a sender says about itself; `ntp` is 32.32 fixed point seconds since 1900."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about one stream: `fraction_lost` in 256ths since its last report, `jitter` in samples."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int = 0
    since_last: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report when `sender` is set, else a receiver report."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...]


def parse(data: bytes) -> list[Report]:
    """Return the reports of one compound packet, in order.

    Raises: RemoteProtocolError (`not_rtcp`, `truncated`). Source: RFC 3550 s.6.4; an SDES or BYE may stand alone.
    """
    reports, at = [], 0
    while at < len(data):
        flags, kind, length = _unpack(_HEADER, data, at, len(data))
        if flags >> 6 != 2:
            raise RemoteProtocolError("not_rtcp", f"version {flags >> 6}")
        end = at + 4 * (length + 1)
        if kind in (_SR, _RR):
            reports.append(_report(data, at, min(end, len(data)), kind == _SR, flags & 0x1F))
        at = end
    return reports


def build(report: Report, cname: str) -> bytes:
    """Return the compound packet: the report, and the source description that RFC 3550 s.6.1 demands behind it."""
    sender = report.sender
    info = _SENDER.pack(sender.ntp, sender.timestamp, sender.packets, sender.octets) if sender else b""
    body = report.ssrc.to_bytes(4, "big") + info + b"".join(_pack_block(block) for block in report.blocks)
    name = cname.encode()[:255]
    chunk = report.ssrc.to_bytes(4, "big") + bytes((_CNAME, len(name))) + name
    chunk += bytes(4 - len(chunk) % 4)  # ends in at least one zero, on a border of four (s.6.5)
    return _framed(len(report.blocks), _SR if sender else _RR, body) + _framed(1, _SDES, chunk)


def ntp(wall_s: float) -> int:
    """Return seconds since 1970 as 32.32 fixed point since 1900."""
    return int((wall_s + NTP_EPOCH_S) * (1 << 32))


def _framed(count: int, kind: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _pack_block(block: ReportBlock) -> bytes:
    lost = min(block.lost, (1 << (_LOST_BITS - 1)) - 1)
    return _BLOCK.pack(block.ssrc, block.fraction_lost << _LOST_BITS | lost, block.highest, block.jitter,
                       block.last_report, block.since_last)  # fmt: skip


def _report(data: bytes, at: int, end: int, is_sender: bool, n_blocks: int) -> Report:
    at += _HEADER.size
    ssrc, sender = int.from_bytes(data[at : at + 4], "big"), None
    at += 4
    if is_sender:
        sender = SenderInfo(*_unpack(_SENDER, data, at, end))
        at += _SENDER.size
    blocks = (_block(_unpack(_BLOCK, data, at + k * _BLOCK.size, end)) for k in range(n_blocks))
    return Report(ssrc, sender, tuple(blocks))


def _block(fields: tuple[int, ...]) -> ReportBlock:
    ssrc, losses, highest, jitter, last_report, since_last = fields
    lost = losses & ((1 << _LOST_BITS) - 1)
    signed = lost - (1 << _LOST_BITS) if lost >> (_LOST_BITS - 1) else lost  # duplicates can make it negative (A.3)
    return ReportBlock(ssrc, losses >> _LOST_BITS, signed, highest, jitter, last_report, since_last)


def _unpack(form: Struct, data: bytes, at: int, end: int) -> tuple[int, ...]:
    if at + form.size > end:
        raise RemoteProtocolError("truncated", f"{form.size} bytes wanted at {at} of {end}")
    return form.unpack_from(data, at)


__all__ = ["NTP_EPOCH_S", "Report", "ReportBlock", "SenderInfo", "build", "ntp", "parse"]
