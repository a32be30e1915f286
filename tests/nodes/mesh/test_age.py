"""How long a frame was on its way, between clocks that nobody has compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.mesh.age import DRIFT, Age

delays = st.lists(st.tuples(st.floats(0.001, 5.0), st.floats(0.0, 10.0)), min_size=1, max_size=50)


@given(delays, st.floats(-1e6, 1e6), st.floats(-DRIFT / 2, DRIFT / 2))
def test_an_age_is_never_negative_and_never_more_than_the_frame_was_on_its_way(frames, offset, drift):
    """`frames`: time since the last one was sent, and how long it took. The other clock is `offset` away and drifts."""
    age, sent, arrived = Age(), 0.0, 0.0
    fastest = float("inf")
    for gap, took in frames:
        sent += gap
        arrived = max(arrived, sent + took)  # frames do not overtake each other
        found = age.of(sent * (1 + drift) + offset, arrived)
        fastest = min(fastest, arrived - sent)
        assert -1e-6 <= found <= arrived - sent + abs(drift) * arrived + 1e-6


def test_a_frame_that_lay_for_five_seconds_is_five_seconds_old():
    age = Age()
    for second in range(10):
        age.of(1000.0 + second, 5.0 + second)
    assert 4.9 < age.of(1010.0, 20.0) <= 5.0


def test_a_clock_that_runs_slower_for_a_day_makes_nothing_old():
    age = Age()
    assert max(age.of(n * (1 - 1e-4), float(n)) for n in range(0, 86_400, 60)) < 0.01


def test_a_clock_that_stood_still_while_its_machine_was_moved_makes_nothing_old_for_long():
    """Its asks would be taken for late, by as much as it stood still, for an hour."""
    age = Age()
    for beat in range(20):
        age.of(1000.0 + beat / 2, beat / 2)
    ages = [age.of(1010.0 + beat / 2, 13.0 + beat / 2) for beat in range(10)]
    assert 2.9 < ages[0] <= 3.0
    assert max(ages[5:]) < 0.01
    assert age.between_s == -997.0


def test_what_lay_in_a_buffer_is_old_to_its_last_frame_however_much_there_was():
    age = Age()
    for beat in range(20):
        age.of(beat / 2, beat / 2)
    assert [round(age.of(10.0 + n / 2, 20.0 + n / 1000), 1) for n in range(20)] == [10.0 - n / 2 for n in range(20)]
