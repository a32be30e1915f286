"""The recordings of this machine, for whoever asks over the mesh: what there is of a call, and the bytes of a part.

Only what is published is told of (`<call_id>.wav`), never what is still being written. Files are read in threads.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from nodes.links.errors import Refused
from nodes.links.mesh import Mesh
from protocols.wire.ids import CallId, Identity
from protocols.wire.recordings import PIECE_BYTES, FindRecording, GetRecording, RecordingFound, RecordingPiece

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
"""A call's name as a file's: no way out of the directory."""


class Recordings:
    """Those in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(FindRecording, self.find)
        mesh.serve(GetRecording, self.get)

    async def find(self, asked: FindRecording, sender: Identity) -> RecordingFound:
        """Say which parts are here."""
        return RecordingFound(await asyncio.to_thread(self._parts, asked.call_id))

    async def get(self, asked: GetRecording, sender: Identity) -> RecordingPiece:
        """Read on in a part. Refuses: `no_recording`."""
        try:
            return RecordingPiece(await asyncio.to_thread(self._piece, asked))
        except (OSError, ValueError) as error:
            raise Refused("no_recording") from error

    def _parts(self, call_id: CallId) -> dict[int, int]:
        if not _NAME.fullmatch(call_id):
            return {}
        found: dict[int, int] = {}
        for file in self._directory.glob(f"{call_id}*.wav"):
            part = file.name.removeprefix(call_id).removesuffix(".wav").removeprefix(".")
            if (part or "0").isdecimal() and file == self._file(call_id, int(part or 0)):
                with suppress(FileNotFoundError):  # removed just now
                    found[int(part or 0)] = file.stat().st_size
        return dict(sorted(found.items()))

    def _piece(self, asked: GetRecording) -> bytes:
        if not _NAME.fullmatch(asked.call_id):
            raise ValueError(asked.call_id)
        with self._file(asked.call_id, asked.part).open("rb") as file:
            file.seek(asked.offset)
            return file.read(PIECE_BYTES)

    def _file(self, call_id: CallId, part: int) -> Path:
        return self._directory / (f"{call_id}.{part}.wav" if part else f"{call_id}.wav")


__all__ = ["Recordings"]
