"""What the bus promises while NATS is there, goes away, hangs, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StorageType, StreamConfig

from nodes.bus import bucket as bucket_module
from nodes.bus import bus as bus_module
from nodes.bus.bus import Bus
from nodes.bus.pull import Pull
from nodes.links.errors import BusAway, LayoutMismatch
from nodes.telemetry.trace import of_call
from protocols.errors import LocalProtocolError
from protocols.wire.ids import CallId, NodeId
from protocols.wire.subjects import Bucket, Stream, call_event, node_beat, node_command
from tests.nodes.telemetry.sink import telling

N1 = NodeId("n1")
HERE = call_event(CallId("c1"), "call.ringing")


@pytest.fixture
async def bus(nats_server, tmp_path: Path) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats_server.url, name="edge-0", node_id=N1, spool=tmp_path / "spool")
    await bus.ensure_layout()
    yield bus
    await bus.close()


async def recorded(bus: Bus, after: int = 0) -> list[str]:
    """The event ids of the stream, in its order."""
    return [received.event_id async for received in bus.replay(Stream.EVENTS, after)]


async def settled(bus: Bus) -> None:
    async with asyncio.timeout(60):
        await bus.settled()


# ---- publishing ---------------------------------------------------------------------------------------------------


async def test_what_is_published_reaches_who_listens_in_order(bus: Bus):
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def listen(body: dict, subject: str) -> None:
        assert subject == node_beat(N1)
        heard.put_nowait(body["n"])

    await bus.subscribe(node_beat(N1), listen)
    assert all(bus.publish(node_beat(N1), {"n": n}) for n in range(100))
    async with asyncio.timeout(60):
        assert [await heard.get() for _ in range(100)] == list(range(100))


async def test_who_listens_survives_a_bad_message_and_a_handler_that_fails(bus: Bus, nats_server):
    heard: asyncio.Queue[int] = asyncio.Queue()
    await bus.subscribe("rm.state.calls.*", lambda body, subject: heard.put_nowait(body["n"]))
    raw = Client()
    await raw.connect(nats_server.url)
    for data in (b"{", b"[1]", b"\xff", b'{"n": ' + b"[" * 5000, b'{"no": "n"}', b'{"n": 1}'):
        await raw.publish("rm.state.calls.c1", data)
    async with asyncio.timeout(60):
        assert await heard.get() == 1
    assert bus.counts["malformed"] == 4
    await raw.close()


async def test_publishing_while_nats_is_away_is_dropped_and_counted_and_listeners_hear_again_afterwards(
    bus: Bus, nats_server
):
    heard: asyncio.Queue[int] = asyncio.Queue()
    await bus.subscribe(node_beat(N1), lambda body, subject: heard.put_nowait(body["n"]))
    nats_server.kill()
    async with asyncio.timeout(60):
        while bus.publish(node_beat(N1), {"n": -1}):
            await asyncio.sleep(0)
    assert bus.counts["not_published"] >= 1
    await nats_server.start()
    async with asyncio.timeout(60):
        await bus.up()
        assert bus.publish(node_beat(N1), {"n": 7})
        while await heard.get() != 7:
            pass  # what was under way when it died may still come


async def test_a_body_that_is_too_long_for_the_bus_is_our_own_error(bus: Bus):
    with pytest.raises(LocalProtocolError, match="too_long"):
        bus.publish(node_beat(N1), {"x": "x" * bus_module.MAX_PAYLOAD})


async def test_a_connection_that_the_server_has_closed_for_good_is_made_anew_with_all_that_stood_on_it(
    bus, monkeypatch
):
    monkeypatch.setattr("nodes.bus.connection.REOPEN_S", 0.0)
    heard: asyncio.Queue[int] = asyncio.Queue()
    await bus.subscribe(node_beat(N1), lambda body, subject: heard.put_nowait(body["n"]))
    generation = bus._connection.generation
    await bus._connection.client._process_err("'authorization violation'")  # what nats-py does when the server says it
    async with asyncio.timeout(60):
        while bus._connection.generation == generation or not bus.connected:
            await asyncio.sleep(0)
        bus.publish(node_beat(N1), {"n": 8})
        assert await heard.get() == 8


# ---- recording ----------------------------------------------------------------------------------------------------


async def test_a_recorded_event_is_in_the_stream_once_however_often_it_was_recorded(bus: Bus):
    assert [bus.record(HERE, "e1", {"n": 1}) for _ in range(3)] == [True] * 3
    await settled(bus)
    assert await recorded(bus) == ["e1"]


async def test_an_event_names_its_call_in_a_header_also_when_it_has_waited_on_disk(bus: Bus, nats_server):
    nats_server.kill()
    bus.record(HERE, "e1", {}, "c1")
    await nats_server.start()
    await settled(bus)
    (received,) = [received async for received in bus.replay(Stream.EVENTS)]
    assert (received.message.headers or {})["Rm-Call"] == "c1"
    assert received.trace == "", "nobody tells spans here"


async def test_where_spans_are_told_an_event_brings_the_trace_of_its_call(bus: Bus):
    with telling():
        bus.record(HERE, "e1", {}, "c1")
        await settled(bus)
    (received,) = [received async for received in bus.replay(Stream.EVENTS)]
    assert received.trace == str(of_call(CallId("c1")))
    assert abs(received.wall_s - time.time()) < 60


async def test_nothing_that_was_recorded_is_lost_or_doubled_when_the_server_is_killed_and_comes_back(bus, nats_server):
    for n in range(300):
        assert bus.record(HERE, f"e{n}", {"n": n})
        if n == 100:
            await asyncio.sleep(0)  # some are under way when it dies
            nats_server.kill()
        if n == 200:
            await nats_server.start()
    await settled(bus)
    assert await recorded(bus) == [f"e{n}" for n in range(300)]


async def test_what_is_recorded_while_the_server_hangs_is_in_the_stream_when_it_goes_on(bus, nats_server):
    nats_server.freeze()
    for n in range(100):
        assert bus.record(HERE, f"e{n}", {"n": n})
    with pytest.raises(BusAway):
        await bus.commit(HERE, "c", {}, timeout_s=0.1)
    nats_server.thaw()
    await settled(bus)
    assert [one for one in await recorded(bus) if one != "c"] == [f"e{n}" for n in range(100)]


async def test_what_a_process_could_not_deliver_is_delivered_by_the_next_one_in_order(nats_server, tmp_path: Path):
    spool = tmp_path / "spool"
    first = await Bus.connect(nats_server.url, name="edge-0", node_id=N1, spool=spool)
    await first.ensure_layout()
    nats_server.kill()
    for n in range(50):
        first.record(HERE, f"e{n}", {"n": n})
    await first.close()
    assert len(list(spool.iterdir())) == 1
    await nats_server.start()
    second = await Bus.connect(nats_server.url, name="edge-0-spare", node_id=N1, spool=spool)
    second.record(HERE, "new", {})
    await settled(second)
    assert set(await recorded(second)) == {"new", *(f"e{n}" for n in range(50))}
    assert [one for one in await recorded(second) if one != "new"] == [f"e{n}" for n in range(50)]
    await second.close()
    assert list(spool.iterdir()) == []


async def test_a_bus_starts_without_nats_and_connects_when_it_comes(nats_server, tmp_path: Path, monkeypatch):
    nats_server.kill()
    monkeypatch.setattr(bus_module, "CONNECT_S", 0.05)
    bus = await Bus.connect(nats_server.url, name="edge-0", node_id=N1, spool=tmp_path / "spool")
    assert not bus.connected
    with pytest.raises(BusAway):
        await bus.kv(Bucket.CALLS).get("c1")
    heard: asyncio.Queue[int] = asyncio.Queue()
    await bus.subscribe(node_beat(N1), lambda body, subject: heard.put_nowait(body["n"]))
    bus.record(HERE, "early", {})
    await nats_server.start()
    async with asyncio.timeout(60):
        await bus.up()
        await bus.ensure_layout()
        bus.publish(node_beat(N1), {"n": 3})
        assert await heard.get() == 3
    await settled(bus)
    assert await recorded(bus) == ["early"]
    await bus.close()


async def test_a_commit_returns_its_place_in_the_stream_and_a_retry_the_same_place(bus: Bus):
    assert await bus.commit(HERE, "a", {"n": 1}) == 1
    assert await bus.commit(HERE, "b", {"n": 2}) == 2
    assert await bus.commit(HERE, "a", {"n": 1}) == 1


async def test_a_stream_can_be_read_from_the_middle_to_its_end(bus: Bus):
    assert await recorded(bus) == []
    for n in range(1200):
        bus.record(HERE, f"e{n}", {"n": n})
    await settled(bus)
    assert await recorded(bus, after=100) == [f"e{n}" for n in range(100, 1200)]
    assert await recorded(bus, after=1200) == []


async def test_a_stream_of_more_than_a_server_buffers_for_one_client_is_read_whole(bus: Bus):
    body = {"x": "x" * (bus_module.MAX_PAYLOAD - 100)}
    for n in range(150):
        await bus.commit(HERE, f"e{n}", body)
    for moment_s in (0.01, 0.03, 0.06):  # now and then this process has other things to do than to read its socket
        asyncio.get_running_loop().call_later(moment_s, time.sleep, 0.4)
    assert [received.sequence async for received in bus.replay(Stream.EVENTS)] == list(range(1, 151))


async def test_what_is_lost_on_the_way_is_read_again_and_nothing_is_skipped(bus: Bus, monkeypatch):
    for n in range(30):
        await bus.commit(HERE, f"e{n}", {})
    losses = iter([7, 8, 21])
    whole = Pull.fetch

    async def lossy(self: Pull, n: int, timeout_s: float) -> list[Msg]:
        came = await whole(self, n, timeout_s)
        lost = next(losses, 0)
        return [message for message in came if message.metadata.sequence.stream != lost]

    monkeypatch.setattr(Pull, "fetch", lossy)
    assert await recorded(bus) == [f"e{n}" for n in range(30)]


async def test_what_was_purged_from_the_front_is_no_gap_and_what_was_deleted_shows_in_the_sequence(bus: Bus):
    for n in range(10):
        await bus.commit(HERE, f"e{n}", {})
    await bus._connection.jetstream.purge_stream(Stream.EVENTS, seq=4)
    await bus._connection.jetstream.delete_msg(Stream.EVENTS, 7)
    assert [one.sequence async for one in bus.replay(Stream.EVENTS)] == [4, 5, 6, 8, 9, 10]
    await bus._connection.jetstream.purge_stream(Stream.EVENTS)
    assert await recorded(bus) == []


# ---- the recorder's end -------------------------------------------------------------------------------------------


async def test_what_was_not_acknowledged_comes_again_and_what_was_does_not_also_when_it_is_poison(
    bus: Bus, monkeypatch
):
    monkeypatch.setattr("nodes.bus.consumer.ACK_WAIT_S", 0.5)
    raw = bus._connection.jetstream
    await raw.publish(HERE, b"not json")
    for n in range(3):
        await bus.commit(HERE, f"e{n}", {"n": n})
    consumer = bus.consume(Stream.EVENTS, "recorder")
    first = await consumer.fetch()
    assert [one.body for one in first] == [None, {"n": 0}, {"n": 1}, {"n": 2}]
    await consumer.ack(first[:2])
    again = await consumer.fetch(timeout_s=3)
    assert [(one.event_id, one.sequence, one.subject) for one in again] == [("e1", 3, HERE), ("e2", 4, HERE)]
    await consumer.ack(again)
    assert await consumer.fetch(timeout_s=0.6) == []


async def test_a_consumer_goes_on_where_it_was_after_the_server_has_come_back(bus: Bus, nats_server):
    consumer = bus.consume(Stream.EVENTS, "recorder")
    await bus.commit(HERE, "e0", {})
    await consumer.ack(await consumer.fetch())
    nats_server.kill()
    with pytest.raises(BusAway):  # noqa: PT012  until the loss is noticed
        while True:
            await consumer.fetch(timeout_s=0.2)
    await nats_server.start()
    async with asyncio.timeout(60):
        await bus.up()
    await bus.commit(HERE, "e1", {})
    fetched = [one.event_id for one in await consumer.fetch(timeout_s=5)]
    assert fetched in (["e1"], ["e0", "e1"]), "an acknowledgement that the server had not yet written is lost with it"


async def test_a_consumer_whose_stream_is_away_for_more_than_one_try_goes_on_when_it_is_there_again(bus: Bus):
    consumer = bus.consume(Stream.EVENTS, "recorder")
    assert await consumer.fetch(timeout_s=0) == []
    await bus._connection.jetstream.delete_stream(Stream.EVENTS)
    for _ in range(3):
        with pytest.raises(BusAway):
            await consumer.fetch(timeout_s=0)
    await bus.ensure_layout()
    await bus.commit(HERE, "e1", {})
    assert [one.event_id for one in await consumer.fetch(timeout_s=3)] == ["e1"]


# ---- buckets ------------------------------------------------------------------------------------------------------


async def test_a_bucket_gives_back_what_was_put_and_none_for_what_was_not(bus: Bus):
    calls = bus.kv(Bucket.CALLS)
    assert await calls.get("c1") is None
    revision = await calls.put("c1", {"state": "ringing"})
    assert await calls.get("c1") == bucket_module.Entry("c1", {"state": "ringing"}, revision)
    await calls.delete("c1")
    assert await calls.get("c1") is None


async def test_of_two_who_write_at_the_same_revision_one_gets_none(bus: Bus):
    calls = bus.kv(Bucket.CALLS)
    revision = await calls.create("c1", {"n": 0})
    assert revision is not None
    assert await calls.create("c1", {"n": 1}) is None
    written = await asyncio.gather(*(calls.update("c1", {"n": n}, revision) for n in range(5)))
    assert [one for one in written if one is not None] == [revision + 1]


async def test_a_number_is_no_key(bus: Bus):
    with pytest.raises(LocalProtocolError, match="not_a_name"):
        await bus.kv(Bucket.DNC).put("+4930123456", {})


async def test_a_watch_tells_what_is_there_then_what_changes_and_what_changed_while_nats_was_away(
    bus: Bus, nats_server, monkeypatch
):
    monkeypatch.setattr(bucket_module, "LOOK_S", 0.05)
    calls = bus.kv(Bucket.CALLS)
    await calls.put("c1", {"n": 1})
    await calls.put("c2", {"n": 2})
    watch = calls.watch()

    async def told(n: int) -> list[tuple[str, object] | None]:
        async with asyncio.timeout(60):
            return [entry and (entry.key, entry.value) for entry in [await anext(watch) for _ in range(n)]]

    assert await told(3) == [("c1", {"n": 1}), ("c2", {"n": 2}), None]
    await calls.put("c3", {"n": 3})
    await calls.delete("c1")
    assert await told(2) == [("c3", {"n": 3}), ("c1", None)]

    nats_server.kill()
    await nats_server.start()
    other = await Bus.connect(nats_server.url, name="other", node_id=N1)
    jetstream = other._connection.jetstream
    await jetstream.purge_stream("KV_rm_calls", subject="$KV.rm_calls.c2")  # as expiry does it: without a word
    await other.kv(Bucket.CALLS).put("c4", {"n": 4})
    await other.close()
    later: list[tuple[str, object] | None] = []
    while None not in later:
        later += await told(1)
    assert later[-2:] == [("c2", None), None]
    assert [one for one in later if one and one[1] is not None] == [("c3", {"n": 3}), ("c4", {"n": 4})]
    await watch.aclose()


# ---- layout and service -------------------------------------------------------------------------------------------


async def test_the_layout_is_made_and_found_as_wanted_on_the_oldest_and_the_newest_server(each_nats_server):
    bus = await Bus.connect(each_nats_server.url, name="admin", node_id=N1)
    await bus.ensure_layout()
    await bus.ensure_layout()
    await bus.commit(HERE, "e1", {"n": 1})
    assert await recorded(bus) == ["e1"]
    revision = await bus.kv(Bucket.LEASES).create("central", {})
    assert revision is not None
    assert await bus.kv(Bucket.LEASES).create("central", {}) is None
    await bus.close()


async def test_a_stream_that_is_not_as_we_need_it_is_an_error_that_names_each_difference(nats_server):
    bus = await Bus.connect(nats_server.url, name="admin", node_id=N1)
    found = StreamConfig(name=Stream.EVENTS, subjects=["rm.ev.>"], storage=StorageType.MEMORY, max_age=60)
    await bus._connection.jetstream.add_stream(found)
    with pytest.raises(LayoutMismatch) as caught:
        await bus.ensure_layout()
    assert caught.value.name == Stream.EVENTS
    assert caught.value.wrong.keys() == {"storage", "max_age", "duplicate_window"}
    await bus.close()


async def test_a_node_answers_the_requests_of_the_nats_command_line(each_nats_server):
    bus = await Bus.connect(each_nats_server.url, name="edge-0", node_id=N1)

    async def drain(body: dict) -> dict:
        return {"drained": body.get("calls", 0)}

    def fails(body: dict) -> dict:
        raise ZeroDivisionError

    await bus.service(
        "ringmaster-node",
        "0.1.0",
        {"node": "n1", "role": "edge"},
        {"status": lambda body: {"ok": True}, "drain": drain, "calls": fails},
    )
    cli = Client()
    await cli.connect(each_nats_server.url)

    async def request(subject: str, data: bytes = b"") -> tuple[dict, dict]:
        message = await cli.request(subject, data, timeout=60)
        return msgspec.json.decode(message.data or b"{}"), message.headers or {}

    assert await request(node_command(N1, "status")) == ({"ok": True}, {})
    assert await request(node_command(N1, "drain"), b'{"calls": 3}') == ({"drained": 3}, {})
    assert (await request(node_command(N1, "drain"), b"[]"))[1]["Nats-Service-Error-Code"] == "400"
    assert (await request(node_command(N1, "calls")))[1]["Nats-Service-Error-Code"] == "500"
    for verb in ("PING", "INFO", "STATS"):
        said, _ = await request(f"$SRV.{verb}.ringmaster-node")
        assert said["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
        assert (said["name"], said["version"]) == ("ringmaster-node", "0.1.0")
    await cli.close()
    await bus.close()
