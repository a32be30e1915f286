"""A node that joined by one server is let in by another as soon as it is heard to live."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import parse
from nodes.links import cluster_keys, cluster_state
from nodes.links.letting_in import let_in_who_lives
from nodes.links.members import Members
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from protocols.wire.cluster import ClusterTold, Member, NodeState, NodeWord
from protocols.wire.ids import Identity, NodeId
from protocols.wire.roles import Role
from tests.conftest import NatsServer, running

N1, N2 = NodeId("n1"), NodeId("n2")


def member(state: NodeState, revision: int) -> Member:
    return Member(NodeWord(N2, 1, revision, "c", 1, "0", "", ("edge",), "", 0.0, ()), state)


async def test_who_lives_is_let_in_once_and_who_was_never_heard_alive_is_not(tmp_path: Path) -> None:
    cluster_keys.make(tmp_path / "n1", "prod", N1)
    keys = cluster_keys.keys_for(
        tmp_path / "n1", N2, ("nats://x:1",)
    )  # made by another machine, for this one knows no n2
    async with (
        running(NatsServer(server.find(), tmp_path / "n1", "[cluster]\nbind = '127.0.0.1'\n")) as made,
        Tasks() as tasks,
    ):
        second = parse(
            f"[node]\nid = 'n2'\n[nats]\nurl = '{made.plan.url}'\n[paths]\nstate = '{tmp_path}/n2'", "t", tmp_path
        )
        cluster_keys.unpack(keys, tmp_path / "n2")
        async with closing(await Mesh.start(Identity("n1.edge-0:1"))) as mesh:
            members = Members(mesh, made.config)
            let_in_who_lives(made.config, members, tasks)
            members.take(ClusterTold(1, (member(NodeState.DEAD, 1),)))
            assert cluster_state.known(tmp_path / "n1") == [N1]
            for revision in (2, 3):
                members.take(ClusterTold(revision, (member(NodeState.ALIVE, revision),)))
            bus = await Bus.connect(login(second, Role.EDGE), name="n2.edge-0:1", node_id=N2)
            async with asyncio.timeout(60):
                await bus.up()
            await bus.close()
    assert cluster_state.known(tmp_path / "n1") == [N1, N2]
