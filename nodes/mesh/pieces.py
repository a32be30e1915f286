"""Files of one machine for another, piece by piece over the mesh: who has them, and who reads them.

What it does: gives pieces of what lies in the directories that a process offers, and reads a file whole, one piece
after the other, as fast as whoever reads takes them. What it does not: know where a file is. Files are read in threads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.config import Config
from nodes.links.errors import Refused
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.pieces import (
    PIECE_BYTES,
    GetPiece,
    GetPrompt,
    GetRecording,
    Piece,
    PromptPiece,
    RecordingPiece,
    Shelf,
)
from protocols.wire.recordings import name_of

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,159}")
"""What a file may be called: no way out of its directory."""
SUFFIXES: Final = {Shelf.PROMPTS: "ulaw", Shelf.RECORDINGS: "wav"}


@dataclass(frozen=True, slots=True)
class Shelves:
    """The directories of this machine that others may read from. `more`: further ones of a shelf."""

    roots: Mapping[Shelf, Path]
    more: Mapping[Shelf, tuple[Path, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> Shelves:
        """Return all that there are."""
        first, *more = config.recording_roots
        return cls({Shelf.PROMPTS: config.paths.prompts, Shelf.RECORDINGS: first}, {Shelf.RECORDINGS: tuple(more)})

    def all(self, shelf: Shelf) -> tuple[Path, ...]:
        """Return all directories of a shelf."""
        return self.roots[shelf], *self.more.get(shelf, ())

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(GetPiece, self.get)
        mesh.serve(GetPrompt, self._prompt)
        mesh.serve(GetRecording, self._recording)

    async def _prompt(self, asked: GetPrompt, sender: Identity) -> PromptPiece:
        """Answer a machine that has not been upgraded yet. Refuses: as `get`."""
        piece = await self.get(GetPiece(Shelf.PROMPTS, asked.prompt, asked.offset), sender)
        return PromptPiece(piece.data, piece.size)

    async def _recording(self, asked: GetRecording, sender: Identity) -> RecordingPiece:
        """Answer a machine that has not been upgraded yet. Refuses: as `get`."""
        name = name_of(asked.call_id, asked.part)
        return RecordingPiece((await self.get(GetPiece(Shelf.RECORDINGS, name, asked.offset), sender)).data)

    async def get(self, asked: GetPiece, sender: Identity) -> Piece:
        """Read on in a file. Refuses: `no_such_file`."""
        try:
            return await asyncio.to_thread(self._read, asked)
        except (OSError, ValueError, KeyError) as error:
            raise Refused("no_such_file") from error

    def path(self, shelf: Shelf, name: str) -> Path:
        """Return where a file lies, or would. Raises: ValueError, for what is no name; KeyError."""
        if not is_name(name):
            raise ValueError(name)
        paths = [root / f"{name}.{SUFFIXES[shelf]}" for root in self.all(shelf)]
        return next((path for path in paths if path.exists()), paths[0])

    def _read(self, asked: GetPiece) -> Piece:
        with self.path(asked.shelf, asked.name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(asked.offset)
            return Piece(file.read(PIECE_BYTES), size)


def is_name(name: str) -> bool:
    """Say whether a file may be called so.

    >>> is_name("c1.2"), is_name("../c1"), is_name("")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


async def pieces(
    mesh: Mesh, who: Identity, shelf: Shelf, name: str, timeout_s: float, ours: Shelves | None = None, start: int = 0
) -> AsyncIterator[bytes]:
    """Read a file that another process's machine has, up to the length that it has now; or `ours`, where that is us.

    `start`: from this byte on. Raises: LinkError, also `cut_short` when the file has become shorter meanwhile.
    """
    offset, size = start, -1
    while size < 0 or offset < size:
        asked = GetPiece(shelf, name, offset)
        if who == mesh.identity and ours is not None:
            piece = await ours.get(asked, who)
        else:
            piece = await mesh.ask(who, asked, timeout_s)
        size = piece.size if size < 0 else size
        if offset < size and not piece.data:
            raise Refused("cut_short")
        yield piece.data[: size - offset]
        offset += len(piece.data)


__all__ = ["SUFFIXES", "Shelves", "is_name", "pieces"]
