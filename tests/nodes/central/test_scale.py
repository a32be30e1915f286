"""How many machines there should be: what carries the calls at once, more after a minute, fewer after the hold time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.central.balance import AWAY_S, LATE_MS, PROMPT_MS
from nodes.central.scale import RISE_S, Advising, Seen, carriers
from nodes.config_scale import Peak, Scale
from protocols.wire.ids import NodeId
from protocols.wire.scale import MachineSeen, ScaleAdvice

HOLD_S = Scale().hold_min * 60
LATE_S, PROMPT_S = LATE_MS / 1000 + 0.01, PROMPT_MS / 1000


def machine(name: str, calls: int = 0, capacity: int = 100, **said: object) -> MachineSeen:
    one = MachineSeen(NodeId(name), calls, capacity, takes=True, cpu=0.1)
    return replace(one, **said)  # type: ignore[arg-type]  # its own fields


def look(advising: Advising, seen: Seen, seconds: float, now: float = 0.0) -> ScaleAdvice:
    """Look once a second for so long; return the last advice."""
    for k in range(int(seconds) + 1):
        advice = advising.step(seen, now + k)
    return advice


def fleet(*machines: MachineSeen) -> Seen:
    return Seen(machines)


# ---- what each reason asks for ------------------------------------------------------------------------------------


def test_there_should_be_what_carries_the_calls_that_are_up_at_once() -> None:
    advice = Advising(Scale()).step(fleet(machine("a", 250)), 0.0)
    assert (advice.nodes, advice.desired) == (1, 3)
    assert advice.reasons == ("calls: 250 are up: 3 machines",)


def test_a_queue_that_a_further_machine_would_still_find_asks_for_it_after_a_minute() -> None:
    """Two attempts end in a second: 4,000 contacts take half an hour, and 300 ten times less than a machine does."""
    for waiting, desired in ((4000, 3), (300, 1)):
        advising, seen = Advising(Scale()), Seen((machine("a", 90),), begun=160, waiting=waiting)
        for k in range(int(RISE_S) * 4):
            advice = advising.step(replace(seen, n_ended=2 * k), float(k))
        assert advice.desired == desired
        assert any(reason.startswith("queue: 4000 contacts wait") for reason in advice.reasons) is (desired == 3)


def test_a_queue_that_moves_at_no_rate_is_never_over() -> None:
    advice = look(Advising(Scale()), Seen((machine("a", 90),), begun=160, waiting=160), RISE_S)
    assert (advice.desired, advice.wanted["queue"]) == (3, 3)
    assert "for ever" in advice.reasons[0]


def test_processors_of_which_more_than_70_percent_is_taken_ask_for_as_many_as_share_it() -> None:
    seen = fleet(machine("a", cpu=0.95), machine("b", cpu=0.95))
    advising = Advising(Scale())
    assert look(advising, seen, RISE_S - 1).desired == 2
    advice = advising.step(seen, RISE_S)
    assert advice.desired == 3
    assert advice.reasons == ("cpu: 95% of the cores is taken, and it should be 70% at most: 3 machines",)


def test_callers_who_wait_ask_for_one_more_unless_calls_can_move_to_a_machine_that_is_there() -> None:
    late, prompt, full = machine("a", 50, late_s=LATE_S), machine("b", 10), machine("b", 100)
    assert look(Advising(Scale()), fleet(late), RISE_S).desired == 2
    assert look(Advising(Scale()), fleet(late, prompt), RISE_S).desired == 2, "`balance` moves calls"
    assert look(Advising(Scale()), fleet(late, full), RISE_S).desired == 3


def test_a_peak_and_the_least_hold_at_once_and_the_bound_gives_way_to_calls_only() -> None:
    seen = Seen((machine("a"),), peak=Peak("08:00", "12:00", 4))
    assert Advising(Scale()).step(seen, 0.0).desired == 4
    assert Advising(Scale(least=2)).step(fleet(machine("a")), 0.0).desired == 2
    bounded = Advising(Scale(most=2)).step(fleet(machine("a", 90, cpu=1.0)), 0.0)
    assert bounded.desired == 1
    advice = look(Advising(Scale(most=2)), fleet(*(machine(name, 90, cpu=1.0) for name in "ab")), RISE_S)
    assert advice.desired == 2
    assert advice.reasons[-1] == "most: at most 2 are to be advised, 3 are needed"
    assert Advising(Scale(most=2)).step(fleet(machine("a", 250)), 0.0).desired == 3


def test_whom_to_drain_is_said_where_fewer_should_be_those_with_the_fewest_calls_first() -> None:
    seen = fleet(machine("a", 5), machine("b", 2), machine("c", 9))
    advising = Advising(Scale())
    assert look(advising, seen, HOLD_S).leave == ()
    advice = advising.step(seen, HOLD_S + 1)
    assert (advice.desired, advice.leave) == (1, ("b", "a"))


def test_a_machine_that_drains_is_none_of_them_but_its_calls_come_to_the_others() -> None:
    advice = Advising(Scale()).step(fleet(machine("a", 90), machine("b", 90, takes=False)), 0.0)
    assert (advice.nodes, advice.desired) == (1, 2)


def test_a_machine_whose_calls_do_not_fit_into_its_memory_says_what_it_lacks() -> None:
    tight = machine("a", 10, 1010, memory_bytes=4_000_000_000, memory_free_bytes=500_000_000)
    (seen,) = Advising(Scale()).step(fleet(tight), 0.0).machines
    assert seen.advice == "memory: 294 of the 1000 further calls that it could carry fit into it; it lacks 240 MB"
    for enough in (replace(tight, memory_free_bytes=3_000_000_000), replace(tight, memory_bytes=0)):
        assert Advising(Scale()).step(fleet(enough), 0.0).machines[0].advice == ""


def test_who_begins_to_lead_advises_as_many_as_there_are_until_the_hold_time_is_over() -> None:
    """Edges become known one by one."""
    advising = Advising(Scale())
    advising.step(fleet(), 0.0)
    assert look(advising, fleet(machine("a"), machine("b"), machine("c")), HOLD_S - 2, 1.0).desired == 3
    assert look(advising, fleet(machine("a"), machine("b"), machine("c")), 3, HOLD_S).desired == 1


def test_a_central_that_stood_still_does_not_know_what_was_meanwhile() -> None:
    advising = Advising(Scale())
    look(advising, fleet(machine("a"), machine("b")), 10)
    assert advising.step(fleet(machine("a"), machine("b")), 10 + 2 * HOLD_S).desired == 2


def test_where_nobody_answers_the_last_advice_holds() -> None:
    advising = Advising(Scale())
    look(advising, fleet(machine("a", 250)), 5)
    assert look(advising, fleet(), HOLD_S / 2, 6.0).desired == 3


# ---- always -------------------------------------------------------------------------------------------------------

machines = st.builds(
    MachineSeen,
    node=st.sampled_from([NodeId(name) for name in "abcdef"]),
    calls=st.integers(0, 300),
    capacity=st.integers(0, 200),
    takes=st.booleans(),
    cpu=st.none() | st.floats(0, 1),
    late_s=st.floats(0, 1),
    memory_bytes=st.just(8_000_000_000),
    memory_free_bytes=st.integers(0, 8_000_000_000),
)
peaks = st.none() | st.builds(Peak, st.just("08:00"), st.just("12:00"), st.integers(1, 9))
looks = st.builds(
    Seen,
    st.lists(machines, max_size=5, unique_by=lambda one: one.node).map(tuple),
    st.integers(0, 1000), st.integers(0, 100_000), st.just(0), peaks,
)  # fmt: skip
scales = st.builds(Scale, least=st.integers(1, 3), most=st.sampled_from([0, 4, 9]), hold_min=st.floats(1, 3))
stretches = st.lists(st.tuples(looks, st.integers(1, 45)), min_size=1, max_size=6)


def run(scale: Scale, stretches: Sequence[tuple[Seen, int]]) -> list[tuple[float, ScaleAdvice, Seen]]:
    advising, now, found = Advising(scale), 0.0, []
    for seen, n_looks in stretches:
        for _ in range(n_looks):
            now += AWAY_S
            found.append((now, advising.step(seen, now), seen))
    return found


@settings(max_examples=25, deadline=None)
@given(scales, stretches)
def test_there_are_never_fewer_than_carry_the_calls_that_are_up(
    scale: Scale, stretches: Sequence[tuple[Seen, int]]
) -> None:
    for _, advice, seen in run(scale, stretches):
        sizes = [one.capacity for one in seen.taking if one.capacity] or [
            one.capacity for one in seen.machines if one.capacity
        ]
        calls = sum(one.calls for one in seen.machines)
        if sizes and calls:
            there = sorted(sizes)[: advice.desired]
            further = max(0, advice.desired - len(there)) * sum(sizes) / len(sizes)
            assert sum(there) + further >= calls - 1e-6
        assert advice.desired >= min(scale.least, scale.most or scale.least)


@settings(max_examples=25, deadline=None)
@given(scales, stretches)
def test_nobody_is_sent_away_within_the_hold_time_after_somebody_was_asked_for(
    scale: Scale, stretches: Sequence[tuple[Seen, int]]
) -> None:
    rose_s = None
    for (_, before, _), (now, after, _) in pairwise(run(scale, stretches)):
        if after.desired > before.desired:
            rose_s = now
        if after.desired < before.desired and rose_s is not None:
            assert now - rose_s >= scale.hold_min * 60


def more_calls(one: MachineSeen, by: float) -> MachineSeen:
    return replace(one, calls=one.calls + int(by * 100))


def busier(one: MachineSeen, by: float) -> MachineSeen:
    return replace(one, cpu=min(1.0, (one.cpu or 0.0) + by))


def later(one: MachineSeen, by: float) -> MachineSeen:
    return replace(one, late_s=one.late_s + by)


@pytest.mark.parametrize("heavier", [more_calls, busier, later])
@settings(max_examples=15, deadline=None)
@given(scale=scales, stretches=stretches, by=st.floats(0, 1), further=st.integers(0, 500))
def test_more_load_never_has_fewer_machines_advised(
    heavier: Callable[[MachineSeen, float], MachineSeen],
    scale: Scale,
    stretches: Sequence[tuple[Seen, int]],
    by: float,
    further: int,
) -> None:
    more = [
        (
            replace(
                seen,
                machines=tuple(heavier(one, by) for one in seen.machines),
                begun=seen.begun + further,
                waiting=seen.waiting + further,
            ),
            seconds,
        )
        for seen, seconds in stretches
    ]
    for (_, less, _), (_, loaded, _) in zip(run(scale, stretches), run(scale, more), strict=True):
        assert loaded.desired >= less.desired


@given(looks, st.integers(0, 2000), st.floats(0.1, 1))
def test_more_calls_never_want_fewer_carriers(seen: Seen, calls: int, share: float) -> None:
    assert carriers(seen, calls + 1, share) >= carriers(seen, calls, share)
    assert carriers(seen, calls, share / 2) >= carriers(seen, calls, share)
