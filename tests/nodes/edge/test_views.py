"""What everybody may see of an edge's calls: where they are, and nothing that was said or dialled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from nodes.bus.bus import Bus
from nodes.call.record import Arrival, CallPhase, CallRecord
from nodes.edge.record_store import RecordStore
from nodes.edge.views import Views
from nodes.links.tasks import Tasks
from protocols.sip import Listening, Local
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    made = await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=NodeId("n1"))
    yield made
    await made.close()


async def shown(bus: Bus, n: int) -> dict[str, object]:
    """Return what everybody may see, once there is so much of it: call -> the edge that has it."""
    async with asyncio.timeout(60):
        while True:
            async with aclosing(bus.kv(Bucket.CALLS).watch()) as watch:
                found: dict[str, object] = {}
                async for entry in watch:
                    if entry is None:
                        break
                    if entry.value is not None:
                        found[entry.key] = entry.value.get("edge")
                    else:
                        found.pop(entry.key, None)
            if len(found) == n:
                return found
            await asyncio.sleep(0.02)


async def test_an_edge_removes_what_its_predecessor_has_left_and_nothing_of_the_nodes_other_edges(bus: Bus) -> None:
    await bus.ensure_layout()
    names, n1 = ("edge-0", "edge-1"), NodeId("n1")

    async def lives(edge: str, calls: str, edges: tuple[str, ...] = names) -> Views:
        views = Views(bus, n1, edge, edges)
        for name in calls:
            order = PlaceCall(AttemptId(name), CallId(name), "sip:a@b", b"")
            RecordStore(CallRecord(order), views.wrote).write(phase=CallPhase.RINGING)
        tasks.spawn(views.run())
        return views

    async with Tasks() as tasks:
        await lives("edge-0", "ab")
        await lives("edge-1", "cd")
        assert await shown(bus, 4) == {"a": None, "b": None, "c": "edge-1", "d": "edge-1"}
        await lives("edge-1", "d")
        assert await shown(bus, 3) == {"a": None, "b": None, "d": "edge-1"}
        await lives("edge-0", "b")
        assert await shown(bus, 2) == {"b": None, "d": "edge-1"}
        await lives("edge-0", "b", ("edge-0",))
        assert await shown(bus, 1) == {"b": None}, "the node has one edge now"


async def test_each_phase_is_told_once_without_words_or_numbers(bus: Bus) -> None:
    told: asyncio.Queue[tuple[str, dict[str, object]]] = asyncio.Queue()
    await bus.subscribe("rm.state.calls.*", lambda body, subject: told.put_nowait((subject, body)))
    views = Views(bus, NodeId("n1"))
    order = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:+4930123456@x", b"flow: secret", {"name": "Alex"})
    store = RecordStore(CallRecord(order), views.wrote)
    store.write(arrival=Arrival(9.0, Local("h", 1), Listening("h", 2), is_planned=True))
    assert told.empty(), "another machine shows it"
    store.write(arrival=None)
    store.write(phase=CallPhase.RINGING)
    store.write(n_events=2)
    store.write(phase=CallPhase.DONE)
    store.write(n_events=3)
    async with asyncio.timeout(60):
        news = [await told.get() for _ in range(3)]
    assert {subject for subject, _ in news} == {"rm.state.calls.c1"}
    assert [body.get("state", "gone") for _, body in news] == ["placing", "ringing", "gone"]
    assert news[1][1].keys() == {"node", "campaign", "state", "since", "rev"}
    assert news[1][1]["campaign"] == CampaignId("")
    assert told.empty(), "nothing is told twice"
