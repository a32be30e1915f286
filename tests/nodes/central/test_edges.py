"""Central asks the edges how they are, over a real mesh; one that is late is asked to give calls away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.central import balance, edges
from nodes.central.edges import Edges, there_are
from nodes.central.places import Home, Places
from nodes.config import parse
from nodes.links.errors import Refused
from nodes.links.members import Members
from nodes.links.roster import History, Launcher, Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.desk import MoveShare, ShareMoves
from protocols.wire.ids import Identity, NodeId
from protocols.wire.messages import GetStatus, Status

CENTRAL, A, B = Identity("a.central-0:1"), Identity("a.edge-0:1"), Identity("b.edge-0:1")
LATE, FINE = {"late_ms": 400.0, "calls": 10.0, "room": 0.0}, {"late_ms": 0.0, "calls": 0.0, "room": 9.0}


def peer(mesh: Mesh, at: str) -> Peer:
    return Peer("edge", "edge-0", mesh.identity, at, 1, State.ACTIVE, at)


async def test_an_edge_that_stays_late_is_asked_for_calls_and_asked_again_when_it_has_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "LOOK_S", 0.02)
    monkeypatch.setattr(balance, "HOLD_S", 0.1)
    asked: list[MoveShare] = []

    def gives(order: MoveShare, sender: Identity) -> ShareMoves:
        asked.append(order)
        if len(asked) == 1:
            raise Refused("nobody")
        return ShareMoves(2, 10)

    key = ClusterKey.make()
    async with AsyncExitStack() as stack:
        meshes = {}
        for one in (CENTRAL, A, B):
            outside = Outside(key, "127.0.0.1", (0, 0))
            mesh = await Mesh.start(one, f"ipc://{tmp_path}/{one}", outside)
            meshes[one] = await stack.enter_async_context(closing(mesh))
        meshes[CENTRAL].roster(Roster(1, (peer(meshes[A], meshes[A].endpoint),)))
        meshes[CENTRAL].members([peer(meshes[B], meshes[B].address)])
        for one, figures in ((A, LATE), (B, FINE)):
            meshes[one].serve(GetStatus, lambda _, sender, figures=figures: Status("edge", 1, figures))
        meshes[A].serve(MoveShare, gives)
        places = Places()
        places.follow({A: Home(NodeId("a")), B: Home(NodeId("b"))})
        watched = Edges(meshes[CENTRAL], places, lambda now: None)
        watching = asyncio.create_task(watched.watch())
        async with asyncio.timeout(60):
            while not watched.n_moved:
                await asyncio.sleep(0.01)
        watching.cancel()
    assert asked[0] == MoveShare(balance.SHARE, balance.RESTS_S, (NodeId("b"),))


def told_of(n_active: int, n_edges: int = 2, state: NodeState = NodeState.ALIVE) -> Member:
    processes = tuple(NodeProcess("edge", f"edge-{n}", Identity(f"b.edge-{n}:1"), "", 1, True) for n in range(n_active))
    word = NodeWord(
        NodeId("b"), 1, 1, "c", 1, "v", "far", ("edge",), "", 0.0, processes, n_edges=n_edges
    )  # fmt: skip
    return Member(word, state, is_proven=state is NodeState.DEAD)


@pytest.mark.parametrize(
    ("here", "there", "silent", "gone"),
    [
        (2, told_of(2), set(), set()),
        (1, told_of(2), {"a"}, set()),
        (0, told_of(2), {"a"}, set()),
        (2, told_of(1), {"b"}, set()),
        (2, told_of(1, n_edges=1), set(), set()),
        (2, told_of(2, state=NodeState.SILENT), {"b"}, set()),
        (2, told_of(2, state=NodeState.DEAD), set(), {"b"}),
    ],
)
async def test_a_node_of_which_one_edge_is_between_two_lives_may_have_calls_of_which_the_other_does_not_know(
    tmp_path: Path, here: int, there: Member, silent: set[str], gone: set[str]
) -> None:
    """A call that its other edge does not have was taken for lost, and its contact dialled again."""
    config = parse('[node]\nid = "a"\n[edge]\nprocesses = 2', "test", tmp_path)
    async with closing(await Mesh.start(CENTRAL, f"ipc://{tmp_path}/central")) as mesh:
        histories = tuple(History(f"edge-{n}", "Pair", "running", None, 0, (), None) for n in range(2))
        peers = tuple(Peer("edge", f"edge-{n}", Identity(f"a.edge-{n}:1"), "", 1, State.ACTIVE) for n in range(here))
        roster, members = Roster(1, peers, Launcher(1, 0.0, 60.0, histories)), Members(mesh, config)
        members.follow(roster)
        members.take(ClusterTold(1, (there,)))
        homes, found_silent, found_gone = there_are(config.node, roster, members)
    assert (found_silent, found_gone) == (silent, gone)
    n_there = len(there.word.processes) if there.state is NodeState.ALIVE else 0
    assert len(homes) == here + n_there
    assert {home.zone for home in homes.values() if home.node == "b"} == ({"far"} if n_there else set())
