"""A node with several active edges: each call is kept by one of them, and whoever asks the node asks all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.bus import bus
from nodes.edge import returning
from nodes.edge.other_edges import edge_for
from protocols.wire.cluster import NodeState
from protocols.wire.heirs import KeepOnly
from protocols.wire.ids import CallId, Identity
from tests.nodes.edge.two_edges import FarEnd, Machine, machine, talking, together

NAMES = [CallId(f"c{k}") for k in range(12)]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


@given(st.integers(1, 5), st.integers(0, 4))
def test_calls_stay_with_the_edge_of_a_name_and_those_of_one_that_is_gone_spread_over_the_others(
    n: int, gone: int
) -> None:
    edges = [Identity(f"b.edge-{k}:1") for k in range(n)]
    calls = [CallId(f"c{k}") for k in range(60)]
    before = {call: edge_for(call, edges) for call in calls}
    assert {*before.values()} == {*edges}
    later = [Identity(edge.replace(":1", ":2")) for edge in edges]
    assert {call: edge_for(call, later) for call in calls} == {
        call: f"{edge[:-2]}:2" for call, edge in before.items() if edge
    }
    left = [edge for k, edge in enumerate(edges) if k != gone % n]
    for call in calls:
        assert edge_for(call, left) == (before[call] if before[call] in left else edge_for(call, left))
        assert (edge_for(call, left) is None) is (not left)


@dataclass
class Cluster:
    """Machine `a` with one edge, `b` with two; and who answers their calls."""

    a: Machine
    b: list[Machine]
    far: FarEnd

    def keeps(self, edge: Machine, call_id: CallId) -> bool:
        return edge.calls.elsewhere.inheritance._heir.keeps(self.a.name, call_id)

    def which(self, call_id: CallId) -> Machine:
        identity = edge_for(call_id, [edge.identity for edge in self.b])
        return next(edge for edge in self.b if edge.identity == identity)

    async def begin(self, edges: Sequence[Machine], calls: Sequence[CallId] = NAMES) -> None:
        self.a.sees(together(*edges))
        for edge in self.b:
            edge.sees(self.a.member())
        await self.a.until(lambda: self.a.calls.elsewhere.ownership.heir_for(calls[0]) == "b")
        for name in calls:
            await self.a.calls.go_on(self.a.calls.keep(talking(self.far, self.a, name)))

    def dies(self) -> None:
        for edge in self.b:
            edge.sees(self.a.member(NodeState.DEAD, is_proven=True))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(machine(tmp_path, "a"))
        b = [await stack.enter_async_context(machine(tmp_path, "b", edge=f"edge-{k}")) for k in range(2)]
        far = FarEnd()
        stack.callback(far.sock.close)
        yield Cluster(a, b, far)


async def test_each_call_is_kept_by_one_edge_of_its_heirs_node_and_gone_on_with_once(cluster: Cluster) -> None:
    await cluster.begin(cluster.b)
    await cluster.a.until(lambda: all(cluster.keeps(cluster.which(name), name) for name in NAMES), within_s=20)
    assert {id(cluster.which(name)) for name in NAMES} == {id(edge) for edge in cluster.b}
    assert sum(cluster.keeps(edge, name) for edge in cluster.b for name in NAMES) == len(NAMES)
    await cluster.a.until(lambda: cluster.a.calls.figures()["unkept_afar"] == 0)
    cluster.dies()
    for name in NAMES:
        assert [edge for edge in cluster.b if name in edge.calls.stores] == [cluster.which(name)]


async def test_an_edge_that_a_node_has_more_takes_its_calls_from_the_others(cluster: Cluster) -> None:
    first, second = cluster.b
    await cluster.begin([first])
    await cluster.a.until(lambda: all(cluster.keeps(first, name) for name in NAMES), within_s=20)
    cluster.a.sees(together(first, second))
    theirs = [name for name in NAMES if cluster.which(name) is second]
    await cluster.a.until(lambda: all(cluster.keeps(second, name) for name in theirs), within_s=20)
    await cluster.a.until(lambda: not any(cluster.keeps(first, name) for name in theirs), within_s=20)
    cluster.dies()
    assert sum(name in edge.calls.stores for edge in cluster.b for name in NAMES) == len(NAMES)


async def test_who_comes_back_hears_of_a_call_from_whichever_edge_has_taken_it(cluster: Cluster) -> None:
    await cluster.begin(cluster.b)
    await cluster.a.until(lambda: all(cluster.keeps(cluster.which(name), name) for name in NAMES), within_s=20)
    cluster.dies()
    for edge in cluster.b:  # it was not dead, but stood still
        edge.sees(cluster.a.member())
    await cluster.a.until(lambda: not cluster.a.calls.stores, within_s=20)


async def test_who_is_back_does_not_take_one_edges_word_for_its_nodes_while_the_other_is_between_two_lives(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge that was away had gone on with the call; on the word of the other one, two machines did."""
    monkeypatch.setattr(returning, "ANSWERS_S", 0.3)
    first, second = cluster.b
    for edge in cluster.b:
        edge.sees(cluster.a.member())

    async def unknown(*there: Machine) -> set[CallId]:
        member = together(*there)
        cluster.a.sees(replace(member, word=replace(member.word, n_edges=2)))
        record = talking(cluster.far, cluster.a, NAMES[0], heir=first.name)
        return (await returning.ask_all(cluster.a.services, [record])).unknown

    assert await unknown(first) == {NAMES[0]}
    monkeypatch.setattr(returning, "ANSWERS_S", 20.0)
    assert await unknown(first, second) == set()


async def test_the_calls_of_all_edges_of_a_node_go_on_at_another_one_when_it_dies(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        a = [await stack.enter_async_context(machine(tmp_path, "a", edge=f"edge-{k}")) for k in range(2)]
        b = await stack.enter_async_context(machine(tmp_path, "b"))
        far = FarEnd()
        stack.callback(far.sock.close)
        b.sees(together(*a))
        for edge in a:
            edge.sees(b.member())
            await edge.until(lambda edge=edge: edge.calls.elsewhere.ownership.able)
        for k, name in enumerate(NAMES):
            await a[k % 2].calls.go_on(a[k % 2].calls.keep(talking(far, a[k % 2], name)))
        heir = b.calls.elsewhere.inheritance._heir
        await b.until(lambda: all(heir.keeps(a[0].name, name) for name in NAMES), within_s=20)
        b.sees(together(*a, state=NodeState.DEAD, is_proven=True))
        assert {*b.calls.stores} == {*NAMES}


async def test_what_one_edge_of_a_node_has_says_nothing_of_the_calls_of_another(cluster: Cluster) -> None:
    await cluster.begin(cluster.b[:1], NAMES[:1])
    heir = cluster.b[0]
    await cluster.a.until(lambda: cluster.keeps(heir, NAMES[0]), within_s=20)
    other = Identity("a.edge-1:1")
    heir.calls.elsewhere.take(KeepOnly((CallId("other"),)), other)
    cluster.dies()
    assert NAMES[0] in heir.calls.stores
