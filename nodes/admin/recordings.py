"""Recordings over HTTP: which parts of a call's there are in the cluster, and the audio of one, from wherever it lies.

They stay on the machine that made them. Whoever asks here is answered from this node's disk, or over the mesh from the
node that has the part, piece by piece, as fast as they read and no faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.links.errors import LinkError, PeerGone, Refused
from nodes.links.mesh import Mesh
from nodes.links.recordings import Recordings
from nodes.links.roster import Peer
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.recordings import PIECE_BYTES, FindRecording, GetRecording, RecordingFound

ASK_S: Final = 2.0
PIECE_S: Final = 10.0
"""So long may another node's disk and the network take for 128 kB."""


@dataclass(frozen=True, slots=True)
class RecordedPart:
    """One file: the audio of one machine's share of a call."""

    part: int
    node: NodeId
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """All parts of a call's recording that were found. `silent`: nodes that did not answer, and may have more."""

    parts: tuple[RecordedPart, ...]
    silent: tuple[NodeId, ...] = ()


class RecordingsApi:
    """The handlers. `elsewhere`: for each other node that lives, who answers for its disk."""

    def __init__(self, mesh: Mesh, ours: Recordings, elsewhere: Callable[[], Sequence[Peer]]) -> None:
        self._mesh, self._ours, self._elsewhere = mesh, ours, elsewhere

    def table(self) -> tuple[Route, ...]:
        """Return the routes."""
        where = "The parts of a call's recording, in the cluster: `call` names it."
        return (
            Route("GET", "/api/recordings", where, Role.LEAD, self.parts, Recorded),
            Route("GET", "/api/recordings/audio", "The WAV file of a call's `part` (0).", Role.LEAD, self.audio),
        )

    async def parts(self, request: web.Request) -> Recorded:
        """Ask every node."""
        asked = FindRecording(CallId(request.query.get("call", "")))
        us, others = self._mesh.identity, self._elsewhere()
        told = await asyncio.gather(self._ours.find(asked, us), *(self._find(peer, asked) for peer in others))
        names = [node_of(us), *(node_of(peer.identity) for peer in others)]
        found = [
            RecordedPart(part, name, n_bytes)
            for name, one in zip(names, told, strict=True)
            if one is not None
            for part, n_bytes in one.parts.items()
        ]
        silent = tuple(name for name, one in zip(names, told, strict=True) if one is None)
        return Recorded(tuple(sorted(found, key=lambda one: (one.part, one.node))), silent)

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Send one part."""
        call_id, number = CallId(request.query.get("call", "")), request.query.get("part", "0")
        found = (await self.parts(request)).parts
        part = next((one for one in found if str(one.part) == number), None)
        if part is None:
            raise Refused("no_recording")
        who = self._mesh.identity if part.node == node_of(self._mesh.identity) else self._holder(part.node)
        if who is None:
            raise PeerGone(part.node)
        pieces = self._pieces(who, call_id, part)
        first = await anext(pieces, b"")  # before anything is promised: a refusal is told as one
        name = f"{call_id}.{part.part}.wav" if part.part else f"{call_id}.wav"
        response = web.StreamResponse(
            headers={
                "Content-Type": "audio/wav", "Content-Length": str(part.n_bytes), "Cache-Control": "no-store",
                "Content-Disposition": f'inline; filename="{name}"', "X-Content-Type-Options": "nosniff",
            }
        )  # fmt: skip
        await response.prepare(request)
        left = part.n_bytes - len(first)
        await response.write(first)
        try:
            async for piece in pieces:
                await response.write(piece)
                left -= len(piece)
        except LinkError:
            pass
        if left:
            response.force_close()  # shorter than promised: who reads sees it
        else:
            await response.write_eof()
        return response

    async def _find(self, peer: Peer, asked: FindRecording) -> RecordingFound | None:
        try:
            return await self._mesh.ask(peer.identity, asked, ASK_S)
        except LinkError:
            return None

    def _holder(self, node: NodeId) -> Identity | None:
        return next((peer.identity for peer in self._elsewhere() if node_of(peer.identity) == node), None)

    async def _pieces(self, who: Identity, call_id: CallId, part: RecordedPart) -> AsyncIterator[bytes]:
        """Read one piece after the other, up to the length that was told. Raises: LinkError."""
        offset = 0
        while offset < part.n_bytes:
            asked = GetRecording(call_id, part.part, offset)
            if who == self._mesh.identity:
                piece = (await self._ours.get(asked, who)).data
            else:
                piece = (await self._mesh.ask(who, asked, PIECE_S)).data
            yield piece[: part.n_bytes - offset]
            offset += len(piece)
            if len(piece) < PIECE_BYTES:
                return


__all__ = ["Recorded", "RecordedPart", "RecordingsApi"]
