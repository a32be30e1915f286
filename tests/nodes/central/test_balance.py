"""A node that is late for half a minute gives calls to those that are not, and no call moves twice in five minutes."""

from __future__ import annotations

import math
import random
from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.central.balance import AWAY_S, HOLD_S, LATE_MS, PROMPT_MS, RESTS_S, SHARE, Balance, Relief
from protocols.wire.ids import Identity

A, B, C = (Identity(f"{node}.edge-0:1") for node in "abc")
LATE, FINE = {"late_ms": LATE_MS + 1, "calls": 40.0, "room": 0.0}, {"late_ms": 10.0, "calls": 5.0, "room": 30.0}
EDGES = (A, B, C)


def after(balance: Balance, said: dict[Identity, dict[str, float]], seconds: float, now: float) -> Relief | None:
    """Look once a second for so long; return what was asked, if anything was."""
    found = [balance.step(said, now + k) for k in range(int(seconds) + 1)]
    return next((one for one in found if one), None)


def test_a_node_that_is_late_for_half_a_minute_is_asked_for_a_fifth_of_its_calls() -> None:
    balance = Balance()
    assert after(balance, {A: LATE, B: FINE}, HOLD_S - 1, 100.0) is None
    assert balance.step({A: LATE, B: FINE}, 100.0 + HOLD_S) == Relief(A, SHARE, (B,))
    assert after(balance, {A: LATE, B: FINE}, HOLD_S - 2, 101.0 + HOLD_S) is None, "what that does is to be seen first"


def test_one_that_was_prompt_once_meanwhile_begins_anew_and_so_does_one_that_did_not_answer() -> None:
    for between in ({A: FINE, B: FINE}, {B: FINE}):
        balance = Balance()
        after(balance, {A: LATE, B: FINE}, HOLD_S - 1, 100.0)
        balance.step(between, 100.0 + HOLD_S)
        assert after(balance, {A: LATE, B: FINE}, HOLD_S - 1, 101.0 + HOLD_S) is None


def test_a_central_that_stood_still_does_not_know_what_was_meanwhile() -> None:
    balance = Balance()
    balance.step({A: LATE, B: FINE}, 100.0)
    assert balance.step({A: LATE, B: FINE}, 100.0 + HOLD_S) is None


def test_nothing_is_moved_where_nobody_has_room_or_everybody_is_late_or_drains() -> None:
    full, drains = FINE | {"room": 0.0}, FINE | {"draining": 1.0}
    slow = FINE | {"late_ms": PROMPT_MS + 1}
    for other in (LATE, full, drains, slow):
        assert after(Balance(), {A: LATE, B: other}, 3 * HOLD_S, 100.0) is None


def test_another_edge_of_the_same_node_has_no_room_for_what_is_to_leave_it() -> None:
    beside = Identity("a.edge-1:1")
    assert after(Balance(), {A: LATE, beside: FINE}, 3 * HOLD_S, 100.0) is None
    assert after(Balance(), {A: LATE, beside: FINE, B: FINE}, HOLD_S, 100.0) == Relief(A, SHARE, (B,))


def test_no_more_calls_are_moved_than_there_is_room_for() -> None:
    told = after(Balance(), {A: LATE, B: FINE | {"room": 2.0}}, HOLD_S, 100.0)
    assert told
    assert told.share == 2.0 / 40.0


said = st.fixed_dictionaries(
    {
        "late_ms": st.sampled_from([0.0, PROMPT_MS, PROMPT_MS + 1, LATE_MS, LATE_MS + 1, 900.0]),
        "calls": st.integers(0, 50).map(float),
        "room": st.integers(0, 20).map(float),
        "draining": st.sampled_from([0.0, 0.0, 0.0, 1.0]),
    }
)
looks = st.lists(
    st.tuples(
        st.sampled_from([1.0, 1.0, 1.0, 2.5, AWAY_S + 0.1]),
        st.integers(1, 45),
        st.dictionaries(st.sampled_from(EDGES), said, max_size=3),
    ),
    max_size=12,
)


@given(looks)
def test_whoever_is_asked_was_late_at_every_look_of_half_a_minute_and_nobody_else_was_asked_meanwhile(
    told: list[tuple[float, int, dict[Identity, dict[str, float]]]],
) -> None:
    balance, now, asked_s = Balance(), 50.0, -math.inf
    seen: deque[tuple[float, dict[Identity, dict[str, float]]]] = deque()
    for step_s, n, figures in told:
        for _ in range(n):
            now += step_s
            seen.append((now, figures))
            relief = balance.step(figures, now)
            if relief is None:
                continue
            past = [(at, one) for at, one in seen if at >= now - HOLD_S - AWAY_S]
            held = [one for at, one in past if at >= now - HOLD_S]
            assert all(one.get(relief.edge, {}).get("late_ms", 0.0) > LATE_MS for one in held)
            assert all(b - a <= AWAY_S for (a, _), (b, _) in pairwise(past) if a >= now - HOLD_S)
            assert now - asked_s >= HOLD_S
            asked_s = now
            assert relief.edge not in relief.to
            assert not figures[relief.edge]["draining"]
            for edge in relief.to:
                assert figures[edge]["late_ms"] <= PROMPT_MS
                assert figures[edge]["room"] >= 1
                assert not figures[edge]["draining"]
            assert 0 < relief.share <= SHARE
            assert relief.share * figures[relief.edge]["calls"] <= sum(figures[edge]["room"] for edge in relief.to)


@given(st.integers(0, 2**32 - 1))
def test_in_an_hour_of_crowds_no_call_moves_twice_in_five_minutes_and_whoever_can_be_helped_is(seed: int) -> None:
    """Three nodes, of which one has 45 calls: a node is late beyond 25, and the others take what it gives."""
    dice, balance = random.Random(seed), Balance()
    calls = {A: {n: -math.inf for n in range(45)}, B: {}, C: {}}
    for second in range(3600):
        now = float(second)
        figures = {
            edge: {"calls": float(len(held)), "room": float(max(0, 20 - len(held))),
                   "late_ms": 300.0 if len(held) > 25 else 20.0}
            for edge, held in calls.items()
        }  # fmt: skip
        if relief := balance.step(figures, now):
            held = calls[relief.edge]
            able = [one for one, moved_s in held.items() if now - moved_s >= RESTS_S]
            wanted = min(len(able), math.ceil(relief.share * len(held)))
            for one in dice.sample(able, wanted):
                assert now - held.pop(one) >= RESTS_S
                calls[dice.choice(relief.to)][one] = now
    assert all(len(held) <= 25 for held in calls.values())
