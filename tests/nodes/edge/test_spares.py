"""Spares of an edge keep what the active one tells them, each all of it, and nobody else tells them anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.bus import bus
from nodes.call.inputs import Moved
from nodes.call.record import CallRecord
from nodes.edge import arrivals, elsewhere
from nodes.edge.calls import Calls
from nodes.edge.ownership import order_of
from nodes.edge.services import EdgeServices
from nodes.links.roster import Peer, Roster, State
from protocols.wire.cluster import NodeState
from protocols.wire.ids import CallId, Identity
from tests.nodes.edge.two_edges import FarEnd, Machine, machine, spare, talking

NAMES = [f"c{n}" for n in range(5)]


@pytest.fixture
async def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS
    async with machine(tmp_path, "a") as made:
        far = FarEnd()
        for name in NAMES:
            await made.calls.go_on(made.calls.keep(talking(far, made, name)))
        yield made
        far.sock.close()


@pytest.fixture
async def spares(edge: Machine) -> AsyncIterator[list[Calls]]:
    """Two; the second comes when the first has been told everything."""
    async with AsyncExitStack() as stack:
        made: list[Calls] = []
        for number in (2, 3):
            made.append(await stack.enter_async_context(spare(edge, number)))
            meet(edge, made)
            await edge.until(lambda: all(kept(one) == {*NAMES} for one in made))
        yield made


def meet(edge: Machine, spares: list[Calls], active: Identity | None = None) -> Roster:
    """Tell all of them who lives."""
    others = [peer for peer in edge.services.roster.processes if peer.role != "edge"]
    edges = [
        Peer("edge", "edge-0", mesh.identity, mesh.endpoint, 1,
             State.ACTIVE if mesh.identity == (active or edge.identity) else State.SPARE)
        for mesh in (edge.services.mesh, *(one._services.mesh for one in spares))
    ]  # fmt: skip
    roster = Roster(edge.services.roster.revision + 1, (*others, *edges))
    for calls in (edge.calls, *spares):
        calls.follow(roster)
    return roster


def kept(spare: Calls) -> set[str]:
    return set(spare._standby._kept)


async def test_a_spare_that_comes_takes_nothing_from_the_others_and_tells_nobody_anything(
    edge: Machine, spares: list[Calls]
) -> None:
    """Each spare had told all others, and itself, which calls it has: none. So they gave it theirs, again and again."""
    edge.calls.stores[CallId("c1")].write(silent_since_s=1.0)
    await edge.until(lambda: not edge.calls.figures()["unreplicated"])
    await edge.until(lambda: all(not one.is_behind for one in edge.calls._heirs._heirs.values()))
    assert [kept(one) for one in spares] == [{*NAMES}, {*NAMES}]
    assert [set(one._received._n) for one in spares] == [{edge.identity}] * 2


async def test_who_becomes_active_tells_the_other_spare_which_calls_there_are_and_is_given_what_it_lacks(
    edge: Machine, spares: list[Calls]
) -> None:
    first, second = spares
    first._standby.drop(CallId("c4"))
    first.activate()
    first.follow(Roster(99, tuple(one for one in first._services.roster.processes if one.identity != edge.identity)))
    await edge.until(lambda: {*first.stores} == {*NAMES})
    await edge.until(lambda: kept(second) == {*NAMES} and first.is_settled)


async def test_calls_of_a_dead_machine_have_spares_before_they_begin_here_and_these_begin_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge is killed before it has a line for them. They were lost to this machine, and nobody else has them."""
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)

    async def never(services: EdgeServices, record: CallRecord, outage_s: float) -> Moved:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with machine(tmp_path, "a") as dead, machine(tmp_path, "b") as edge, spare(edge, 2) as second:
        far = FarEnd()
        meet(edge, [second])
        dead.sees(edge.member())
        edge.sees(dead.member())
        await dead.until(lambda: dead.calls.elsewhere.ownership.heir_for(CallId("c0")) == "b")
        for name in NAMES:
            await dead.calls.go_on(dead.calls.keep(talking(far, dead, name)))
        theirs = edge.calls.elsewhere.inheritance._of(dead.identity)._kept
        last = {name: store.record for name, store in dead.calls.stores.items()}
        await edge.until(lambda: {name: one.order for name, one in theirs.items()} == {
            name: order_of(record) for name, record in last.items()})  # fmt: skip
        monkeypatch.setattr(elsewhere, "have_ready", never)
        edge.sees(dead.member(NodeState.DEAD, is_proven=True))
        await edge.until(lambda: kept(second) == {*NAMES})
        monkeypatch.setattr(elsewhere, "have_ready", arrivals.have_ready)
        second.activate()
        living = [one for one in second._services.roster.processes if one.identity != edge.identity]
        second.follow(Roster(99, tuple(living)))
        far.heard()
        await second.wake_all()
        await edge.until(lambda: all(edge.channel(CallId(name)) for name in NAMES))
        channels = [channel for name in NAMES if (channel := edge.channel(CallId(name)))]
        assert {channel.owner for channel in channels} == {second._services.mesh.identity}
        assert {channel.port for channel in channels} == {40000, 40002, 40004, 40006, 40008}, "this machine's ports"
        while not (invite := (await far.hears())[0]).startswith("INVITE"):
            pass  # the dead one is not, and hangs up where nobody speaks
        assert any(f"m=audio {channel.port} " in invite for channel in channels)
        far.sock.close()
