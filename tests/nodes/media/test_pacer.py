"""The beat: absolute instants, four slots, nothing sent twice to catch up."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.media.pacer import SLOT_S, Lateness, Pacer
from supervisors.silence import AWAY_S


async def beats_of(
    n: int, stall_s: float = 0.0, on_return: Callable[[], None] = lambda: None
) -> tuple[list[tuple[int, float, float]], Pacer]:
    """Run a pacer for `n` slots (slot, due, called at); the first blocks the process for `stall_s`."""
    called: list[tuple[int, float, float]] = []
    done = asyncio.Event()

    def on_slot(slot: int, due: float) -> None:
        called.append((slot, due, time.monotonic()))
        if len(called) == 1:
            time.sleep(stall_s)
        if len(called) >= n:
            done.set()

    pacer = Pacer(on_slot, on_return)
    pacer.start()
    pacer.start()
    await asyncio.wait_for(done.wait(), 60)
    pacer.stop()
    return called, pacer


async def test_slots_come_round_every_20_ms_and_never_early() -> None:
    called, pacer = await beats_of(40)
    assert all(at >= due - 1e-6 for _, due, at in called)
    if not pacer.missed:
        assert [slot for slot, _, _ in called] == [(called[0][0] + k) % 4 for k in range(40)]
        assert all(abs(later[1] - earlier[1] - SLOT_S) < 1e-9 for earlier, later in pairwise(called))


async def test_slots_that_nobody_has_are_passed_over_but_for_the_first() -> None:
    called: list[tuple[int, float]] = []
    done = asyncio.Event()

    def on_slot(slot: int, due: float) -> None:
        called.append((slot, due))
        if len(called) == 10:
            done.set()

    pacer = Pacer(on_slot, lambda: None, lambda slot: slot == 2)
    pacer.start()
    await asyncio.wait_for(done.wait(), 60)
    pacer.stop()
    if not pacer.missed:  # who was late goes on at whichever slot it is by then
        assert {slot for slot, _ in called} == {0, 2}
        assert {round((later[1] - earlier[1]) / SLOT_S) for earlier, later in pairwise(called)} == {2}


async def test_after_a_stall_the_beat_is_where_it_would_have_been_and_what_was_missed_is_counted() -> None:
    called, pacer = await beats_of(10, stall_s=0.1)
    assert pacer.missed >= 15
    assert called[1][1] - called[0][1] >= 0.08
    assert all(abs(due / SLOT_S - round(due / SLOT_S)) < 1e-6 for _, due, _ in called)
    assert all(round(due / SLOT_S) % 4 == slot for slot, due, _ in called)


async def test_a_second_of_beats_weighs_work_and_not_waiting() -> None:
    began, work = time.monotonic(), time.thread_time()
    _, pacer = await beats_of(250, stall_s=0.4)
    share = (time.thread_time() - work) / (time.monotonic() - began)
    assert 0 < pacer.busy < max(0.3, 3 * share)
    assert not pacer.is_saturated()


@given(st.lists(st.floats(0, 0.09), min_size=1, max_size=200))
def test_a_quantile_is_no_less_than_its_share_of_the_packets(lates: list[float]) -> None:
    lateness = Lateness()
    for late in lates:
        lateness.add(late)
    for share in (0.5, 0.99):
        bound = lateness.quantile_ms(share) / 1000
        assert sum(late <= bound + 1e-9 for late in lates) >= share * len(lates)
    assert lateness.max_s == max(lates)


def test_lateness_of_nothing_is_none() -> None:
    assert Lateness().quantile_ms(0.99) == 0.0


async def test_who_was_away_for_long_says_so_before_the_next_slot_and_who_was_late_does_not() -> None:
    returns: list[int] = []
    called, _ = await beats_of(4, stall_s=AWAY_S + 0.1, on_return=lambda: returns.append(1))
    assert returns == [1]
    assert len(called) == 4
    await beats_of(4, stall_s=AWAY_S / 4, on_return=lambda: returns.append(1))
    assert returns == [1]
