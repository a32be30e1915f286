"""The recordings on this machine's disk, for whoever asks over the mesh: what there is of a call, and its end.

Only what is published is told of (`<call_id>.wav`), never what is still being written; the bytes are `pieces`'. What is
erased is everything that bears the call's name: what is published, its encrypted form, drafts, and what a dead machine
has left; only what is being written at this moment stays, and is told of. Files are looked for in threads.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.links.errors import LinkError, Refused
from nodes.links.members import Members
from nodes.links.roster import Peer
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves, is_name
from protocols.wire.cluster import NodeState
from protocols.wire.ids import CallId, Identity, NodeId, node_of
from protocols.wire.pieces import Shelf
from protocols.wire.recordings import (
    MOST_ERASED,
    EraseRecordings,
    FindRecording,
    Held,
    RecordingFound,
    RecordingsErased,
    part_of,
)

WAV, PART, SEALED = "wav", "part", "sealed"
"""Suffixes: published; being written; published and encrypted (`nodes/storage`)."""
WRITTEN_S: Final = 60.0
"""What has not been written for so long is not being written: a channel writes each second, and a call that has lost
its machine goes on within 20 s."""
KEEPER: Final = "storage"
"""The role of who keeps recordings, where that is configured."""
ERASE_S: Final = 60.0
"""So long may a node take to erase: it may wait for an upload, and for a store that is slow."""


class Recordings:
    """Those on the shelf of recordings."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(FindRecording, self.find)
        mesh.serve(EraseRecordings, self.erase)

    async def find(self, asked: FindRecording, sender: Identity) -> RecordingFound:
        """Say which parts are here."""
        return RecordingFound(await asyncio.to_thread(self._parts, asked.call_id))

    async def erase(self, asked: EraseRecordings, sender: Identity) -> RecordingsErased:
        """Have nothing left. Refuses: `too_many`."""
        if len(asked.call_ids) > MOST_ERASED:
            raise Refused("too_many")
        return await asyncio.to_thread(erase, self._shelves.all(Shelf.RECORDINGS), asked.call_ids, asked.only_look)

    def _parts(self, call_id: CallId) -> dict[int, int]:
        found: dict[int, int] = {}
        for file in files_of(self._shelves.all(Shelf.RECORDINGS), [call_id]):
            if file.suffix == WAV:
                found.setdefault(file.part, file.n_bytes)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class File:
    """A file that has a part of a call's recording, or will. `changed_s`: wall time of its last change."""

    path: Path
    call_id: CallId
    part: int
    suffix: str
    n_bytes: int
    changed_s: float


def files_of(roots: Iterable[Path], call_ids: Collection[CallId]) -> Iterator[File]:
    """Yield the files of these calls, of all suffixes, and drafts of them (which begin with a dot)."""
    wanted = {call_id for call_id in call_ids if is_name(call_id)}
    for root in roots:
        for entry in _entries(root):
            name, _, suffix = entry.name.removeprefix(".").rpartition(".")
            for call_id in {CallId(name), CallId(name.rpartition(".")[0])} & wanted:
                part = part_of(name, call_id)
                if part is not None and suffix in (WAV, PART, SEALED):
                    with suppress(FileNotFoundError):  # renamed or removed just now
                        told = entry.stat()
                        yield File(Path(entry.path), call_id, part, suffix, told.st_size, told.st_mtime)


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            yield from entries
    except FileNotFoundError:  # nothing has been recorded there yet
        return


def erase(roots: Sequence[Path], call_ids: Collection[CallId], only_look: bool = False) -> RecordingsErased:
    """Remove all files of these calls that nobody writes, and look again. Raises: OSError."""
    deleted: list[Held] = []
    for file in files_of(roots, call_ids) if not only_look else ():
        if not _is_written(file):
            with suppress(FileNotFoundError):
                file.path.unlink()
                deleted.append(_held(file))
    for root in roots if deleted else ():
        _sync(root)
    return RecordingsErased(tuple(deleted), tuple(map(_held, files_of(roots, call_ids))))


def _is_written(file: File) -> bool:
    return file.suffix == PART and time.time() - file.changed_s < WRITTEN_S


def _held(file: File) -> Held:
    why = "recording" if _is_written(file) else ""
    return Held(file.call_id, file.path.name, "disk", file.n_bytes, why)


def _sync(root: Path) -> None:
    """Have the disk know that names are gone: a power cut brings none of them back."""
    with suppress(FileNotFoundError):
        number = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


# ---- in the cluster -------------------------------------------------------------------------------------------------


def holders(members: Members) -> list[Peer]:
    """Return, for each node that can be asked, who answers for its disk: who keeps it, else its desk, else its edge."""
    found: dict[NodeId, Peer] = {}
    for role in (KEEPER, "desk", "edge"):
        for peer in members.of_role(role):
            found.setdefault(node_of(peer.identity), peer)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class ErasedEverywhere:
    """What each node has deleted, and what is left there. `is_proven`: all were asked and nothing is left anywhere."""

    nodes: dict[NodeId, RecordingsErased]
    silent: tuple[NodeId, ...] = ()
    """Nodes that did not answer or are down: ask again when they are back."""

    @property
    def is_proven(self) -> bool:
        """Whether nothing can be left on any machine of the cluster, or in the store."""
        return not self.silent and not any(one.left or one.unseen for one in self.nodes.values())


async def erase_everywhere(
    mesh: Mesh, members: Members, call_ids: Sequence[CallId], only_look: bool = False, ours: Recordings | None = None
) -> ErasedEverywhere:
    """Have nothing left of the recordings of these calls in the whole cluster; or only say what there is.

    Every node is asked, then every node once more: what one has uploaded meanwhile, another sees in the store. It may
    be asked as often as one likes. A node that holds recordings and is away is in `silent`. `ours`: what this process
    answers with, if it is one that does. Raises: nothing.
    """
    deleted: dict[NodeId, list[Held]] = {}
    last = ErasedEverywhere({})
    for looks in (True,) if only_look else (False, True):
        last = await _ask_all(mesh, members, call_ids, looks, ours)
        for node, one in last.nodes.items():
            deleted.setdefault(node, []).extend(one.deleted)
    seen = {
        node: RecordingsErased(tuple(deleted.get(node, ())), one.left, one.unseen) for node, one in last.nodes.items()
    }
    return ErasedEverywhere(seen, last.silent)


async def _ask_all(
    mesh: Mesh, members: Members, call_ids: Sequence[CallId], looks: bool, ours: Recordings | None
) -> ErasedEverywhere:
    there = {node_of(peer.identity): peer for peer in holders(members)}
    away = {one.word.node for one in members.nodes if one.state is not NodeState.ALIVE} - there.keys()
    told = await asyncio.gather(*(_ask(mesh, peer, call_ids, looks, ours) for peer in there.values()))
    nodes = {node: one for node, one in zip(there, told, strict=True) if one is not None}
    return ErasedEverywhere(nodes, tuple(sorted(away | (there.keys() - nodes.keys()))))


async def _ask(
    mesh: Mesh, peer: Peer, call_ids: Sequence[CallId], looks: bool, ours: Recordings | None
) -> RecordingsErased | None:
    deleted: list[Held] = []
    left: list[Held] = []
    unseen: set[str] = set()
    for at in range(0, len(call_ids), MOST_ERASED):
        asked = EraseRecordings(tuple(call_ids[at : at + MOST_ERASED]), looks)
        try:
            if ours is not None and peer.identity == mesh.identity:
                one = await ours.erase(asked, mesh.identity)
            else:
                one = await mesh.ask(peer.identity, asked, ERASE_S)
        except LinkError:
            return None
        deleted += one.deleted
        left += one.left
        unseen.update(one.unseen)
    return RecordingsErased(tuple(deleted), tuple(left), tuple(sorted(unseen)))


__all__ = [
    "KEEPER", "PART", "SEALED", "WAV", "WRITTEN_S", "ErasedEverywhere", "File", "Recordings", "erase",
    "erase_everywhere", "files_of", "holders",
]  # fmt: skip
