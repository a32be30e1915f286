"""Spares of an edge keep what the active one tells them, each all of it, and nobody else tells them anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.bus import bus
from nodes.edge.calls import Calls
from nodes.links.roster import Peer, Roster, State
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
