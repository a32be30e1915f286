"""Files that lie on another machine, fetched piece by piece: prompts that a call plays, parts of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

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


PIECE_MESSAGES: Final[tuple[type, ...]] = (Piece, GetPiece)

__all__ = ["PIECE_BYTES", "PIECE_MESSAGES", "GetPiece", "Piece", "Shelf"]
