"""Calls that are moved on purpose: a far end agrees first, no moment has a call twice, or nowhere; and how many go."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from nodes.bus import bus
from nodes.call.inputs import HangUpOrdered
from nodes.call.record import CallPhase
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from protocols.sip import Disposition
from protocols.wire.cluster import NodeState
from protocols.wire.codec import MAX_BODY
from protocols.wire.desk import Drain, MoveShare, ShareMoves
from protocols.wire.events import Kind
from protocols.wire.ids import Identity
from protocols.wire.messages import CloseChannel, GetStatus
from tests.nodes.edge.test_takeover import C1, Pair, pair  # noqa: F401  a fixture
from tests.nodes.edge.two_edges import PLAYS, talking


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


def cseq(text: str) -> int:
    """The number of a request."""
    return int(text.partition("CSeq: ")[2].split()[0])


async def up(pair: Pair, n: int = 1) -> None:  # noqa: F811
    """Have so many calls up at the first machine, and all that they need at the second."""
    for machine in (pair.a, pair.b):
        machine.services.config.paths.prompts.mkdir(exist_ok=True)
    (pair.a.services.config.paths.prompts / f"{PLAYS}.ulaw").write_bytes(b"\xff" * 8000)
    for k in range(1, n + 1):
        await pair.begin(talking(pair.far, pair.a, f"c{k}"))
    await pair.b.until(lambda: pair.b.calls.elsewhere._prompts.is_here([PLAYS]))


async def test_a_call_is_moved_to_its_heir_once_the_far_end_has_agreed(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    before = pair.a.calls.stores[C1].record
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    invite = await pair.far.answer()
    assert f"127.0.0.1:{pair.b.services.trunk.port}" in invite
    assert await moving
    await pair.b.until(lambda: not pair.b.calls.stores[C1].record.is_waiting)
    assert C1 not in pair.a.calls.stores
    assert not pair.a.calls.has_been(C1)
    assert Kind.ENDED not in pair.a.kinds
    await pair.a.until(lambda: CloseChannel(C1) in pair.a.told)
    after = pair.b.calls.stores[C1].record
    assert (after.n_moves, after.phase) == (before.n_moves + 1, CallPhase.ANSWERED)
    assert after.order.script == before.order.script


async def test_a_far_end_that_refuses_has_the_call_where_it_was(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.answer(488)
    assert not await moving
    assert C1 in pair.a.calls.stores
    await pair.b.until(lambda: C1 not in pair.b.calls.stores)
    assert pair.a.calls.stores[C1].record.phase is CallPhase.ANSWERED
    await pair.b.until(lambda: pair.kept(C1))


async def test_a_call_on_its_way_is_counted_once_where_it_is_still(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.hears()
    for machine, n in ((pair.a, 1), (pair.b, 0)):
        assert C1 in machine.calls.stores
        figures = machine.requests.status(GetStatus(), machine.identity).figures
        assert (figures["calls"], machine.requests.of_node().calls) == (n, n)
    assert pair.b.requests.status(GetStatus(), pair.b.identity).figures["calls_without_heir"] == 0
    moving.cancel()


async def test_a_machine_that_dies_while_its_call_is_on_its_way_leaves_it_to_where_it_goes(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.hears()
    pair.b.sees(pair.a.member(NodeState.DEAD, is_proven=True))
    await pair.b.until(lambda: not pair.b.calls.stores[C1].record.is_waiting)
    assert pair.b.channel(C1)
    moving.cancel()


async def from_first(pair: Pair) -> str:  # noqa: F811
    """Answer the next INVITE of the first machine; what the second sends is not heard."""
    while True:
        text, source = await pair.far.hears()
        if source[1] == pair.a.services.trunk.port and text.startswith("INVITE"):
            return text


async def test_a_call_that_was_on_its_way_to_a_machine_that_dies_asks_its_far_end_back(pair: Pair) -> None:  # noqa: F811
    """It may have agreed to be there already, and nobody would have heard of that."""
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    theirs, _ = await pair.far.hears()
    pair.a.sees(pair.b.member(NodeState.DEAD, is_proven=True))
    assert not await moving, "its place is free at once"
    assert cseq(await from_first(pair)) > cseq(theirs)
    assert C1 in pair.a.calls.stores


async def test_a_machine_that_takes_a_call_when_nobody_waits_for_that_any_more_leaves_it(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.a.until(lambda: C1 in pair.a.calls.elsewhere.mover._to)
    moving.cancel()
    theirs = await pair.far.answer()
    assert cseq(await from_first(pair)) > cseq(theirs)
    await pair.b.until(lambda: C1 not in pair.b.calls.stores)
    assert C1 in pair.a.calls.stores


async def test_a_call_that_ends_on_its_way_has_no_place_there_and_is_told_as_ended_once(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.hears()
    pair.a.calls.tell(C1, HangUpOrdered(Disposition.COMPLETED, "ordered"))
    await pair.a.until(lambda: C1 not in pair.a.calls.stores)
    assert not await moving, "its place is free at once"
    await pair.far.answer()
    await pair.b.until(lambda: C1 not in pair.b.calls.stores)
    assert (pair.a.kinds.count(Kind.ENDED), pair.b.kinds.count(Kind.ENDED)) == (1, 0)


async def test_a_machine_that_is_drained_moves_what_it_has(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    pair.a.requests.drain(Drain(is_draining=True, moves=True), pair.a.identity)
    await pair.far.answer()
    await pair.a.until(lambda: not pair.a.calls.stores)
    await pair.b.until(lambda: not pair.b.calls.stores[C1].record.is_waiting)
    pair.a.requests.drain(Drain(is_draining=False), pair.a.identity)


async def test_a_share_of_the_calls_goes_and_the_rest_stays_with_a_node_that_takes_new_ones(pair: Pair) -> None:  # noqa: F811
    await up(pair, 5)
    order = MoveShare(0.3)
    assert pair.a.requests.move_share(order, pair.a.identity) == ShareMoves(2, 5)
    for _ in range(2):
        await pair.far.answer()
    mover = pair.a.calls.elsewhere.mover
    await pair.a.until(lambda: mover.n_moved == 2 and not mover.figures()["moving"])
    assert len(pair.a.calls.stores) == 3
    assert not pair.a.calls.is_draining
    await pair.b.until(lambda: not any(one.record.is_waiting for one in pair.b.calls.stores.values()))


async def test_a_call_that_has_just_come_rests_where_whoever_orders_wants_it(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    moving = asyncio.create_task(pair.a.calls.elsewhere.mover.move(C1))
    await pair.far.answer()
    assert await moving
    await pair.b.until(lambda: not pair.b.calls.stores[C1].record.is_waiting)
    order = MoveShare(1.0, rests_s=300.0)
    assert pair.b.requests.move_share(order, pair.a.identity) == ShareMoves(0, 1)
    assert pair.b.requests.move_share(MoveShare(1.0), pair.a.identity) == ShareMoves(1, 1)
    pair.b.requests.move_share(MoveShare(0.0), pair.a.identity)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
async def test_what_is_no_share_is_refused_and_so_is_one_that_nobody_takes(pair: Pair, share: float) -> None:  # noqa: F811
    with pytest.raises(Refused, match="nobody"):
        pair.a.requests.move_share(MoveShare(0.5), pair.a.identity)
    await pair.until_known()
    with pytest.raises(Refused, match="bad_share"):
        pair.a.requests.move_share(MoveShare(share), pair.a.identity)


async def test_a_machine_that_is_full_takes_no_call_that_could_stay_where_it_is(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    pair.b.calls.load._fixed = 1
    pair.b.calls.keep(talking(pair.far, pair.b, "c9"))
    assert not await pair.a.calls.elsewhere.mover.move(C1)
    assert C1 in pair.a.calls.stores
    assert not pair.far.heard()


async def test_a_call_whose_record_is_too_long_for_a_message_stays_and_the_others_go(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    record = talking(pair.far, pair.a, "c9")
    long = replace(record, heir=pair.b.name, order=replace(record.order, script=bytes(MAX_BODY)))
    pair.a.calls.keep(long)
    pair.a.requests.drain(Drain(is_draining=True, moves=True), pair.a.identity)
    await pair.far.answer()
    await pair.a.until(lambda: list(pair.a.calls.stores) == ["c9"])


async def test_a_call_waits_for_what_it_plays_to_be_there(pair: Pair) -> None:  # noqa: F811
    await up(pair)
    (pair.b.services.config.paths.prompts / f"{PLAYS}.ulaw").unlink()
    assert not await pair.a.calls.elsewhere.mover.move(C1)
    assert not pair.far.heard(), "half a sentence would be lost"


async def test_spares_go_on_draining_and_desks_show_it(pair: Pair) -> None:  # noqa: F811
    told: list[tuple[str, Drain]] = []
    mesh = pair.a.services.mesh
    order = Drain(is_draining=True, moves=True)
    async with AsyncExitStack() as stack:
        peers = [*pair.a.services.roster.processes]
        for name, state in (("edge-0", State.SPARE), ("desk-0", State.ACTIVE)):
            one = await stack.enter_async_context(
                closing(await Mesh.start(Identity(f"a.{name}:2"), f"ipc://{pair.a.state}/{name}-2"))
            )
            one.serve(Drain, lambda order, _, name=name: told.append((name, order)))
            peers.append(Peer(name.partition("-")[0], name, one.identity, one.endpoint, 1, state))
            one.roster(Roster(2, (*peers, *pair.a.services.roster.processes)))
        pair.a.requests.drain(order, mesh.identity)
        pair.a.calls.follow(Roster(2, tuple(peers)))
        pair.a.requests.follow()
        await pair.a.until(lambda: sorted(told, key=str) == [("desk-0", order), ("edge-0", order)])
        pair.a.requests.follow()
        pair.a.requests.drain(Drain(is_draining=False), mesh.identity)
        await pair.a.until(lambda: len(told) == 4)
