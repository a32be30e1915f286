"""Recordings over HTTP: which parts of a call's there are in the cluster, and its audio, from wherever that lies.

They stay on the machine that made them; a call that has moved has a part on each. Whoever asks here is answered from
this node's disk, or over the mesh from the node that has the part, piece by piece, as fast as they read and no faster.
All parts together are one file: each in its place by its packets' numbers (`nodes.audio.wav`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.audio.wav import HEADER_BYTES, Share, first_of, header, joined
from nodes.links.errors import LinkError, PeerGone, Refused
from nodes.links.recordings import Recordings
from nodes.links.roster import Peer
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves, pieces
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.pieces import PIECE_BYTES, Shelf
from protocols.wire.recordings import FindRecording, RecordingFound, name_of

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
class MissingPart:
    """A part that the call's events tell of, and no node has that answers: its node is away, or has lost it."""

    part: int
    node: NodeId


@dataclass(frozen=True, slots=True)
class Recorded:
    """All parts of a call's recording that were found. `silent`: nodes that did not answer, and may have more."""

    parts: tuple[RecordedPart, ...]
    silent: tuple[NodeId, ...] = ()
    missing: tuple[MissingPart, ...] = ()


class RecordingsApi:
    """The handlers. `elsewhere`: for each other node that lives, who answers for its disk; and who keeps ours, if any.

    `told`: of a call, which parts its events tell of, and which node made each.
    """

    def __init__(
        self, mesh: Mesh, ours: Recordings, shelves: Shelves, elsewhere: Callable[[], Sequence[Peer]],
        told: Callable[[CallId], Awaitable[Mapping[int, NodeId]]],
    ) -> None:  # fmt: skip
        self._mesh, self._ours, self._shelves, self._elsewhere, self._told = mesh, ours, shelves, elsewhere, told

    def table(self) -> tuple[Route, ...]:
        """Return the routes."""
        where = "The parts of a call's recording, in the cluster: `call` names it."
        audio = (
            "A call's recording as one WAV file; of a call that was moved, all its parts, or the `part` that is named."
        )
        return (
            Route("GET", "/api/recordings", where, Role.LEAD, self.parts, Recorded),
            Route("GET", "/api/recordings/audio", audio, Role.LEAD, self.audio),
        )

    async def parts(self, request: web.Request) -> Recorded:
        """Ask every node, and the recorder what there should be."""
        call_id = CallId(request.query.get("call", ""))
        found, told = await asyncio.gather(self._found(call_id), self._told(call_id))
        here = {one.part for one in found.parts}
        missing = tuple(MissingPart(part, node) for part, node in sorted(told.items()) if part not in here)
        return Recorded(found.parts, found.silent, missing)

    async def _found(self, call_id: CallId) -> Recorded:
        asked = FindRecording(call_id)
        us, others = self._mesh.identity, self._elsewhere()
        names = [node_of(peer.identity) for peer in others]
        told = await asyncio.gather(*(self._find(peer, asked) for peer in others))
        if (here := node_of(us)) not in names:  # nobody keeps recordings here: the directory is ours to look into
            names, told = [here, *names], [await self._ours.find(asked, us), *told]
        found = [
            RecordedPart(part, name, n_bytes)
            for name, one in zip(names, told, strict=True)
            if one is not None
            for part, n_bytes in one.parts.items()
        ]
        silent = tuple(name for name, one in zip(names, told, strict=True) if one is None)
        return Recorded(tuple(sorted(found, key=lambda one: (one.part, one.node))), silent)

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Send one part, or all of them as one."""
        call_id, number = CallId(request.query.get("call", "")), request.query.get("part", "")
        every = {one.part: one for one in reversed((await self._found(call_id)).parts)}
        parts = [one for part, one in sorted(every.items()) if number in ("", str(part))]
        if not parts:
            raise Refused("no_recording")
        if len(parts) == 1:
            name = name_of(call_id, parts[0].part if number else 0)
            return await self._send(request, name, parts[0].n_bytes, self._pieces(call_id, parts[0]))
        heads = [await self._first(call_id, part) for part in parts]
        sizes = [max(0, part.n_bytes - HEADER_BYTES) for part in parts]
        shares = joined([*zip(heads, sizes, strict=True)])
        n_bytes = sum(share.silence + share.n_bytes for share in shares)
        whole = self._whole(call_id, header(heads[0], n_bytes), [*zip(parts, shares, strict=True)])
        return await self._send(request, name_of(call_id, 0), HEADER_BYTES + n_bytes, whole)

    async def _first(self, call_id: CallId, part: RecordedPart) -> int:
        """Return the number of a part's first packet. Raises: LinkError."""
        head = await anext(self._pieces(call_id, part), b"")
        if (first := first_of(head)) is None:
            raise Refused("bad_recording")
        return first

    async def _whole(
        self, call_id: CallId, head: bytes, parts: Sequence[tuple[RecordedPart, Share]]
    ) -> AsyncIterator[bytes]:
        yield head
        for part, share in parts:
            for left in range(share.silence, 0, -PIECE_BYTES):
                yield bytes(min(left, PIECE_BYTES))
            skip = HEADER_BYTES + share.skip
            async for piece in self._pieces(call_id, part):
                yield piece[skip:]
                skip = max(0, skip - len(piece))

    async def _send(
        self, request: web.Request, name: str, n_bytes: int, whole: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        first = await anext(whole, b"")  # before anything is promised: a refusal is told as one
        response = web.StreamResponse(
            headers={
                "Content-Type": "audio/wav", "Content-Length": str(n_bytes), "Cache-Control": "no-store",
                "Content-Disposition": f'inline; filename="{name}.wav"', "X-Content-Type-Options": "nosniff",
            }
        )  # fmt: skip
        await response.prepare(request)
        left = n_bytes - len(first)
        await response.write(first)
        try:
            async for piece in whole:
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

    async def _pieces(self, call_id: CallId, part: RecordedPart) -> AsyncIterator[bytes]:
        """Read a part from where it lies, up to the length that was told. Raises: LinkError."""
        us, name = self._mesh.identity, name_of(call_id, part.part)
        who = self._holder(part.node) or (us if part.node == node_of(us) else None)
        if who is None:
            raise PeerGone(part.node)
        left = part.n_bytes
        async for piece in pieces(self._mesh, who, Shelf.RECORDINGS, name, PIECE_S, self._shelves):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


__all__ = ["MissingPart", "Recorded", "RecordedPart", "RecordingsApi"]
