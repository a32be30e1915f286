"""What everybody may see of an edge's calls: where they are, and nothing that was said or dialled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nodes.bus.bus import Bus
from nodes.call.record import Arrival, CallPhase, CallRecord
from nodes.edge.record_store import RecordStore
from nodes.edge.views import Views
from protocols.sip import Listening, Local
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.messages import PlaceCall
from tests.conftest import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    made = await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=NodeId("n1"))
    yield made
    await made.close()


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
    async with asyncio.timeout(5):
        news = [await told.get() for _ in range(3)]
    assert {subject for subject, _ in news} == {"rm.state.calls.c1"}
    assert [body.get("state", "gone") for _, body in news] == ["placing", "ringing", "gone"]
    assert news[1][1].keys() == {"node", "campaign", "state", "since", "rev"}
    assert news[1][1]["campaign"] == CampaignId("")
    assert told.empty(), "nothing is told twice"
