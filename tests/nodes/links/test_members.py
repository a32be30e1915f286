"""What a process knows of the other nodes, and of what it is told that something is new."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nodes.config import parse
from nodes.links.members import Members
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord
from protocols.wire.ids import Identity, NodeId

EDGE = NodeProcess("edge", "edge-0", Identity("n2.edge-0:1"), "", 7, True)
WORD = NodeWord(NodeId("n2"), 1, 1, "prod", 1, "1.0", "", (), "", 0.0, (EDGE,))


async def test_figures_of_other_nodes_are_known_and_wake_nobody_and_all_else_is_told(tmp_path: Path) -> None:
    """They are new every two seconds, of every node, in every process: each handler looked at all of its calls then."""
    async with closing(await Mesh.start(Identity("n1.edge-0:1"), f"ipc://{tmp_path}/edge")) as mesh:
        members, told, number = Members(mesh, parse("", "test", tmp_path)), list[Member](), 0
        members.on_change(told.append)

        def hear(word: NodeWord, state: NodeState = NodeState.ALIVE) -> int:
            """Return of how many nodes something was told."""
            nonlocal number
            number += 1
            told.clear()
            others = (Member(replace(WORD, node=NodeId("n3")), NodeState.ALIVE), Member(word, state))
            members.take(ClusterTold(number, others))
            return len(told)

        assert hear(WORD) == 2
        for figures in (
            replace(WORD, wall=9.0),
            replace(WORD, calls=8, load=0.9, without_heir=1),
            replace(WORD, hears=(NodeId("n1"),)),
        ):
            assert hear(figures) == 0
            assert members.node(WORD.node) == Member(figures, NodeState.ALIVE)
        for word, state in (
            (replace(WORD, is_draining=True), NodeState.ALIVE),
            (replace(WORD, processes=()), NodeState.ALIVE),
            (replace(WORD, settings=2), NodeState.ALIVE),
            (replace(WORD, epoch=2), NodeState.ALIVE),
            (WORD, NodeState.SILENT),
        ):
            assert hear(word, state) == 1
            assert told == [Member(word, state)]
