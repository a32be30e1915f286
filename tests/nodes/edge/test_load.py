"""An edge hears of its engines and its media over a real mesh, and takes no more calls than they carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.call.record import CallRecord
from nodes.edge.capacity import SURE
from nodes.edge.load import Load
from nodes.links.load import LoadTeller
from nodes.links.roster import Peer, Roster, State
from nodes.machine import Machine
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import AttemptId, CallId, Identity
from protocols.wire.load import GivesUp, MediaLoad, SpeechLoad
from protocols.wire.messages import PlaceCall

EDGE, SPEECH, MEDIA = Identity("n1.edge-0:1"), Identity("n1.speech-0:1"), Identity("n1.media-0:1")


@dataclass
class Node:
    """One edge's load, and an engine and a media process that tell whatever the test wants."""

    load: Load
    engine: Mesh
    media: Mesh
    roster: Roster
    clock: list[float]
    records: list[CallRecord]

    def hold(self, n: int) -> None:
        order = PlaceCall(AttemptId("a"), CallId("a"), "sip:a@b", b"")
        self.records[:] = [CallRecord(order, answered_s=1.0)] * n

    async def tells(self, waiting_s: float, seconds: float, channels: int = 500) -> None:
        """Have both tell this, beat after beat, in a time of our own: as if so long had passed."""
        for _ in range(int(seconds / 0.5)):
            self.engine.tell(EDGE, SpeechLoad(waiting_s, waiting_s, 1.0, 0.5, 0.5))
            self.media.tell(EDGE, MediaLoad(0.001, 0.5, channels))
            await self.heard()

    async def heard(self) -> None:
        told = self.load.n_told
        async with asyncio.timeout(60):
            while self.load.n_told < told + 2:
                await asyncio.sleep(0.001)
        self.look()

    def look(self) -> None:
        self.clock[0] += 0.5
        self.load.step(self.clock[0])


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    meshes = [await Mesh.start(one, f"ipc://{tmp_path}/{one.partition('.')[2]}") for one in (EDGE, SPEECH, MEDIA)]
    roles = ("edge", "speech", "media")
    peers = [
        Peer(role, f"{role}-0", mesh.identity, mesh.endpoint, 1, State.ACTIVE)
        for role, mesh in zip(roles, meshes, strict=True)
    ]
    roster = Roster(1, tuple(peers))
    for mesh in meshes:
        mesh.roster(roster)
    records: list[CallRecord] = []
    clock = [1000.0]
    load = Load(meshes[0], lambda: records, 1, Machine(tmp_path / "nowhere"), lambda: clock[0])
    load.roster = roster
    yield Node(load, meshes[1], meshes[2], roster, clock, records)
    for mesh in meshes:
        await mesh.close()


async def test_an_edge_whose_callers_wait_takes_no_further_call_and_then_fewer(node: Node) -> None:
    node.hold(40)
    await node.tells(waiting_s=0.0, seconds=20.0)
    assert node.load.takes()
    await node.tells(waiting_s=0.4, seconds=20.0)
    assert not node.load.takes()
    assert node.load.figures()["capacity"] < 40
    assert node.load.figures()["room"] == 0


async def test_words_and_recordings_are_given_up_before_new_calls(node: Node) -> None:
    given_up = []
    for held in range(1, 61):
        node.hold(held)
        await node.tells(waiting_s=0.0, seconds=0.5, channels=50)
        given_up.append(node.load.gives_up)
        if not node.load.takes():
            break
    assert sorted(set(given_up)) == list(GivesUp)
    assert given_up == sorted(given_up)
    assert len(given_up) == 50
    node.hold(48)
    node.look()
    assert not node.load.takes(), "new calls are taken again a little later than they were refused"
    node.hold(47)
    node.look()
    assert node.load.takes()


async def test_campaigns_get_the_room_up_to_where_something_would_be_given_up(node: Node) -> None:
    node.hold(40)
    await node.tells(waiting_s=0.0, seconds=20.0, channels=50)
    assert node.load.figures()["room"] == 4
    node.hold(44)
    node.look()
    assert (node.load.gives_up, node.load.figures()["room"], node.load.takes()) == (GivesUp.NOTHING, 0, True)
    node.hold(45)
    node.look()
    assert node.load.gives_up is GivesUp.TRANSCRIPTS


async def test_an_engine_that_lives_and_says_nothing_is_late(node: Node) -> None:
    node.hold(40)
    await node.tells(waiting_s=0.0, seconds=10.0)
    for _ in range(40):  # 20 s of looks, all on time, and no word
        node.look()
    assert not node.load.takes()
    gone = Roster(2, tuple(peer for peer in node.roster.processes if peer.identity != SPEECH))
    node.load.roster = gone
    for _ in range(60):
        node.look()
    assert node.load.figures()["late_ms"] < 60, "the launcher has said that it is gone: the others hear"


async def test_calls_that_were_taken_over_are_held(node: Node) -> None:
    node.hold(SURE * 3)
    node.load.activate()
    assert node.load.figures()["capacity"] == SURE * 3


async def test_whoever_carries_calls_tells_the_active_edges_within_a_second(node: Node) -> None:
    teller = LoadTeller(node.engine, lambda late_s: SpeechLoad(late_s, late_s, 0.0, 0.0, 0.0))
    teller.roster = node.roster
    telling = asyncio.create_task(teller.run())
    try:
        async with asyncio.timeout(60):
            while not node.load.n_told:
                await asyncio.sleep(0.01)
    finally:
        telling.cancel()


async def test_edges_that_share_a_machine_count_on_their_part_of_it(node: Node, tmp_path: Path) -> None:
    """Each would have taken what the machine carries, and together they would have taken it as often as they are."""
    alone = node.load.figures()
    shared = Load(node.engine, lambda: node.records, 1, Machine(tmp_path / "nowhere"), lambda: node.clock[0], n_edges=2)
    shared.activate()
    figures = shared.figures()
    assert (figures["cores"], figures["capacity"]) == (alone["cores"] / 2, alone["capacity"] / 2)
