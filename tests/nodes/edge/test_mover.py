"""A call that is moved on purpose: its far end agrees first, and no moment has it twice, or nowhere."""

from __future__ import annotations

import asyncio

import pytest

from nodes.call.record import CallPhase
from nodes.links import bus
from protocols.wire.cluster import NodeState
from protocols.wire.desk import Drain
from protocols.wire.events import Kind
from protocols.wire.messages import CloseChannel
from tests.nodes.edge.test_takeover import C1, Pair, pair  # noqa: F401  a fixture
from tests.nodes.edge.two_edges import talking


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


async def test_a_call_is_moved_to_its_heir_once_the_far_end_has_agreed(pair: Pair) -> None:  # noqa: F811
    await pair.begin(talking(pair.far, pair.a))
    before = pair.a.calls.keepers[C1].record
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    invite = await pair.far.answer()
    assert f"127.0.0.1:{pair.b.means.trunk.port}" in invite
    assert await moving
    await pair.b.until(lambda: not pair.b.calls.keepers[C1].record.is_waiting)
    assert C1 not in pair.a.calls.keepers
    assert not pair.a.calls.has_been(C1)
    assert Kind.ENDED not in pair.a.kinds
    assert CloseChannel(C1) in pair.a.told
    after = pair.b.calls.keepers[C1].record
    assert (after.n_moves, after.phase) == (before.n_moves + 1, CallPhase.ANSWERED)
    assert after.order.script == before.order.script


async def test_a_far_end_that_refuses_has_the_call_where_it_was(pair: Pair) -> None:  # noqa: F811
    await pair.begin(talking(pair.far, pair.a))
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.answer(488)
    assert not await moving
    assert C1 in pair.a.calls.keepers
    await pair.b.until(lambda: C1 not in pair.b.calls.keepers)
    assert pair.a.calls.keepers[C1].record.phase is CallPhase.ANSWERED
    await pair.b.until(lambda: pair.kept(C1))


async def test_a_machine_that_dies_while_its_call_is_on_its_way_leaves_it_to_where_it_goes(pair: Pair) -> None:  # noqa: F811
    await pair.begin(talking(pair.far, pair.a))
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.hears()
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.b.until(lambda: not pair.b.calls.keepers[C1].record.is_waiting)
    assert pair.b.channel(C1)
    moving.cancel()


async def test_a_machine_that_is_drained_moves_what_it_has(pair: Pair) -> None:  # noqa: F811
    await pair.begin(talking(pair.far, pair.a))
    pair.a.requests.drain(Drain(is_draining=True, moves=True), pair.a.identity)
    await pair.far.answer()
    await pair.a.until(lambda: not pair.a.calls.keepers)
    await pair.b.until(lambda: not pair.b.calls.keepers[C1].record.is_waiting)
    pair.a.requests.drain(Drain(is_draining=False), pair.a.identity)
