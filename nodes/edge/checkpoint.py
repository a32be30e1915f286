"""What an edge has written of its calls to the disk, as bytes: frames of the messages that heirs are told.

    length (4 bytes, big-endian), CRC-32 of what follows (4 bytes), MessagePack: [kind, body]

A process that is killed while it writes leaves a torn frame at the end: reading stops there. The first frame says who
wrote and which clock its times are of; a file of another layout is unreadable as a whole (`RemoteProtocolError`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from nodes.edge.standby_records import StandbyRecords
from protocols.errors import RemoteProtocolError
from protocols.wire.heirs import ForgetRecord, KeepEvents, KeepRecord, KeepScript

LAYOUT: Final = 1
"""Rises when an older edge could not read the file any more. New fields of a record need no new layout."""
MAX_FRAME: Final = 1024 * 1024
_HEAD: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Opened:
    """The first frame. `launcher`: whose sockets the calls use; `boot`: whose clock (`nodes.links.incarnation`)."""

    layout: int
    launcher: str
    boot: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The edge lives, and all that it has written before is true. `at_s`: seconds on the monotonic clock."""

    at_s: float


Written = Opened | Alive | KeepScript | KeepRecord | ForgetRecord | KeepEvents
_KINDS: Final[dict[str, msgspec.msgpack.Decoder[Written]]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind)
    for kind in (Opened, Alive, KeepScript, KeepRecord, ForgetRecord, KeepEvents)
}


@dataclass(slots=True)
class Checkpoint:
    """What a file holds. `n_torn`: bytes at its end that are no frame."""

    opened: Opened
    alive_s: float = 0.0
    standby: StandbyRecords = field(default_factory=StandbyRecords)
    n_torn: int = 0


def frame(message: Written) -> bytes:
    """Return one message as the file has it."""
    data = msgspec.msgpack.encode((type(message).__name__, msgspec.Raw(msgspec.msgpack.encode(message))))
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def read(data: bytes) -> Checkpoint:
    """Return what a file says. Raises: `RemoteProtocolError` for a file that is none, or of another layout."""
    frames = _frames(data)
    opened, at = next(frames, (None, 0))
    if not isinstance(opened, Opened) or opened.layout != LAYOUT:
        raise RemoteProtocolError("checkpoint_layout", str(getattr(opened, "layout", "no first frame")))
    found = Checkpoint(opened)
    for message, end in frames:
        at = end
        match message:
            case Alive(at_s=at_s):
                found.alive_s = at_s
            case KeepScript():
                found.standby.learn(message)
            case KeepRecord():
                found.standby.keep(message)
            case ForgetRecord(call_id=call_id):
                found.standby.drop(call_id)
            case KeepEvents():
                found.standby.recent.learn(message, found.alive_s)
            case _:
                pass
    found.n_torn = len(data) - at
    return found


def _frames(data: bytes) -> Iterator[tuple[Written | None, int]]:
    """Yield each message, and where its frame ends; None for a kind that a later version has added."""
    at = 0
    while len(data) - at >= _HEAD.size:
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        body = data[at + _HEAD.size : end]
        if length > MAX_FRAME or len(body) != length or zlib.crc32(body) != checksum:
            return
        try:
            kind, raw = msgspec.msgpack.decode(body, type=tuple[str, msgspec.Raw])
            decoder = _KINDS.get(kind)
            yield (decoder.decode(raw) if decoder else None), end
        except (ValueError, RecursionError):
            return
        at = end


__all__ = ["LAYOUT", "Alive", "Checkpoint", "Opened", "frame", "read"]
