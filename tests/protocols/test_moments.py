"""Data in the time of another machine's clock: moments move, lengths and what has not been yet do not."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from protocols.moments import Moment, moments_of, shifted

TIMES = st.floats(-1e9, 1e9, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Inner:
    at_s: Moment
    lasts_s: float = 2.5


@dataclass(frozen=True, slots=True)
class Outer:
    since_s: Moment = 0.0
    latest_s: Moment | None = None
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    name: str = "c1"


def test_moments_move_at_any_depth_and_lengths_stay() -> None:
    before = Outer(10.0, 12.5, Inner(11.0), (Inner(1.0), Inner(2.0)))
    assert shifted(before, 100.0) == Outer(110.0, 112.5, Inner(111.0), (Inner(101.0), Inner(102.0)))
    assert moments_of(Outer) == {"since_s", "latest_s"}


def test_what_has_not_been_yet_has_not_been_yet_elsewhere() -> None:
    assert shifted(Outer(), 100.0) == Outer()


def test_what_has_been_does_not_become_not_yet_where_the_clock_is_at_its_beginning() -> None:
    moved = shifted(Outer(10.0), -10.0)
    assert moved.since_s
    assert abs(moved.since_s) < 1e-6


@given(TIMES, TIMES, TIMES)
def test_there_and_back_is_as_it_was(since_s: float, latest_s: float, by_s: float) -> None:
    before = Outer(since_s, latest_s, Inner(since_s))
    after = shifted(shifted(before, by_s), -by_s)
    assert after.latest_s is not None
    assert abs(after.since_s - since_s) < 1e-5
    assert abs(after.latest_s - latest_s) < 1e-5
    assert bool(after.since_s) == bool(since_s)


def test_what_is_no_record_stays_as_it_is() -> None:
    body = {"at_s": 3.0}
    assert shifted(body, 5.0) is body
    assert shifted(Inner, 5.0) is Inner
