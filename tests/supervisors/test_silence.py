"""Who judges silence judges itself first: random lives of a judge and of whom it judges, in virtual time."""

from collections import deque
from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.silence import LATE, LEAST, N_LOOKS, Silence

LIMIT_S = 3.0
LOOK_S = LIMIT_S / N_LOOKS
BEAT_S = 1.0
ON_TIME = LATE * LOOK_S
pauses = st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 10.0)), max_size=8)
"""(when, how long), of the judge."""


def judged_at(beats: list[float], stops: list[tuple[float, float]], until: float) -> float | None:
    """Return when a judge that is stopped so convicts one who beats so; None: not until `until`.

    As its owner does it: what has come is heard before each look, also what waited while it was stopped.
    """
    heard = deque(sorted(after_stops(at, stops) for at in beats))
    silence, now = Silence(LIMIT_S, 0.0), 0.0
    while now < until:
        while heard and heard[0] <= now:
            silence.heard(heard.popleft())
        again_s = silence.look(now)
        if again_s is None:
            return now
        now = after_stops(now + again_s, stops)
    return None


def after_stops(due: float, stops: list[tuple[float, float]]) -> float:
    """Return when the judge does what was due then."""
    for begin, length in sorted(stops):
        if begin <= due <= begin + length:
            due = begin + length
    return due


@given(stops=pauses)
def test_a_judge_that_was_stopped_never_convicts_one_whose_beats_wait_to_be_read(
    stops: list[tuple[float, float]],
) -> None:
    beats = [number * BEAT_S for number in range(80)]
    assert judged_at(beats, stops, until=75.0) is None


@given(stop=st.tuples(st.floats(0.0, 30.0), st.floats(0.0, 3600.0)))
def test_a_pause_of_everybody_convicts_nobody(stop: tuple[float, float]) -> None:
    """The other was stopped too: its next beat comes when it goes on, a moment after the judge does."""
    begin, length = stop
    beats = [at if at < begin else at + length + 0.1 for at in (number * BEAT_S for number in range(40))]
    assert judged_at(beats, [stop], until=38.0 + length) is None


@given(last=st.floats(0.0, 20.0), stop=st.one_of(st.none(), st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 100.0))))
def test_one_who_is_dead_is_convicted_within_two_periods_of_the_judges_presence(
    last: float, stop: tuple[float, float] | None
) -> None:
    beats = [at for at in (number * BEAT_S for number in range(40)) if at <= last]
    away = 0.0 if stop is None else stop[1]
    convicted = judged_at(beats, [] if stop is None else [stop], until=200.0)
    assert convicted is not None
    assert convicted <= last + 2 * LIMIT_S + away


@given(lateness=st.lists(st.floats(ON_TIME, 50.0), min_size=2 * N_LOOKS + 1, max_size=2 * N_LOOKS + 1))
def test_a_judge_that_is_always_late_convicts_all_the_same(lateness: list[float]) -> None:
    silence, now = Silence(LIMIT_S, 0.0), 0.0
    for late in lateness:
        if (again_s := silence.look(now)) is None:
            return
        now += again_s + late
    pytest.fail("looked in vain for two periods")


def looked(shares: Iterator[float], limit_s: float = LIMIT_S) -> list[tuple[float, float]]:
    """Return (passed, starved) look by look, until the verdict on one who says nothing and waits for such shares."""
    silence, now, starved_s, looks = Silence(limit_s, 0.0), 0.0, 0.0, list[tuple[float, float]]()
    while (again_s := silence.look(now, starved_s)) is not None:
        now, starved_s = now + again_s, again_s * next(shares)
        looks.append((again_s, starved_s))
    return looks


@given(shares=st.lists(st.floats(0.0, 0.95), min_size=1, max_size=20))
def test_only_time_counts_in_which_the_judged_had_a_processor(shares: list[float]) -> None:
    looks = looked(cycle(shares))
    had_s = sum(passed - starved for passed, starved in looks)
    assert LIMIT_S - 1e-3 <= had_s <= LIMIT_S + LOOK_S
    passed_s = sum(passed for passed, _ in looks)
    assert len(looks) <= N_LOOKS + passed_s / (LEAST * LOOK_S), "it does not look all the time"


def test_one_who_finds_no_processor_is_late_for_ever_and_not_dead() -> None:
    silence, now = Silence(LIMIT_S, 0.0), 0.0
    for _ in range(1000):
        again_s = silence.look(now, LOOK_S)
        assert again_s is not None
        now += again_s


def test_a_judge_on_time_convicts_exactly_when_the_limit_is_over() -> None:
    assert judged_at([0.0, 0.2], [], until=10.0) == pytest.approx(0.2 + LIMIT_S)
