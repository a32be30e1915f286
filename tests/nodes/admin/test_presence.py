"""A node as a bare NATS client sees it: its beat, its entry, and the service that answers for it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from nodes.admin.figures import Events
from nodes.admin.node import Node
from nodes.admin.presence import SERVICE
from nodes.config import parse
from nodes.links.members import Members
from nodes.telemetry import metrics
from protocols.wire.events import CallEvent, Kind, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.subjects import Bucket, node_beat, node_command
from tests.conftest import NatsServer
from tests.nodes.admin.conftest import NODE, Rig


async def asked(client, subject: str, body: object = None) -> dict:
    data = b"" if body is None else json.dumps(body).encode()
    return json.loads((await client.request(subject, data, timeout=60)).data)


@pytest.fixture
async def client(rig: Rig, nats_server: NatsServer):
    """A bare client, once the service answers."""
    made = await nats.connect(nats_server.url)
    async with asyncio.timeout(60):
        while True:
            try:
                await made.request("$SRV.PING.ringmaster-node", b"", timeout=0.2)
                break
            except (nats.errors.NoRespondersError, TimeoutError):
                await asyncio.sleep(0.02)
    yield made
    await made.close()


async def test_the_service_is_found_and_says_what_it_can_be_asked(client) -> None:
    assert (await asked(client, "$SRV.PING"))["name"] == SERVICE
    info = await asked(client, "$SRV.INFO.ringmaster-node")
    assert {one["name"] for one in info["endpoints"]} == {"status", "calls", "drain"}
    assert info["metadata"]["node"] == NODE


async def test_the_node_beats_and_is_in_the_bucket(client, rig: Rig) -> None:
    beats: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(message) -> None:
        await beats.put(message.data)

    await client.subscribe(node_beat(NODE), cb=take)
    async with asyncio.timeout(60):
        assert json.loads(await beats.get()) == {"node": "n1", "state": "up"}
        while (entry := await rig.bus.kv(Bucket.NODES).get(NODE)) is None:
            await asyncio.sleep(0.02)
    assert entry.value is not None
    assert entry.value["processes"] == ["edge-0 active", "media-0 active", "speech-0 active", "desk-0 active"]


async def test_status_and_calls_are_json_without_words_or_numbers(client, rig: Rig) -> None:
    view = {"node": "n1", "campaign": "", "state": "conversing", "since": "2026-03-03T10:00:00+00:00", "rev": 1}
    await rig.bus.kv(Bucket.CALLS).put("c1", view)
    await rig.bus.kv(Bucket.CALLS).put("c2", {**view, "node": "n2"})
    async with asyncio.timeout(60):
        while not (calls := (await asked(client, node_command(NODE, "calls")))["calls"]):
            await asyncio.sleep(0.02)
    assert calls == {"c1": view}, "its own, not another node's"
    status = await asked(client, node_command(NODE, "status"))
    assert (status["state"], status["calls"]) == ("up", {"conversing": 1})


async def test_a_node_is_drained_and_takes_calls_again(client, rig: Rig) -> None:
    assert await asked(client, node_command(NODE, "drain")) == {"state": "draining", "calls": 0}
    assert rig.is_draining
    await asked(client, node_command(NODE, "drain"), {"on": False})
    assert not rig.is_draining


async def test_an_edge_that_comes_up_while_the_node_drains_is_told(client, rig: Rig) -> None:
    await asked(client, node_command(NODE, "drain"))
    roster, rig.is_draining = rig.node.roster, False
    rig.node.follow(type(roster)(2, roster.processes[1:]))
    rig.node.follow(roster)
    async with asyncio.timeout(60):
        while not rig.is_draining:
            await asyncio.sleep(0.01)


async def test_a_desk_that_comes_up_while_the_node_drains_learns_it_from_the_edge(rig: Rig) -> None:
    rig.is_draining = True
    config = parse("", "test", Path.cwd())
    successor = Node(rig.mesh, Members(rig.mesh, config), config)
    successor.follow(rig.roster)
    await successor.recall()
    assert successor.is_draining


async def test_events_of_this_node_are_counted_and_of_others_not() -> None:
    def count() -> float:
        return metrics.REGISTRY.get_sample_value("ringmaster_handover_seconds_count") or 0.0

    made = CallEvent(
        "e1", CallId("c1"), AttemptId("a1"), CampaignId(""), NODE, datetime.now(UTC), 1,
        Kind.HANDOVER_DONE, {"agent_id": "ann", "ms": 16},
    )  # fmt: skip
    before, events = count(), Events(NODE)
    events.take(to_body(made))
    events.take({**to_body(made), "node_id": NodeId("n2")})
    events.take({"no": "event"})
    assert count() == before + 1
