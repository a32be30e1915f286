"""Files that lie on another machine, fetched piece by piece: prompts that a call plays, parts of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from protocols.wire.ids import CallId, PromptHash

PIECE_BYTES: Final = 128 * 1024
"""In one answer: half of what a message may have, 16 s of a prompt, and 10 ms of a network of 100 Mbit/s."""


class Shelf(StrEnum):
    """Which of a machine's directories a file is in."""

    PROMPTS = "prompts"
    RECORDINGS = "recordings"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file, from the offset that was asked for. `size`: of all of it, now."""

    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class GetPiece:
    """Read on in a file, `PIECE_BYTES` at most. `name`: without directory and suffix. Refused: `no_such_file`."""

    Reply: ClassVar[type[Piece]] = Piece
    shelf: Shelf
    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """What version 1 is answered. `size`: of the whole prompt."""

    audio: bytes
    size: int


@dataclass(frozen=True, slots=True)
class GetPrompt:
    """As `GetPiece`, in version 1."""

    Reply: ClassVar[type[PromptPiece]] = PromptPiece
    prompt: PromptHash
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RecordingPiece:
    """What version 1 is answered; fewer bytes than `PIECE_BYTES` say that the file ends with them."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GetRecording:
    """As `GetPiece`, in version 1."""

    Reply: ClassVar[type[RecordingPiece]] = RecordingPiece
    call_id: CallId
    part: int = 0
    offset: int = 0


PIECE_MESSAGES: Final[tuple[type, ...]] = (Piece, GetPiece, PromptPiece, GetPrompt, RecordingPiece, GetRecording)

__all__ = [
    "PIECE_BYTES", "PIECE_MESSAGES", "GetPiece", "GetPrompt", "GetRecording", "Piece", "PromptPiece", "RecordingPiece",
    "Shelf",
]  # fmt: skip
