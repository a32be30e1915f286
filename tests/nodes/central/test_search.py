"""Which attempts nobody has: found out by asking every edge, more than once, and never while one does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.central.search import N_LOOKS, N_OVER, Missing, Search
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import CallId, Identity
from protocols.wire.reconcile import CallsFound, FindCalls

ADA, BOB = CallId("ada/1"), CallId("bob/1")
NOTHING = CallsFound((), ())


def looked(*rounds: tuple[set[CallId], list[CallsFound | None]]) -> set[CallId]:
    missing = Missing()
    for asked, answers in rounds:
        missing.look(asked, answers)
    return missing.lost()


def test_what_no_edge_has_five_looks_in_a_row_is_lost() -> None:
    round_ = ({ADA, BOB}, [CallsFound((BOB,), ()), NOTHING])
    assert looked(*[round_] * (N_LOOKS - 1)) == set()
    assert looked(*[round_] * N_LOOKS) == {ADA}


@pytest.mark.parametrize(
    "answers", [[], [None], [NOTHING, None]], ids=["no edge is up", "it is silent", "one of two is silent"]
)
def test_as_long_as_an_edge_has_not_answered_nothing_is_lost(answers: list[CallsFound | None]) -> None:
    assert looked(*[({ADA}, answers)] * 100) == set()


def test_one_that_was_seen_once_is_counted_anew() -> None:
    nowhere, held = ({ADA}, [NOTHING]), ({ADA}, [CallsFound((ADA,), ()), None])
    assert looked(*[nowhere] * (N_LOOKS - 1), held, *[nowhere] * (N_LOOKS - 1)) == set()


def test_one_whose_end_is_on_its_way_is_waited_for_but_not_for_ever() -> None:
    over = ({ADA}, [CallsFound((), (ADA,)), NOTHING])
    assert looked(*[over] * (N_OVER - 1)) == set()
    assert looked(*[over] * N_OVER) == {ADA}


def test_an_attempt_that_is_not_in_flight_any_more_is_forgotten() -> None:
    missing = Missing()
    for asked in [{ADA}] * N_LOOKS:
        missing.look(asked, [NOTHING])
    missing.look(set(), [])
    assert missing.lost() == set()


def test_one_that_another_node_shows_is_counted_anew() -> None:
    missing = Missing()
    for _ in range(N_LOOKS):
        missing.look({ADA}, [NOTHING])
    missing.found(ADA)
    assert missing.lost() == set()


found = st.builds(lambda held, over: CallsFound(tuple(held), tuple(over)), *[st.sets(st.sampled_from([ADA, BOB]))] * 2)
rounds = st.lists(st.tuples(st.just({ADA, BOB}), st.lists(st.one_of(st.none(), found), max_size=2)), max_size=80)


@given(rounds)
def test_never_is_one_lost_that_an_edge_has_had_since_fewer_looks_or_while_one_was_silent(
    given_rounds: list[tuple[set[CallId], list[CallsFound | None]]],
) -> None:
    lost = looked(*given_rounds)
    for call_id in lost:
        recent = given_rounds[-N_LOOKS:]
        assert all(call_id not in one.held for _, answers in recent for one in answers if one)
        whole = [answers for _, answers in given_rounds if answers and None not in answers]
        ends = [one for _, answers in given_rounds for one in answers if one and call_id in one.over]
        assert len(whole) >= N_LOOKS or len(ends) >= N_OVER


# ---- who is asked ---------------------------------------------------------------------------------------------------


@dataclass
class Edges:
    """Two edges with calls, and who asks them. `asked`: what each was asked about, since it was looked last."""

    search: Search
    calls: dict[Identity, set[CallId]]
    over: set[CallId] = field(default_factory=set)
    asked: list[tuple[Identity, tuple[CallId, ...]]] = field(default_factory=list)

    async def look(self, *calls: CallId) -> set[CallId]:
        """Look for these; return which are held."""
        self.asked.clear()
        return {call_id for found in await self.search.look(calls, 1) if found for call_id in found.held}

    def find(self, asked: FindCalls, edge: Identity) -> CallsFound:
        self.asked.append((edge, asked.calls))
        held = tuple(one for one in asked.calls if one in self.calls[edge])
        return CallsFound(held, tuple(one for one in asked.calls if one in self.over))


ONE, TWO = Identity("n1.edge-0:1"), Identity("n1.edge-1:1")


@pytest.fixture
async def edges(tmp_path: Path) -> AsyncIterator[Edges]:
    async with AsyncExitStack() as stack:
        meshes = {}
        for name in ("central", "one", "two"):
            identity = {"one": ONE, "two": TWO}.get(name, Identity("n1.central-0:1"))
            meshes[name] = await stack.enter_async_context(
                closing(await Mesh.start(identity, f"ipc://{tmp_path}/{name}"))
            )
        roster = Roster(1, tuple(Peer(name, name, mesh.identity, mesh.endpoint, 1, State.ACTIVE)
                                 for name, mesh in meshes.items()))  # fmt: skip
        for mesh in meshes.values():
            mesh.roster(roster)
        places = SimpleNamespace(all=[ONE, TWO], silent=[])
        search = Search(meshes["central"], places, None, lambda: 1)  # type: ignore[arg-type]
        made = Edges(search, {ONE: {ADA}, TWO: {BOB}})
        for name in ("one", "two"):
            edge = meshes[name].identity
            meshes[name].serve(FindCalls, lambda asked, _, edge=edge: made.find(asked, edge))
        yield made


async def test_whoever_had_an_attempt_is_asked_about_it_and_the_others_are_not(edges: Edges) -> None:
    assert await edges.look(ADA, BOB) == {ADA, BOB}
    assert sorted(edges.asked) == [(ONE, (ADA, BOB)), (TWO, (ADA, BOB))]
    assert await edges.look(ADA, BOB) == {ADA, BOB}
    assert sorted(edges.asked) == [(ONE, (ADA,)), (TWO, (BOB,))]


async def test_about_what_is_not_there_any_more_all_are_asked_in_the_same_look(edges: Edges) -> None:
    await edges.look(ADA, BOB)
    edges.calls[ONE], edges.calls[TWO] = set(), {ADA, BOB}  # it has been moved
    assert await edges.look(ADA, BOB) == {ADA, BOB}
    assert (TWO, (ADA,)) in edges.asked
    edges.calls[TWO] = {BOB}
    assert await edges.look(ADA, BOB) == {BOB}
    assert {edge for edge, calls in edges.asked if ADA in calls} == {ONE, TWO}


async def test_of_an_edge_that_does_not_answer_nothing_is_known(edges: Edges) -> None:
    await edges.look(ADA, BOB)
    edges.search._places.all = [Identity("n1.edge-2:1"), TWO]  # type: ignore[misc]
    assert None in await edges.search.look((ADA, BOB), 1)
