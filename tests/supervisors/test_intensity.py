"""How many restarts are too many: the window against the rule read off OTP's documentation."""

from hypothesis import given
from hypothesis import strategies as st

from supervisors.intensity import RestartWindow


def model_admits(times: list[float], intensity: int, period_s: float) -> bool:
    """The rule as supervisor.erl has it: count what is not older than the period, this restart included."""
    now = times[-1]
    return sum(now - time <= period_s for time in times) <= intensity


def run(window: RestartWindow, times: list[float]) -> list[bool]:
    return [window.admits(now) for now in times]


@given(
    st.integers(0, 5),
    st.floats(0.01, 10),
    st.lists(st.floats(0, 5), min_size=1, max_size=40),
)
def test_the_window_admits_what_the_rule_admits(intensity: int, period_s: float, gaps: list[float]) -> None:
    window = RestartWindow(intensity, period_s)
    times: list[float] = []
    for gap in gaps:
        times.append((times[-1] if times else 0.0) + gap)
        assert window.admits(times[-1]) == model_admits(times, intensity, period_s)


def test_an_intensity_of_zero_admits_no_restart_at_all() -> None:
    assert run(RestartWindow(0, 5.0), [0.0, 100.0]) == [False, False]


def test_n_restarts_within_the_period_are_admitted_and_the_next_is_not() -> None:
    assert run(RestartWindow(3, 5.0), [0.0, 1.0, 2.0, 3.0]) == [True, True, True, False]


def test_a_restart_exactly_one_period_ago_still_counts() -> None:
    assert run(RestartWindow(1, 5.0), [0.0, 5.0]) == [True, False]


def test_a_restart_just_over_a_period_ago_does_not_count() -> None:
    assert run(RestartWindow(1, 5.0), [0.0, 5.0 + 1e-9]) == [True, True]


def test_a_period_of_a_quarter_second_means_a_quarter_second() -> None:
    assert run(RestartWindow(1, 0.25), [0.0, 0.3, 0.5]) == [True, True, False]
