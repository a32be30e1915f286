"""Recordings over HTTP: which parts of a call's there are in the cluster, and its audio, from wherever that lies.

They are on the machine that made them, or in the store where there is one; a call that has moved has a part on each.
Whoever asks here is answered from this node's disk, or over the mesh from whoever has the part or keeps recordings,
piece by piece, as fast as they read and no faster; a browser that asks for a range gets it. All parts together are one
file: each in its place by its packets' numbers (`nodes.audio.wav`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from aiohttp import web

from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.audio.wav import HEADER_BYTES, Share, first_of, header, joined
from nodes.links.anywhere import ask_first
from nodes.links.errors import LinkError, PeerGone, Refused
from nodes.links.recordings import KEEPER, Recordings
from nodes.links.roster import Peer
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves, pieces
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.pieces import PIECE_BYTES, Shelf
from protocols.wire.recordings import FindRecording, FindStored, RecordingFound, StoredPart, name_of

ASK_S: Final = 2.0
STORE_S: Final = 15.0
PIECE_S: Final = 40.0
"""So long may another node's disk, or the store, and the network take for 128 kB."""


@dataclass(frozen=True, slots=True)
class RecordedPart:
    """One file: the audio of one machine's share of a call."""

    part: int
    node: NodeId
    n_bytes: int
    is_stored: bool = False
    """It is in the store; `node` has made it."""


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
    is_store_away: bool = False
    """What is in the store could not be looked at just now."""


class RecordingsApi:
    """The handlers. `elsewhere`: for each other node that lives, who answers for its disk; and who keeps ours, if any.

    `keepers`: who can read the store, the nearest first. `told`: of a call, which parts its events tell of, and which
    node made each.
    """

    def __init__(
        self, mesh: Mesh, ours: Recordings, shelves: Shelves, elsewhere: Callable[[], Sequence[Peer]],
        told: Callable[[CallId], Awaitable[Mapping[int, NodeId]]], keepers: Callable[[], Sequence[Peer]] = tuple,
    ) -> None:  # fmt: skip
        self._mesh, self._ours, self._shelves, self._elsewhere, self._told = mesh, ours, shelves, elsewhere, told
        self._keepers = keepers

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
        return replace(found, missing=missing)

    async def _found(self, call_id: CallId) -> Recorded:
        asked = FindRecording(call_id)
        us, others = self._mesh.identity, self._elsewhere()
        names = [node_of(peer.identity) for peer in others]
        asking = (self._find(peer, asked) for peer in others)
        (stored, is_store_away), told = await asyncio.gather(self._find_stored(call_id), asyncio.gather(*asking))
        if (here := node_of(us)) not in names:  # nobody keeps recordings here: the directory is ours to look into
            names, told = [here, *names], [await self._ours.find(asked, us), *told]
        found = [
            RecordedPart(part, name, n_bytes)
            for name, one in zip(names, told, strict=True)
            if one is not None
            for part, n_bytes in one.parts.items()
        ]
        silent = tuple(name for name, one in zip(names, told, strict=True) if one is None)
        found += [RecordedPart(one.part, one.node, one.n_bytes, True) for one in stored]
        parts = sorted(found, key=lambda one: (one.part, one.is_stored, one.node))
        return Recorded(tuple(parts), silent, is_store_away=is_store_away)

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Send one part, or all of them as one."""
        call_id, number = CallId(request.query.get("call", "")), request.query.get("part", "")
        every = {one.part: one for one in reversed((await self._found(call_id)).parts)}
        parts = [one for part, one in sorted(every.items()) if number in ("", str(part))]
        if not parts:
            raise Refused("no_recording")
        if len(parts) == 1:
            name = name_of(call_id, parts[0].part if number else 0)
            return await self._send(request, name, parts[0].n_bytes, partial(self._pieces, call_id, parts[0]))
        heads = [await self._first(call_id, part) for part in parts]
        sizes = [max(0, part.n_bytes - HEADER_BYTES) for part in parts]
        shares = joined([*zip(heads, sizes, strict=True)])
        n_bytes = sum(share.silence + share.n_bytes for share in shares)
        whole = partial(self._whole, call_id, header(heads[0], n_bytes), [*zip(parts, shares, strict=True)])
        return await self._send(request, name_of(call_id, 0), HEADER_BYTES + n_bytes, whole)

    async def _first(self, call_id: CallId, part: RecordedPart) -> int:
        """Return the number of a part's first packet. Raises: LinkError."""
        head = await anext(self._pieces(call_id, part), b"")
        if (first := first_of(head)) is None:
            raise Refused("bad_recording")
        return first

    async def _whole(
        self, call_id: CallId, head: bytes, parts: Sequence[tuple[RecordedPart, Share]], start: int = 0
    ) -> AsyncIterator[bytes]:
        """Yield all parts in their places, without the first `start` bytes."""
        yield head[start:]
        start = max(0, start - len(head))
        for part, share in parts:
            for left in range(share.silence - start, 0, -PIECE_BYTES):
                yield bytes(min(left, PIECE_BYTES))
            start = max(0, start - share.silence)
            if start < share.n_bytes:
                async for piece in self._pieces(call_id, part, HEADER_BYTES + share.skip + start):
                    yield piece
            start = max(0, start - share.n_bytes)

    async def _send(
        self, request: web.Request, name: str, n_bytes: int, whole: Callable[[int], AsyncIterator[bytes]]
    ) -> web.StreamResponse:
        """Send what `whole` yields from a byte on: all of it, or the range that is asked for (RFC 9110 s.14)."""
        start, end, is_range = _range(request, n_bytes)
        if is_range and start >= end:
            raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{n_bytes}"})
        pieces = whole(start)
        first = (await anext(pieces, b""))[: end - start]  # before anything is promised: a refusal is told as one
        response = web.StreamResponse(
            status=206 if is_range else 200,
            headers={
                "Content-Type": "audio/wav", "Content-Length": str(end - start), "Cache-Control": "no-store",
                "Content-Disposition": f'inline; filename="{name}.wav"', "X-Content-Type-Options": "nosniff",
                "Accept-Ranges": "bytes",
                **({"Content-Range": f"bytes {start}-{end - 1}/{n_bytes}"} if is_range else {}),
            }
        )  # fmt: skip
        await response.prepare(request)
        left = end - start - len(first)
        await response.write(first)
        try:
            while left and (piece := (await anext(pieces, b""))[:left]):
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

    async def _find_stored(self, call_id: CallId) -> tuple[Sequence[StoredPart], bool]:
        """Return what is in the store, and whether it could not be looked at."""
        if not (keepers := self._keepers()):
            return (), False
        try:
            _, found = await ask_first(self._mesh, KEEPER, keepers, FindStored(call_id), STORE_S)
        except LinkError:
            return (), True
        return found.parts, False

    def _holder(self, node: NodeId) -> Identity | None:
        return next((peer.identity for peer in self._elsewhere() if node_of(peer.identity) == node), None)

    async def _pieces(self, call_id: CallId, part: RecordedPart, start: int = 0) -> AsyncIterator[bytes]:
        """Read a part from where it lies, from `start` up to the length that was told. Raises: LinkError."""
        us, name = self._mesh.identity, name_of(call_id, part.part)
        who = self._holder(part.node) or (us if part.node == node_of(us) else None)
        if part.is_stored:
            who = next((peer.identity for peer in self._keepers()), None)
        if who is None:
            raise PeerGone(part.node)
        left = part.n_bytes - start
        async for piece in pieces(self._mesh, who, Shelf.RECORDINGS, name, PIECE_S, self._shelves, start):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


def _range(request: web.Request, n_bytes: int) -> tuple[int, int, bool]:
    """Return the first byte that is wanted, the first that is not, and whether it is a range; a bad one is none."""
    try:
        wanted = request.http_range
    except ValueError:
        return 0, n_bytes, False
    start, end, _ = wanted.indices(n_bytes)
    return start, end, "Range" in request.headers


__all__ = ["MissingPart", "Recorded", "RecordedPart", "RecordingsApi"]
