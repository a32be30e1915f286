"""An edge of real parts: each call is known as long as it lasts, and counted once when it is over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import grammars
from grammars import load
from grammars.script_pack import pack
from nodes.config import parse
from nodes.edge import process
from nodes.edge.ears import Engines
from nodes.edge.means import Means
from nodes.edge.process import Edge
from nodes.edge.refusals import Refusals
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.links.bus import Bus
from nodes.links.do_not_call import DoNotCall
from nodes.links.kept_list import FILE, KeptList
from nodes.links.mesh import Mesh
from nodes.links.tasks import Tasks
from protocols.wire.campaigns import contact_id
from protocols.wire.do_not_call import Listing
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, Identity, NodeId
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import Bucket
from supervisors import Dynamic, Restart, Supervisor, running

KEY, EDGE, DESK = bytes(32), Identity("n1.edge-0:1"), Identity("n1.desk-0:1")
HELLO = pack(load((Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()))
LISTED = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@127.0.0.1", HELLO)
"""To somebody who must not be called: it is over before anybody is dialled."""


@dataclass
class Rig:
    """One active edge, and the events that it has told."""

    edge: Edge
    events: list[CallEvent]

    async def ended(self, n: int) -> None:
        """Return when so many calls have told their end."""
        async with asyncio.timeout(10):
            while len([one for one in self.events if one.kind is Kind.ENDED]) < n:
                await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    bus = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    mesh = await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")
    ada = Listing(contact_id(LISTED.target, KEY), True, "callee", "stop", "2026-01-01T00:00:00+00:00")
    KeptList(tmp_path / FILE, "").add([ada], is_whole=True)
    events: list[CallEvent] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        async with Tasks() as tasks:
            refusals = Refusals(DoNotCall(bus.kv(Bucket.DNC), KeptList(tmp_path / FILE, "")), KEY, tasks)
            means = Means(config, mesh, Trunk(config, sock), Engines(mesh), events.append, refusals)
            start = process.one_call(means)
            tree = Supervisor([Dynamic(start, id="calls", max_children=9, restart=Restart.TEMPORARY)])
            async with running(tree) as system:
                edge = Edge(means, system.dynamic("calls", start), Views(bus, NodeId("n1")), "nobody")
                edge.serve()
                await edge.activate()
                yield Rig(edge, events)
                means.is_stopping = True
                means.trunk.close()
    await mesh.close()
    await bus.close()


async def test_a_call_that_is_over_is_counted_once_however_often_it_is_written_after(rig: Rig) -> None:
    """The capacity learns from it how fast calls come and go."""
    for n in range(3):
        await rig.edge.place(replace(LISTED, attempt_id=AttemptId(f"a{n}"), call_id=CallId(f"c{n}")), DESK)
    await rig.ended(3)
    assert rig.edge.load.n_over == 3
