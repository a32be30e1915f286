"""What everybody may see: the newest of each thing, in the bucket and as deltas, from one life to the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nodes.bus.bus import Bus
from nodes.links.tasks import Tasks
from nodes.links.view import View
from protocols.wire.ids import NodeId
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    made = await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=NodeId("n1"))
    await made.ensure_layout()
    yield made
    await made.close()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks()
    await made.open()
    yield made
    await made.close()


async def until(bus: Bus, wanted: dict[str, str | None]) -> dict[str, Any]:
    """Return the bucket once these keys are in these states; None: not there."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(60):
        async for entry in bus.kv(Bucket.CALLS).watch():
            if entry and entry.value is None:
                found.pop(entry.key, None)
            elif entry:
                found[entry.key] = entry.value
            if all(found.get(key, {}).get("state") == state for key, state in wanted.items()):
                return found
    raise AssertionError


async def test_the_bucket_comes_to_hold_the_newest_of_each_thing(bus: Bus, tasks: Tasks) -> None:
    view = View(bus, Bucket.CALLS)
    for state in ("placing", "ringing", "answered"):
        view.show("a", {"state": state})
    view.show("b", {"state": "placing"})
    view.hide("b")
    tasks.spawn(view.run(lambda body: True))
    found = await until(bus, {"a": "answered", "b": None})
    assert found.keys() == {"a"}


async def test_every_change_is_told_at_once_and_in_order(bus: Bus) -> None:
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await bus.subscribe("rm.state.calls.*", lambda body, _: told.put_nowait(body))
    view = View(bus, Bucket.CALLS)
    view.show("a", {"state": "placing"})
    view.show("a", {"state": "ringing"})
    view.hide("a")
    async with asyncio.timeout(60):
        news = [await told.get() for _ in range(3)]
    assert [body.get("state", "gone") for body in news] == ["placing", "ringing", "gone"]
    revisions = [body["rev"] for body in news]
    assert revisions == sorted(set(revisions)), "each later one is higher"


async def test_a_new_life_removes_what_the_last_one_left_and_nothing_else(bus: Bus, tasks: Tasks) -> None:
    for key, node in (("ours-gone", "n1"), ("ours", "n1"), ("theirs", "n2")):
        await bus.kv(Bucket.CALLS).put(key, {"state": "old", "node": node})
    view = View(bus, Bucket.CALLS)
    view.show("ours", {"state": "answered", "node": "n1"})
    tasks.spawn(view.run(lambda body: body["node"] == "n1"))
    await until(bus, {"ours-gone": None, "ours": "answered", "theirs": "old"})


async def test_what_changed_while_nats_was_away_is_in_the_bucket_afterwards(
    bus: Bus, tasks: Tasks, nats_server: NatsServer
) -> None:
    view = View(bus, Bucket.CALLS)
    tasks.spawn(view.run(lambda body: True))
    view.show("a", {"state": "placing"})
    view.show("b", {"state": "placing"})
    await until(bus, {"a": "placing", "b": "placing"})
    nats_server.kill()
    async with asyncio.timeout(60):
        while bus.connected:
            await asyncio.sleep(0.01)
    view.show("a", {"state": "answered"})
    view.hide("b")
    await nats_server.start()
    await until(bus, {"a": "answered", "b": None})
