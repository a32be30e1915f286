"""What the streams have of somebody who is to be forgotten is removed by who leads, also what comes late, and once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from nodes.central import forgetting
from nodes.links.errors import Refused
from protocols.wire import campaigns as wire
from protocols.wire.campaigns import ContactForgotten
from protocols.wire.events import CallEvent, Kind, to_body
from protocols.wire.forgetting import ForgetAgain, GetForgotten, GetRemoved, Person
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.subjects import Bucket, Stream, call_event
from tests.nodes.central.test_central import SPRING, Node, node

__all__ = ["node"]  # a fixture

BOB = "sip:bob@127.0.0.1"


async def events_of(node: Node, target: str) -> int:
    """Return how many events of somebody's calls the stream has."""
    calls = {order.call_id for order in node.edge.orders if order.target == target}
    return len([one async for one in node.edge.bus.replay(Stream.EVENTS) if (one.body or {})["call_id"] in calls])


async def is_done(node: Node, central: Identity, told: ContactForgotten) -> None:
    assert told.at is not None
    async with asyncio.timeout(60):
        while not (await node.operator.ask(central, GetRemoved(told.contact_id, told.at))).is_done:
            await asyncio.sleep(0.05)


async def called(node: Node, central: Identity) -> None:
    """Have all three called, and let all calls end."""
    await node.leads(central)
    await node.imports(central)
    await node.runs(central)
    for n in range(3):
        order = await node.edge.order(n)
        node.edge.say(order, Kind.SLOT_FILLED, slot="code", value=f"of {order.target}")


async def test_nobody_is_forgotten_while_somebody_talks_with_them(node: Node) -> None:
    async with node.central("central-0") as central:
        await called(node, central)
        with pytest.raises(Refused, match="call_is_up"):
            await node.operator.ask(central, wire.ForgetContact(BOB))
        assert (await node.operator.ask(central, GetForgotten())).people == ()


async def test_events_of_them_go_whoever_leads_and_whenever_they_come(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "AGAIN_S", 0.2)
    bus, ada = node.edge.bus, "sip:ada@127.0.0.1"
    async with node.central("central-0") as central:
        await called(node, central)
        for order in list(node.edge.orders):
            node.edge.end(order)
        await node.status(central, lambda status: status.done == 3)
        told = await node.operator.ask(central, wire.ForgetContact(BOB))
        await is_done(node, central, told)
        assert (await events_of(node, BOB), await events_of(node, ada)) == (0, 2)
        removed = await node.operator.ask(central, GetRemoved(told.contact_id, told.at))
        assert {place.place: place.removed for place in removed.places}["events, RM_EVENTS"] == 2
        shown = await bus.kv(Bucket.FORGOTTEN).get(told.contact_id)
        assert shown
        assert shown.value == {"at": told.at.isoformat(), "calls": [], "swept": True}
        assert (await node.operator.ask(central, GetForgotten())).people == (Person(told.contact_id, told.at),)
    async with node.central("central-1") as successor:
        await node.leads(successor)
        await is_done(node, successor, told)
        order = next(order for order in node.edge.orders if order.target == BOB)
        for n, wall in enumerate((told.at, told.at + timedelta(seconds=1))):  # from a node that was cut off
            ids = order.call_id, order.attempt_id, SPRING, NodeId("n2")
            late = CallEvent(f"late {n}", *ids, wall, 9 + n, Kind.DTMF, {"digit": "1"})
            await bus.commit(call_event(CallId(order.call_id), late.kind), late.event_id, to_body(late))
            assert bus.record(call_event(order.call_id, late.kind), f"{n}", to_body(late), order.call_id)
        await bus.settled()
        async with asyncio.timeout(60):
            while await events_of(node, BOB) != 2:  # what is not forgotten, each told twice
                await asyncio.sleep(0.05)


async def test_a_list_of_people_is_forgotten_once(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        told = await node.operator.ask(central, wire.ForgetContact(BOB, (CallId("7c1f"),)))
        later = Person(wire.ContactId("a" * 32), told.at + timedelta(days=1))
        known = Person(told.contact_id, told.at - timedelta(days=1), (CallId("7c1f"),))
        again = await node.operator.ask(central, ForgetAgain((later, known)))
        assert again.people == (later,)
        assert (await node.operator.ask(central, ForgetAgain((later, known)))).people == ()
        with pytest.raises(Refused, match="too_many_calls"):
            await node.operator.ask(central, wire.ForgetContact(BOB, (CallId("x"),) * 101))
        with pytest.raises(Refused, match="bad_call"):
            await node.operator.ask(central, wire.ForgetContact(BOB, (CallId(""),)))
    async with node.central("central-1") as successor:
        await node.leads(successor)
        people = (await node.operator.ask(successor, GetForgotten())).people
        assert {one.contact_id for one in people} == {"a" * 32, told.contact_id}
        behind = await node.operator.ask(successor, GetForgotten(min("a" * 32, told.contact_id)))
        assert [one.contact_id for one in behind.people] == [max("a" * 32, told.contact_id)]
