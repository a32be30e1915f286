"""Files of one machine for another, piece by piece over the mesh; and none that lies elsewhere."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.links.errors import PeerGone, Refused
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves, pieces
from protocols.wire.ids import Identity
from protocols.wire.pieces import PIECE_BYTES, GetPiece, Shelf

WHO = Identity("n1.desk-0:1")


@dataclass
class Rig:
    """Who reads, and the directory from which it does."""

    mesh: Mesh
    root: Path

    async def read(self, name: str, who: Identity = WHO) -> bytes:
        return b"".join([piece async for piece in pieces(self.mesh, who, Shelf.RECORDINGS, name, 2.0)])


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        has = await stack.enter_async_context(closing(await Mesh.start(WHO, f"ipc://{tmp_path}/has")))
        reads = await stack.enter_async_context(
            closing(await Mesh.start(Identity("n1.command:1"), f"ipc://{tmp_path}/reads"))
        )
        for mesh in (has, reads):
            mesh.roster(Roster(1, (Peer("desk", "desk-0", WHO, has.endpoint, 1, State.ACTIVE),)))
        (root := tmp_path / "recordings").mkdir()
        Shelves({Shelf.RECORDINGS: root}).serve(has)
        yield Rig(reads, root)


@pytest.mark.parametrize("n_bytes", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7])
async def test_a_file_is_read_whole_whatever_its_length(rig: Rig, n_bytes: int) -> None:
    (rig.root / "c1.wav").write_bytes(data := os.urandom(n_bytes))
    assert await rig.read("c1") == data


async def test_a_file_that_becomes_shorter_meanwhile_is_not_taken_for_whole(rig: Rig) -> None:
    (file := rig.root / "c1.wav").write_bytes(bytes(3 * PIECE_BYTES))
    reading = pieces(rig.mesh, WHO, Shelf.RECORDINGS, "c1", 2.0)
    await anext(reading)
    file.write_bytes(bytes(PIECE_BYTES))
    with pytest.raises(Refused, match="cut_short"):
        await anext(reading)


async def test_a_file_that_grows_meanwhile_is_read_as_long_as_it_was(rig: Rig) -> None:
    (file := rig.root / "c1.wav").write_bytes(bytes(PIECE_BYTES + 5))
    reading = pieces(rig.mesh, WHO, Shelf.RECORDINGS, "c1", 2.0)
    first = await anext(reading)
    with file.open("ab") as more:
        more.write(bytes(1000))
    assert len(first + b"".join([piece async for piece in reading])) == PIECE_BYTES + 5


@pytest.mark.parametrize("name", ["", "nothing", "../secret", "..", ".hidden", "a/b", "c1\0", "*", "x" * 200])
async def test_no_name_leads_out_of_the_directory(rig: Rig, name: str) -> None:
    (rig.root.parent / "secret.wav").write_bytes(b"secret")
    (rig.root / ".hidden.wav").write_bytes(b"secret")
    with pytest.raises(Refused, match="no_such_file"):
        await rig.read(name)


async def test_nothing_is_read_before_a_file_begins_nor_from_a_shelf_that_is_not_offered(rig: Rig) -> None:
    (rig.root / "c1.wav").write_bytes(b"audio")
    for asked in (GetPiece(Shelf.RECORDINGS, "c1", -3), GetPiece(Shelf.PROMPTS, "c1")):
        with pytest.raises(Refused, match="no_such_file"):
            await rig.mesh.ask(WHO, asked)


async def test_who_is_gone_is_not_waited_for(rig: Rig) -> None:
    with pytest.raises(PeerGone):
        await rig.read("c1", Identity("n2.desk-0:1"))
