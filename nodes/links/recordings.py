"""The recordings of this machine, for whoever asks over the mesh: what there is of a call. The bytes are `pieces`'.

Only what is published is told of (`<call_id>.wav`), never what is still being written. Files are looked for in threads.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves, is_name
from protocols.wire.ids import CallId, Identity
from protocols.wire.pieces import Shelf
from protocols.wire.recordings import FindRecording, RecordingFound, name_of


class Recordings:
    """Those on the shelf of recordings."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(FindRecording, self.find)

    async def find(self, asked: FindRecording, sender: Identity) -> RecordingFound:
        """Say which parts are here."""
        return RecordingFound(await asyncio.to_thread(self._parts, asked.call_id))

    def _parts(self, call_id: CallId) -> dict[int, int]:
        if not is_name(call_id):
            return {}
        found: dict[int, int] = {}
        for file in self._shelves.roots[Shelf.RECORDINGS].glob(f"{call_id}*.wav"):
            part = file.name.removeprefix(call_id).removesuffix(".wav").removeprefix(".")
            if (part or "0").isdecimal() and file.stem == name_of(call_id, int(part or 0)):
                with suppress(FileNotFoundError):  # removed just now
                    found[int(part or 0)] = file.stat().st_size
        return dict(sorted(found.items()))


__all__ = ["Recordings"]
