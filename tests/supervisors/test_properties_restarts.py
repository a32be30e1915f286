"""What restarts always do: counted as the rule says, in supervisors as in the window; and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisors import (
    AlreadyPresent,
    Backoff,
    Child,
    ChildExited,
    ChildRestarting,
    Dynamic,
    GaveUp,
    Restart,
    RestartWindow,
    Strategy,
    Supervisor,
    TreeDown,
    running,
)
from supervisors.testing import Echo, Recorder, SlowStillborn, Stillborn, run_virtual

PERIOD_S = 0.25
GAPS_S = st.sampled_from([0.0, 0.0625, 0.125, PERIOD_S, PERIOD_S + 2**-20, 0.5])
"""Times that floats hold exactly, so that crashes meet the very edge of the window."""

ASKS: list[tuple[Callable[..., object], tuple[object, ...], type[Exception] | None]] = [
    (Supervisor.which_children, (), None),
    (Supervisor.count_children, (), None),
    (Supervisor.get_childspec, ("loop0",), None),
    (Supervisor.restart_child, ("loop0",), ChildRestarting),
    (Supervisor.delete_child, ("loop0",), ChildRestarting),
    (Supervisor.start_child, (Child(Echo, id="loop0"),), AlreadyPresent),
    (Supervisor.terminate_child, ("well",), None),
]
"""What a supervisor is asked, and what it says to that when it says no."""


def model(times: list[float], intensity: int) -> int | None:
    """Return which restart, counted from 0, is one too many: OTP's rule, with the list walked as OTP walks it."""
    for n, now in enumerate(times):
        if sum(now - time <= PERIOD_S for time in times[: n + 1]) > intensity:
            return n
    return None


@given(st.integers(0, 5), st.lists(GAPS_S, max_size=30), GAPS_S)
def test_the_window_counts_and_admits_what_the_rule_does_to_the_edge_of_the_period(
    intensity: int, gaps_s: list[float], later_s: float
) -> None:
    window, times = RestartWindow(intensity, PERIOD_S), list[float]()
    for gap_s in gaps_s:
        times.append((times[-1] if times else 0.0) + gap_s)
        inside = sum(times[-1] - time <= PERIOD_S for time in times)
        assert window.admits(times[-1]) == (inside <= intensity)
        assert window.count(times[-1]) == min(inside, intensity + 1)
    now = (times[-1] if times else 0.0) + later_s
    assert window.count(now) == min(sum(now - time <= PERIOD_S for time in times), intensity + 1)


@settings(deadline=None)
@given(
    st.sampled_from([*Strategy, None]),
    st.integers(0, 4),
    st.lists(st.tuples(GAPS_S, st.integers(0, 2), st.booleans()), max_size=20),
)
def test_a_supervisor_gives_up_at_the_restart_that_is_one_too_many_and_at_no_other(
    strategy: Strategy | None, intensity: int, crashes: list[tuple[float, int, bool]]
) -> None:
    """`strategy`: None is a Dynamic. `crashes`: how long after the one before, of whom, does its next start fail?"""
    fails, restarts, now = [0], list[float](), 1.0
    for gap_s, _, fails_once in crashes:
        now += gap_s
        restarts += [now] * (2 if fails_once else 1)
    one_too_many = model(restarts, intensity)
    start = partial(Stillborn, fails)
    below = (
        Dynamic(start, id="s", restart=Restart.PERMANENT, intensity=intensity, period_s=PERIOD_S)
        if strategy is None
        else Supervisor(
            [Child(start, id=id) for id in "123"], id="s", strategy=strategy, intensity=intensity, period_s=PERIOD_S
        )
    )
    recorder = Recorder()

    async def scenario() -> None:
        async with running(Supervisor([below], intensity=0), hook=recorder) as system:
            if isinstance(below, Dynamic):
                for _ in range(3):
                    await system.dynamic("s", start).start()
            await asyncio.sleep(1.0)
            for gap_s, who, fails_once in crashes:
                await asyncio.sleep(gap_s)
                fails[0] = int(fails_once)
                assert system.ref(f"s/{who + 1}", Stillborn).tell(Echo.boom)
                for _ in range(20):  # time stands still for as long as there is work
                    await asyncio.sleep(0)

    try:
        run_virtual(scenario())
    except TreeDown:
        assert one_too_many is not None
    else:
        assert one_too_many is None
    attempts = [event for event in recorder.events if isinstance(event, ChildExited) and not event.was_stopped]
    tried = [event for event in attempts if event.path.startswith("s/")]
    assert len(tried) == (len(restarts) if one_too_many is None else one_too_many + 1)
    assert len(recorder.of(GaveUp, "s")) == (one_too_many is not None)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(Strategy),
    st.lists(st.sampled_from([Stillborn, SlowStillborn]), min_size=1, max_size=4),
    st.sampled_from([None, Backoff(first_s=0.5, top_s=0.5, reset_after_s=1.0)]),
    st.lists(st.tuples(st.sampled_from(ASKS), st.integers(0, 30)), min_size=1, max_size=10),
)
def test_a_supervisor_in_a_restart_loop_answers_at_once(
    strategy: Strategy,
    kinds: list[type[Stillborn]],
    backoff: Backoff | None,
    asks: list[tuple[tuple[Callable[..., object], tuple[object, ...], type[Exception] | None], int]],
) -> None:
    """At once: in the same instant, before any child has been tried a third time."""
    fails = [0]

    async def scenario() -> None:
        children = [Child(partial(kind, fails), id=f"loop{n}") for n, kind in enumerate(kinds)]
        tree = Supervisor([*children, Child(Echo, id="well")], strategy=strategy, intensity=10**9, backoff=backoff)
        async with running(tree) as system:
            refs = [system.ref(child.id, Echo) for child in children]
            fails[0] = 10**9
            for ref in refs:
                ref.tell(Echo.boom)
            for _ in range(10):
                await asyncio.sleep(0)
            for (handler, args, refusal), turns in asks:
                if backoff or Stillborn not in kinds:  # else time stands still: there is always work
                    await asyncio.sleep(turns / 20)
                for _ in range(turns):
                    await asyncio.sleep(0)
                at, n_left = asyncio.get_running_loop().time(), fails[0]
                with nullcontext() if refusal is None else pytest.raises(refusal):
                    await system.root.ask(handler, *args)
                assert asyncio.get_running_loop().time() == at
                assert n_left - fails[0] <= 3 * len(kinds)

    run_virtual(scenario())
