"""Recordings over HTTP, asked at a node that has not made them: a real server, real meshes, files on two disks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from nodes.admin import recordings
from nodes.admin.recordings import RecordingsApi
from nodes.admin.routes import handler_of
from nodes.audio.wav import FRAME_FILE_BYTES, header
from nodes.links.recordings import Recordings
from nodes.links.roster import Peer, State
from nodes.links.tasks import closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.mesh.pieces import Shelves
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.pieces import PIECE_BYTES, Shelf

NODES = ("n1", "n2", "n3")
KEY = ClusterKey.make()


@dataclass
class Rig:
    """Three nodes; the first is asked. `disks`: their directories."""

    address: str
    disks: dict[str, Path]
    meshes: dict[str, Mesh]
    told: dict[int, NodeId]
    """What the recorder knows of every call's parts."""

    def write(self, node: str, name: str, n_bytes: int) -> bytes:
        data = os.urandom(n_bytes)
        (self.disks[node] / name).write_bytes(data)
        return data

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.address + path) as reply:
            return reply.status, await (reply.json() if "json" in reply.content_type else reply.read())

    async def ranged(self, call: str, asked: str) -> tuple[int, str, bytes]:
        """Ask for a range; return the status, which range the answer says that it is, and the bytes."""
        url, wanted = f"{self.address}/api/recordings/audio?call={call}", {"Range": asked}
        async with aiohttp.ClientSession() as session, session.get(url, headers=wanted) as reply:
            return reply.status, reply.headers.get("Content-Range", ""), await reply.read()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        meshes: dict[str, Mesh] = {}
        disks = {node: tmp_path / node for node in NODES}
        for node in NODES:
            disks[node].mkdir()
            outside = Outside(KEY, "127.0.0.1")
            mesh = await Mesh.start(Identity(f"{node}.desk-0:1"), f"ipc://{tmp_path}/{node}.sock", outside)
            meshes[node] = await stack.enter_async_context(closing(mesh))
        peers = [
            Peer("desk", "desk-0", mesh.identity, mesh.address, 1, State.ACTIVE) for mesh in meshes.values()
        ]  # fmt: skip
        shelves = {node: Shelves({Shelf.RECORDINGS: disk}) for node, disk in disks.items()}
        for node, mesh in meshes.items():
            shelves[node].serve(mesh)
            Recordings(shelves[node]).serve(mesh)
            mesh.members(peers)
        ours = Recordings(shelves["n1"])
        told: dict[int, NodeId] = {}

        async def tell(call_id: CallId) -> dict[int, NodeId]:
            return told

        api = RecordingsApi(meshes["n1"], ours, shelves["n1"], lambda: peers[1:], tell)
        app = web.Application()
        app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in api.table()])
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Rig(f"http://127.0.0.1:{runner.addresses[0][1]}", disks, meshes, told)


@pytest.mark.parametrize("n_bytes", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_a_recording_is_the_same_from_whichever_node_it_comes(rig: Rig, n_bytes: int) -> None:
    for node in NODES:
        data = rig.write(node, f"of-{node}.wav", n_bytes)
        assert await rig.get(f"/api/recordings/audio?call=of-{node}") == (200, data)


async def test_a_call_that_was_moved_has_a_part_on_each_machine_that_had_it(rig: Rig) -> None:
    rig.write("n2", "c1.wav", 10)
    second = rig.write("n3", "c1.1.wav", 20)
    rig.write("n1", "c1.2.wav", 30)
    for other in ("c1.3.wav.part", "c10.wav", "c1.x.wav", "c1.01.wav"):
        rig.write("n1", other, 1)
    status, told = await rig.get("/api/recordings?call=c1")
    assert (status, [(one["part"], one["node"], one["n_bytes"]) for one in told["parts"]]) == (
        200, [(0, "n2", 10), (1, "n3", 20), (2, "n1", 30)],
    )  # fmt: skip
    assert told["silent"] == []
    assert await rig.get("/api/recordings/audio?call=c1&part=1") == (200, second)


def samples(first: int, last: int) -> bytes:
    """Frames that say their number, of a call's packets from one to before another."""
    return b"".join(number.to_bytes(2, "little") * (FRAME_FILE_BYTES // 2) for number in range(first, last))


async def test_the_parts_of_a_call_that_was_moved_are_one_file_in_which_each_is_in_its_place(rig: Rig) -> None:
    """The second machine has begun where the first still was, and between it and the third nobody had the call."""
    for node, part, first, last in (("n2", "c1", 100, 400), ("n3", "c1.1", 395, 700), ("n1", "c1.2", 750, 1200)):
        data = samples(first, last)
        (rig.disks[node] / f"{part}.wav").write_bytes(header(first, len(data)) + data)
    status, whole = await rig.get("/api/recordings/audio?call=c1")
    expected = samples(100, 700) + bytes(50 * FRAME_FILE_BYTES) + samples(750, 1200)
    assert status == 200
    assert whole == header(100, len(expected)) + expected


RANGES = {
    "0-0": (0, 1), "0-": (0, None), "-100": (-100, None), "131071-131074": (131071, 131075), "300000-": (300000, None),
    "100-99999999": (100, None), "66-70": (66, 71), "190000-420000": (190000, 420001),
}  # fmt: skip


async def test_a_range_of_a_recording_is_those_bytes_of_it_also_of_one_in_several_parts(rig: Rig) -> None:
    alone = rig.write("n2", "c0.wav", 3 * PIECE_BYTES)
    for node, part, first, last in (("n2", "c1", 100, 400), ("n3", "c1.1", 395, 700), ("n1", "c1.2", 750, 800)):
        data = samples(first, last)
        (rig.disks[node] / f"{part}.wav").write_bytes(header(first, len(data)) + data)
    _, whole = await rig.get("/api/recordings/audio?call=c1")
    for call, data in (("c0", alone), ("c1", whole)):
        for asked, (start, end) in RANGES.items():
            status, told, found = await rig.ranged(call, f"bytes={asked}")
            assert (status, found) == (206, data[start:end]), asked
            first = start % len(data)
            assert told == f"bytes {first}-{first + len(found) - 1}/{len(data)}"


@pytest.mark.parametrize("asked", [f"bytes={10**9}-", "bytes=1000-"])
async def test_a_range_beyond_the_end_is_refused_with_the_length(rig: Rig, asked: str) -> None:
    rig.write("n2", "c1.wav", 1000)
    assert (await rig.ranged("c1", asked))[:2] == (416, "bytes */1000")


@pytest.mark.parametrize("asked", ["bytes=x", "lines=1-2", "bytes=5-2", "bytes=1-2,4-5"])
async def test_what_is_no_range_that_we_know_is_answered_with_all_of_it(rig: Rig, asked: str) -> None:
    data = rig.write("n2", "c1.wav", 1000)
    status, _, found = await rig.ranged("c1", asked)
    assert (status, found) == (200, data)


async def test_parts_of_which_one_cannot_be_read_are_not_made_one(rig: Rig) -> None:
    rig.write("n2", "c1.wav", 1000)
    rig.write("n3", "c1.1.wav", 1000)
    assert await rig.get("/api/recordings/audio?call=c1") == (409, {"error": "bad_recording"})


async def test_a_part_that_is_told_of_and_lies_where_nobody_answers_is_shown_as_missing(rig: Rig) -> None:
    rig.write("n1", "c1.1.wav", 10)
    rig.told |= {0: NodeId("n9"), 1: NodeId("n1")}
    _, told = await rig.get("/api/recordings?call=c1")
    assert [one["part"] for one in told["parts"]] == [1]
    assert told["missing"] == [{"part": 0, "node": "n9"}]


async def test_a_node_that_does_not_answer_is_named_and_the_others_parts_are_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "ASK_S", 0.1)
    data = rig.write("n2", "c1.wav", 10)
    await rig.meshes["n3"].close()
    _, told = await rig.get("/api/recordings?call=c1")
    assert ([one["node"] for one in told["parts"]], told["silent"]) == (["n2"], ["n3"])
    assert await rig.get("/api/recordings/audio?call=c1") == (200, data)


@pytest.mark.parametrize("call", ["", "nothing", "..%2Fn2%2Fc1", "%2A", ".hidden", "c1%00", "c1.wav", "x" * 200])
async def test_what_is_no_recording_is_not_found_and_no_name_leaves_the_directory(rig: Rig, call: str) -> None:
    rig.write("n1", "c1.wav", 10)
    assert (await rig.get(f"/api/recordings?call={call}"))[1]["parts"] == []
    assert (await rig.get(f"/api/recordings/audio?call={call}"))[0] == 409
    assert (await rig.get("/api/recordings/audio?call=c1&part=-1"))[0] == 409
    assert (await rig.get("/api/recordings/audio?call=c1&part=x"))[0] == 409


async def test_a_node_that_dies_half_way_leaves_a_file_that_is_seen_to_be_cut(rig: Rig) -> None:
    rig.write("n2", "c1.wav", 400 * PIECE_BYTES)  # far more than sockets on the way can hold
    async with aiohttp.ClientSession() as session, session.get(f"{rig.address}/api/recordings/audio?call=c1") as reply:
        await reply.content.readexactly(10)
        await rig.meshes["n2"].close()
        rig.meshes["n1"].members([])
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
