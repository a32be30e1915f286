"""Central asks the edges how they are, over a real mesh; one that is late is asked to give calls away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.central import balance, edges
from nodes.central.edges import Edges
from nodes.central.places import Home, Places
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
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
        watched = Edges(meshes[CENTRAL], places)
        watching = asyncio.create_task(watched.watch())
        async with asyncio.timeout(20):
            while not watched.n_moved:
                await asyncio.sleep(0.01)
        watching.cancel()
    assert asked[0] == MoveShare(balance.SHARE, balance.RESTS_S, (NodeId("b"),))
