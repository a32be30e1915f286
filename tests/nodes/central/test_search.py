"""Which attempts nobody has: found out by asking every edge, more than once, and never while one does not answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.central.search import N_LOOKS, N_OVER, Missing
from protocols.wire.ids import CallId
from protocols.wire.reconcile import CallsFound

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
