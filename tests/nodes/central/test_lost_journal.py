"""A journal that somebody has deleted, emptied or cut short takes nothing with it that is known elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nodes.bus.bus import Bus, Extent
from nodes.bus.objects import Objects
from nodes.central.memory import SNAPSHOT, Memory
from nodes.central.memory_store import MemoryStore
from nodes.links.errors import BusAway, StreamBroken
from protocols.wire import campaigns as wire
from protocols.wire.ids import CampaignId, Identity
from protocols.wire.journal import CampaignPhase, Steered, from_body
from protocols.wire.subjects import Stream, object_chunks
from tests.nodes.central.test_central import ANYTIME, SPRING, Node, node
from tests.nodes.central.test_keeping import leading, memory

__all__ = ["node"]  # a fixture


async def delete_journal(bus: Bus) -> None:
    await bus._connection.jetstream.delete_stream(Stream.CAMPAIGN)
    await bus.ensure_layout()


async def spoil_snapshot(bus: Bus) -> None:
    info = await bus.objects().info(SNAPSHOT)
    assert info
    await bus.objects().purge(object_chunks(info.nuid))


async def rolls(bus: Bus) -> list[str]:
    return [name for name in await bus.objects().names() if name.startswith("roll.")]


async def stays_paused(node: Node, central: Identity, n_orders: int) -> None:
    """Two of three are dialled, the journal is lost: they are known, and the third is not dialled by itself."""
    status = await node.status(central, lambda status: status.phase == "paused")
    assert (status.contacts, status.in_flight, status.waiting) == (3, 2, 1)
    for order in node.edge.orders[:2]:
        node.edge.end(order)
    await node.status(central, lambda status: status.done == 2)
    assert len(node.edge.orders) == n_orders
    await node.runs(central)
    assert (await node.edge.order(2)).target not in {order.target for order in node.edge.orders[:2]}


async def two_of_three(node: Node, central: Identity) -> None:
    await node.leads(central)
    await node.imports(central, plan=replace(ANYTIME, concurrency=2))
    await node.runs(central)
    await node.edge.order(1)


async def test_a_leader_keeps_what_it_knows_of_a_deleted_journal_and_an_operator_says_what_goes_on(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
        await delete_journal(bus)
        await stays_paused(node, central, 2)
    async with node.central("central-1") as successor:
        await node.leads(successor)
        told = await node.operator.ask(successor, wire.GetCampaign(SPRING))
        assert (told.phase, told.contacts, told.in_flight, told.done) == ("running", 3, 1, 2)
    assert len(await rolls(bus)) == 1


async def test_whoever_comes_after_a_deleted_journal_begins_with_the_snapshot_of_it(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
        reader = await leading(bus, "reader")
        await reader.catch_up()
        await MemoryStore(bus, reader).keep()
    await delete_journal(bus)
    async with node.central("central-1") as successor:
        await node.leads(successor)
        await stays_paused(node, successor, 2)
    assert len(await rolls(bus)) == 1
    again = memory(bus, "again")
    await again.catch_up()
    assert not again.unsure
    assert again.campaigns.campaigns[SPRING].phase is CampaignPhase.RUNNING, "as the operator has said since"


async def test_of_a_journal_that_has_lost_its_end_the_snapshot_tells_the_rest(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
    knows_more = await leading(bus, "knows-more")
    await knows_more.catch_up()
    left = knows_more.last
    knows_more.last += 7
    await MemoryStore(bus, knows_more).keep()
    successor = await leading(bus, "successor")
    with pytest.raises(BusAway):  # a server that has just come up may not know its end yet
        await successor.catch_up()
    monkeypatch.setattr("nodes.central.memory.SHORT_S", 0.0)
    await successor.catch_up()
    assert (successor.last, successor.unsure) == (left, {SPRING})
    assert successor.campaigns == knows_more.campaigns
    await MemoryStore(bus, successor).settle()
    assert (successor.last, successor.unsure, successor.kept, successor.is_owed) == (left + 1, set(), left, False)
    standby = memory(bus, "standby")
    await standby.catch_up()
    assert standby.campaigns == successor.campaigns
    assert standby.campaigns.campaigns[SPRING].phase is CampaignPhase.PAUSED


async def test_of_two_servers_that_know_two_ends_of_the_journal_one_is_behind_and_nothing_is_forgotten(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was killed is asked again before it has what the others have."""
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
    reader = await leading(bus, "reader")
    await reader.catch_up()
    known, there = reader.last, await bus.extent(Stream.CAMPAIGN)

    async def ahead(stream: Stream) -> Extent:
        return replace(there, last=there.last + 1)

    with monkeypatch.context() as patch:
        patch.setattr(bus, "extent", ahead)
        with pytest.raises(BusAway):
            await reader.catch_up()
    assert (reader.last, [*reader.campaigns.campaigns]) == (known, [SPRING])
    await reader.catch_up()


async def test_a_leader_that_dies_before_it_has_paused_them_leaves_that_to_its_successor(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
    first, second = await leading(bus, "first"), memory(bus, "second")
    await first.catch_up()
    await second.catch_up()
    await delete_journal(bus)
    await first.catch_up()
    await MemoryStore(bus, first).keep()
    third = memory(bus, "third")
    for one in (second, third):
        await one.catch_up()
        assert one.unsure == {SPRING}
    await MemoryStore(bus, first).settle()
    for one in (second, third):
        await one.catch_up()
        assert not one.unsure
        assert one.campaigns == first.campaigns


async def test_who_begins_while_nothing_is_kept_yet_knows_it_once_it_is(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
    first = await leading(bus, "first")
    await first.catch_up()
    await delete_journal(bus)
    late = memory(bus, "late")
    await late.catch_up()
    assert not late.campaigns.campaigns
    await first.catch_up()
    await MemoryStore(bus, first).settle()
    await late.catch_up()
    assert late.campaigns == first.campaigns


async def test_what_is_written_first_into_another_journal_is_known_like_the_rest(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await two_of_three(node, central)
    writer = await leading(bus, "writer")
    await writer.catch_up()
    await delete_journal(bus)
    await writer.write(Steered(SPRING, CampaignPhase.STOPPED, datetime.now(UTC)))
    assert (writer.last, writer.unsure) == (1, set())
    assert writer.campaigns.campaigns[SPRING].phase is CampaignPhase.STOPPED
    assert [from_body(one.body or {}) async for one in bus.replay(Stream.CAMPAIGN)]


async def test_a_journal_that_is_empty_and_was_not_always_is_not_believed_and_no_list_is_removed(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.imports(central, CampaignId("autumn"))
        await node.operator.ask(central, wire.ForgetContact("sip:bob@127.0.0.1"))
        async with asyncio.timeout(60):
            while (await bus.extent(Stream.CAMPAIGN)).first == 1 or len(await bus.objects().names()) != 3:
                await asyncio.sleep(0.05)
    await bus.purge(Stream.CAMPAIGN, before=(await bus.extent(Stream.CAMPAIGN)).last + 1)
    await spoil_snapshot(bus)
    successor = await leading(bus, "successor")
    for _ in range(2):
        with pytest.raises(StreamBroken):
            await successor.catch_up()
    assert len(await rolls(bus)) == 2


async def test_who_knows_no_campaign_removes_no_list(node: Node) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    writing = bus.objects().begin("roll.spring.1")
    await writing.write(b"somebody")
    await writing.finish()
    memory_store = MemoryStore(bus, Memory(bus, bus.lease("central", "x"), "x"))
    running = asyncio.create_task(memory_store.run())
    await memory_store.swept.wait()
    running.cancel()
    assert await rolls(bus) == ["roll.spring.1"]


async def test_a_list_that_is_imported_while_unused_ones_are_looked_for_is_kept(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, names = node.edge.bus, Objects.names
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        reader = await leading(bus, "reader")
        await reader.catch_up()

        async def slow(self: Objects) -> list[str]:
            monkeypatch.undo()
            await node.imports(central, CampaignId("autumn"))
            found = await names(self)
            await reader.catch_up()
            return found

        memory_store = MemoryStore(bus, reader)
        monkeypatch.setattr(Objects, "names", slow)
        assert await memory_store._remove_rolls() == 0
        assert len(await rolls(bus)) == 2
        reader._broken(reader.last)
        assert await memory_store._remove_rolls() == 0, "another fold may not know them all yet"
