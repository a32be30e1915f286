"""What central knows outlives it: snapshots and the journal behind them, whole imports, people who are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.script import load
from grammars.script_pack import pack
from nodes.bus.bus import Bus
from nodes.bus.consumer import replay
from nodes.bus.objects import CHUNK, Info, Objects
from nodes.central import memory_store
from nodes.central.importing import Import, Importer
from nodes.central.memory import SNAPSHOT, Memory
from nodes.central.memory_store import MemoryStore
from nodes.config import Sip
from nodes.links.errors import BusAway, Refused
from nodes.links.tasks import Tasks
from protocols.wire import campaigns as wire
from protocols.wire.campaigns import ContactId
from protocols.wire.ids import CampaignId
from protocols.wire.journal import CampaignPhase, RollRef, Steered
from protocols.wire.subjects import OBJECT_STREAM, Stream, object_chunks
from tests.nodes.central.test_central import ANYTIME, LIST, SCRIPT, SPRING, Node, node

__all__ = ["node"]  # a fixture

LONG = b"number,name,consent\n" + b"".join(b"sip:callee-%d@127.0.0.1,Alex,form\n" % n for n in range(20_000))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


async def stored(bus: Bus) -> list[bytes]:
    """Everything that is in the bucket of objects."""
    return [one.data async for one in replay(bus._connection, OBJECT_STREAM)]


def memory(bus: Bus, name: str) -> Memory:
    return Memory(bus, bus.lease("central", name), name)


async def leading(bus: Bus, name: str) -> Memory:
    """A memory that may write, whoever else may."""
    lease = bus.lease(f"test-{name}", name)
    await lease.keep()
    return Memory(bus, lease, name)


async def written(bus: Bus, n: int) -> Memory:
    """The memory of a central that leads, and has steered a campaign so often."""
    writer = await leading(bus, "writer")
    for _ in range(n):
        await writer.write(Steered(SPRING, CampaignPhase.RUNNING, datetime.now(UTC)))
    return writer


async def test_a_successor_reads_the_snapshot_and_the_rest_and_goes_on_with_the_clock(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(2)
        first = await leading(bus, "first")
        await first.catch_up()
        await MemoryStore(bus, first).keep()
        for order in node.edge.orders:
            node.edge.end(order, "busy")
        await node.status(central, lambda status: status.in_flight == 0)
    await first.catch_up()
    await bus.purge(Stream.CAMPAIGN, before=first.kept + 1)
    successor = memory(bus, "successor")
    await successor.catch_up()
    assert successor.campaigns == first.campaigns
    assert (successor.last, successor.kept) == (first.last, first.kept)
    assert successor.clock.now() == pytest.approx(first.clock.now(), abs=0.05)


async def test_a_snapshot_is_written_after_so_many_entries_and_not_before(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    monkeypatch.setattr(memory_store, "EVERY", 10)
    writer = await written(bus, 9)
    running = asyncio.create_task(MemoryStore(bus, writer).run())
    await asyncio.sleep(0)
    assert writer.kept is None
    await writer.write(Steered(SPRING, CampaignPhase.PAUSED, datetime.now(UTC)))
    await until(lambda: writer.kept)
    running.cancel()
    assert writer.kept == 10


async def test_a_snapshot_never_takes_the_place_of_a_successors(node: Node) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    objects = bus.objects()
    late, revision = objects.begin(SNAPSHOT), await objects.revision(SNAPSHOT)
    await late.write(b"old")
    newer = objects.begin(SNAPSHOT)
    await newer.write(b"new")
    await newer.finish(await objects.revision(SNAPSHOT))
    with pytest.raises(BusAway):
        await late.finish(revision)
    assert [chunk async for chunk in objects.read(SNAPSHOT)] == [b"new"]


async def test_a_snapshot_that_finds_no_room_leaves_the_store_as_it_was(node: Node) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    writer = await written(bus, 1)
    writer.campaigns.dialled = {ContactId(f"{n:032x}"): ((1.0, datetime.now(UTC)),) for n in range(20_000)}
    raw = bus._connection.jetstream
    found = (await raw.stream_info(OBJECT_STREAM)).config
    await raw.update_stream(found.evolve(max_bytes=2 * CHUNK + 10_000))
    with pytest.raises(BusAway, match="maximum bytes"):
        await MemoryStore(bus, writer).keep()
    assert await stored(bus) == []
    await raw.update_stream(found)
    await MemoryStore(bus, writer).keep()
    assert writer.kept == 1


async def test_a_snapshot_whose_last_word_was_not_acknowledged_is_left_until_that_word_can_not_come_any_more(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    writer = await written(bus, 1)
    memory_store, tell = MemoryStore(bus, writer), Objects.tell
    said: list[tuple[Info, int | None]] = []

    async def tells(self: Objects, info: Info, revision: int | None) -> None:
        said.append((info, revision))
        if len(said) == 2:
            await tell(self, info, revision)
        if len(said) < 3:
            raise BusAway("no answer") from TimeoutError()
        await tell(self, info, revision)

    monkeypatch.setattr(Objects, "tell", tells)
    for _ in range(2):  # the first last word is still on its way, the second has come and its answer has not
        with pytest.raises(BusAway):
            await memory_store.keep()
        chunks = [one.data async for one in replay(bus._connection, OBJECT_STREAM, subject=object_chunks(">"))]
        assert len(chunks) == 1
    assert [chunk async for chunk in bus.objects().read(SNAPSHOT)] == chunks
    await memory_store.keep()
    assert len(await stored(bus)) == 2
    assert [chunk async for chunk in bus.objects().read(SNAPSHOT)]
    with pytest.raises(BusAway):
        await tell(bus.objects(), *said[0])


@given(st.integers(0, 10_000))
def test_what_fails_is_tried_again_later_and_later_and_never_given_up(n_failed: int) -> None:
    assert memory_store.pause_s(0) == memory_store.LOOK_S
    assert memory_store.pause_s(n_failed) <= memory_store.pause_s(n_failed + 1) <= 60.0


@pytest.mark.parametrize("spoil", ["another hash", "no snapshot", "chunks gone"])
async def test_a_snapshot_that_is_broken_is_refused_and_the_journal_read_from_its_beginning(
    spoil: str, node: Node
) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    writer = await written(bus, 5)
    await MemoryStore(bus, writer).keep()
    objects = bus.objects()
    info = await objects.info(SNAPSHOT)
    assert info
    if spoil == "no snapshot":
        writing = objects.begin(SNAPSHOT)
        await writing.write(b"hello")
        await writing.finish()
    elif spoil == "another hash":
        await objects.publish(object_chunks(info.nuid), b"more")
    else:
        await objects.purge(object_chunks(info.nuid))
    successor = memory(bus, "successor")
    await successor.catch_up()
    assert (successor.last, successor.kept) == (5, None)
    assert successor.campaigns == writer.campaigns


async def test_who_is_forgotten_is_nowhere_any_more_and_is_not_dialled(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.imports(central, autumn := CampaignId("autumn"))
        told = await node.operator.ask(central, wire.ForgetContact("sip:stranger@127.0.0.1"))
        assert told.campaigns == 0  # something else may be known of them
        with pytest.raises(Refused, match="bad_target: is no number"):
            await node.operator.ask(central, wire.ForgetContact("bob"))
        told = await node.operator.ask(central, wire.ForgetContact(" sip:BOB@127.0.0.1:5060"))  # as people write
        assert told.campaigns == 2
        async with asyncio.timeout(60):
            while (await bus.extent(Stream.CAMPAIGN)).first == 1 or len(await bus.objects().names()) != 3:
                await asyncio.sleep(0.05)
        assert not [data for data in await stored(bus) if b"bob" in data or b"Bob" in data]
        await node.runs(central)
        await node.edge.order(1)
    async with node.central("central-1") as successor:  # the journal is gone: it knows the snapshot
        await node.leads(successor)
        await node.runs(successor, autumn)
        status = await node.operator.ask(successor, wire.GetCampaign(SPRING))
        assert (status.contacts, status.in_flight, status.refused) == (3, 2, {"forgotten": 1})
        for order in list(node.edge.orders):
            node.edge.end(order)
        await node.status(successor, lambda status: status.done == 3)
    assert {order.target for order in node.edge.orders} <= {"sip:ada@127.0.0.1", "sip:cyd@127.0.0.1"}


async def test_objects_that_somebody_has_deleted_are_written_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MEND_LOOKS", 1)
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await bus._connection.jetstream.delete_stream(OBJECT_STREAM)
        await bus.ensure_layout()
        async with asyncio.timeout(60):
            while await bus.objects().info(SNAPSHOT) is None:
                await asyncio.sleep(0.05)
    successor = memory(bus, "successor")
    await successor.catch_up()
    assert [contact.slots["name"] for contact in successor.campaigns.campaigns[SPRING].roll] == ["Ada", "Bob", "Cyd"]


async def test_the_journal_keeps_what_the_recorder_has_not_read(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        read, recorder = (bus.consume(Stream.CAMPAIGN, name) for name in ("recorder-n2", "recorder"))
        received = await recorder.fetch()
        await node.operator.ask(central, wire.ForgetContact("sip:bob@127.0.0.1"))
        async with asyncio.timeout(60):
            while await bus.objects().info(SNAPSHOT) is None:
                await asyncio.sleep(0.05)
        assert (await bus.extent(Stream.CAMPAIGN)).first == 1
        for each in (read, recorder):  # of two nodes: both must have it
            assert (await bus.extent(Stream.CAMPAIGN)).first == 1
            await each.ack([*received, *await each.fetch()] if each is recorder else await each.fetch())
        async with asyncio.timeout(60):
            while (await bus.extent(Stream.CAMPAIGN)).first == 1:
                await asyncio.sleep(0.05)


async def test_an_import_whose_sender_has_gone_leaves_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.central.importing.IDLE_S", 0.5)
    async with node.central("central-0") as central:
        await node.leads(central)
        begun = await node.begins(central)
        for at in range(0, len(LONG), wire.LIST_PART):
            await node.operator.ask(central, wire.ListPart(begun.import_id, at, LONG[at : at + wire.LIST_PART]))
        async with asyncio.timeout(60):
            while True:  # until it has been given up
                try:
                    await node.operator.ask(central, wire.ListPart(begun.import_id, 0, b""))
                except Refused as refused:
                    if refused.reason == "unknown_import":
                        break
                await asyncio.sleep(1.0)
            while await stored(node.edge.bus):
                await asyncio.sleep(0.05)
        assert await node.imports(central) == wire.CampaignImported(3)


async def test_of_two_imports_of_one_name_one_is_told_that_it_exists_and_its_list_is_needed_by_nobody(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_stored, store = asyncio.Barrier(2), Import.store

    async def stores(current: Import) -> RollRef:
        stored = await store(current)
        await both_stored.wait()
        return stored

    monkeypatch.setattr(Import, "store", stores)
    async with node.central("central-0") as central:
        await node.leads(central)
        first = asyncio.create_task(node.imports(central))
        await until(lambda: both_stored.n_waiting)
        second = node.imports(central, data=LIST)
        told = await asyncio.gather(first, second, return_exceptions=True)
        assert wire.CampaignImported(3) in told
        assert [one.reason for one in told if isinstance(one, Refused)] == ["campaign_exists"]
    async with node.central("central-1") as successor:
        await node.leads(successor)
        async with asyncio.timeout(60):
            while len(await node.edge.bus.objects().names()) != 1:
                await asyncio.sleep(0.05)
    reader = memory(node.edge.bus, "reader")
    await reader.catch_up()
    assert (len(reader.campaigns.campaigns[SPRING].roll), reader.campaigns.n_ignored) == (3, 1)


async def test_a_list_that_was_stored_when_the_lease_had_run_out_is_not_written_down(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor may have removed it as unused: an entry that names it would keep everybody from leading."""
    store = Import.store
    async with node.central("central-0") as central:
        await node.leads(central)

        async def slow(current: Import) -> RollRef:
            stored = await store(current)
            node.centrals[central]._lease._until = float("-inf")
            return stored

        monkeypatch.setattr(Import, "store", slow)
        with pytest.raises(Refused, match="not_leading"):
            await node.imports(central)
        assert [one async for one in node.edge.bus.replay(Stream.CAMPAIGN)] == []


@pytest.mark.parametrize("term", ["over", "ending"])
async def test_an_import_that_begins_at_the_end_of_a_term_is_refused_and_the_next_one_is_not(
    term: str, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    importer, tasks = Importer(memory(bus, "x"), bus.objects, bytes(32), Sip()), Tasks()
    request = wire.BeginImport(SPRING, "l.csv", SCRIPT, ANYTIME)
    begun: list[Import] = []
    ends: list[asyncio.Task[None]] = []
    begin = Import.begin

    async def begins(*given: Any) -> Import:
        begun.append(await begin(*given))
        ends.append(asyncio.create_task(tasks.close()))
        if term == "over":
            await ends[0]
        return begun[0]

    await tasks.open()
    monkeypatch.setattr(Import, "begin", begins)
    with pytest.raises(Refused, match="not_leading"):
        await importer.begin(request, tasks)
    await ends[0]
    assert begun[0]._child.returncode is not None
    monkeypatch.undo()
    async with Tasks() as another:
        assert (await importer.begin(request, another)).import_id


async def test_what_a_killed_central_had_begun_is_swept_by_the_next(node: Node) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    request = wire.BeginImport(SPRING, "l.csv", SCRIPT, ANYTIME)
    begun = await Import.begin("i", request, pack(load(SCRIPT)), bytes(32), Sip(), bus.objects())
    pumping = asyncio.create_task(begun.pump())
    for at in range(0, len(LONG), wire.LIST_PART):
        await begun.take(LONG[at : at + wire.LIST_PART])
    async with asyncio.timeout(60):
        while not await stored(bus):
            await asyncio.sleep(0.05)
    pumping.cancel()
    async with node.central("central-0") as central:
        await node.leads(central)
        async with asyncio.timeout(60):
            while await stored(bus):
                await asyncio.sleep(0.05)


async def test_a_list_that_is_wrong_at_its_end_leaves_nothing_and_says_where(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        told = await node.imports(central, data=LONG + b"sip:callee-7@127.0.0.1,Alex,form\nnobody,Alex,form\n")
        assert [(problem.line, problem.reason) for problem in told.problems] == [
            (20_002, "the same as on line 9"),
            (20_003, "is neither a telephone number nor a SIP URI"),
        ]
        assert await stored(node.edge.bus) == []
        assert await node.imports(central, data=LONG) == wire.CampaignImported(20_000)
        assert await node.imports(central, CampaignId("small"), LIST) == wire.CampaignImported(3)
