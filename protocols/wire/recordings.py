"""Recordings stay on the machine that made them; whoever wants one asks there, piece by piece.

A call that was moved has a part on each machine that had it, by number: `<call_id>.wav`, `<call_id>.1.wav`, ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.wire.ids import CallId

PIECE_BYTES: Final = 128 * 1024
"""Of audio in one answer: eight seconds, and half of what a message may have."""


@dataclass(frozen=True, slots=True)
class RecordingFound:
    """Which parts are here: number -> bytes of the file."""

    parts: dict[int, int]


@dataclass(frozen=True, slots=True)
class FindRecording:
    """Say which parts of a call's recording are on your machine; none is an answer, too."""

    Reply: ClassVar[type[RecordingFound]] = RecordingFound
    call_id: CallId


@dataclass(frozen=True, slots=True)
class RecordingPiece:
    """Bytes of the file; fewer than `PIECE_BYTES` say that it ends with them."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GetRecording:
    """Read the next `PIECE_BYTES` of a part. Refused: `no_recording`."""

    Reply: ClassVar[type[RecordingPiece]] = RecordingPiece
    call_id: CallId
    part: int
    offset: int


RECORDING_MESSAGES: Final = (RecordingFound, FindRecording, RecordingPiece, GetRecording)

__all__ = [
    "PIECE_BYTES",
    "RECORDING_MESSAGES",
    "FindRecording",
    "GetRecording",
    "RecordingFound",
    "RecordingPiece",
]
