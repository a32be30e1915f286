"""How many restarts are too many: the window against the rule read off OTP's documentation; and supervisors by it."""

import asyncio
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Backoff, BadSpec, Child, GaveUp, Supervisor, TreeDown, running
from supervisors.intensity import RestartWindow
from supervisors.testing import Echo, Recorder, virtual


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


async def crash(intensity: int, period_s: float, times: list[float]) -> bool:
    """Run a supervisor, crash its child at these times, and return whether it has given up."""
    recorder = Recorder()
    try:
        async with running(
            Supervisor([Child(Echo, id="a")], intensity=intensity, period_s=period_s), hook=recorder
        ) as s:
            for at in times:
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                s.ref("a", Echo).tell(Echo.boom)
            await asyncio.sleep(0.01)
    except TreeDown:
        pass
    return bool(recorder.of(GaveUp))


@pytest.mark.parametrize(
    ("times", "gives_up"),
    [
        ([0.5, 0.75], True),
        ([0.5, 0.75 + 1e-6], False),
        ([0.5 + 0.3 * n for n in range(20)], False),
        ([0.5, 0.8, 1.1, 1.2], True),
    ],
)
@virtual
async def test_a_running_supervisor_takes_a_period_of_a_quarter_second_at_its_word(
    times: list[float], gives_up: bool
) -> None:
    assert await crash(1, 0.25, times) == gives_up


@virtual
async def test_a_clock_on_the_wall_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = itertools.cycle([0.0, 1e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    assert await crash(1, 0.25, [0.5, 0.6])
    assert not await crash(1, 0.25, [1.0, 1.3, 1.6])


@virtual
async def test_a_child_restarted_by_hand_does_not_count() -> None:
    async with running(Supervisor([Child(Echo, id="a")], intensity=0, period_s=0.25)) as system:
        for _ in range(10):
            await system.root.ask(Supervisor.terminate_child, "a")
            await system.root.ask(Supervisor.restart_child, "a")
        assert system.ref("a", Echo).is_alive


def test_waits_that_let_the_window_empty_need_to_be_told_when_a_life_has_lasted() -> None:
    with pytest.raises(BadSpec, match="reset_after_s"):
        Supervisor(intensity=2, period_s=0.5, backoff=Backoff(first_s=0.1, top_s=0.26))
    Supervisor(intensity=2, period_s=0.5, backoff=Backoff(first_s=0.1, top_s=0.25))
    Supervisor(intensity=2, period_s=0.5, backoff=Backoff(first_s=0.1, top_s=0.26, reset_after_s=0.5))
