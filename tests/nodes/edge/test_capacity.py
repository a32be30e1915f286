"""The capacity of an edge, learned beside engines of any speed, in virtual time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodes.edge.capacity import CUT_EVERY_S, LATE_S, NOTICED_S, PROVEN_S, SURE, Capacity, Seen

BEAT_S = 0.5
CORES = 2


@dataclass
class Machine:
    """Engines that carry `carries` calls, and no more: what they can't do waits, and whoever waits is late.

    A call rings, is answered or (a share of 1 - `answers`) is not, and talks. An engine is a queue, so near its end
    waiting grows as 1 / (1 - load).
    `is_told`: whether the machine says how busy it is. `others`: the share of it that somebody else takes.
    """

    carries: float
    rings_s: float
    lasts_s: float = math.inf
    answers: float = 1.0
    is_told: bool = True
    others: float = 0.0
    channels: int = 1000
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    now: float = 1000.0
    waiting_s: float = 0.0
    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each was placed, and when it ends."""
    capacity: Capacity = field(default_factory=lambda: Capacity(CORES))
    limits: list[int] = field(default_factory=list)
    worst_s: float = 0.0
    refused: int = 0

    @property
    def n_up(self) -> int:
        return sum(self.now - placed >= self.rings_s for placed, _ in self.calls)

    def order(self, n: int) -> None:
        for _ in range(n):
            if not self.capacity.takes(len(self.calls)):
                self.refused += 1
                return
            talks_s = self.lasts_s * self.dice.uniform(0.4, 1.6) if self.dice.random() < self.answers else 0.0
            self.calls.append((self.now, self.now + self.rings_s + talks_s))

    def beat(self) -> None:
        self.now += BEAT_S
        before, self.calls = len(self.calls), [call for call in self.calls if self.now < call[1]]
        # callers do not speak all at the same time, nor evenly
        ours = self.n_up / self.carries * self.dice.uniform(0.85, 1.15)
        load = ours + self.others
        self.waiting_s = max(0.0, self.waiting_s + (load - 1.0) * BEAT_S)
        jam_s = 0.01 / (1.0 - load) if load < 0.95 else 0.2
        seen = Seen(
            held=len(self.calls),
            proven=sum(self.now - placed >= self.rings_s + PROVEN_S for placed, _ in self.calls),
            over=before - len(self.calls),
            waiting_s=self.waiting_s + jam_s,
            beat_s=0.001,
            busy=min(1.0, load) if self.is_told else None,
            ours=min(1.0, ours) * 0.6,
            channels=self.channels,
            up=self.n_up,
        )
        self.worst_s = max(self.worst_s, self.waiting_s)
        self.capacity.step(seen, self.now)
        self.limits.append(self.capacity.limit)

    def press(self, wanted: int, seconds: float) -> None:
        """Everybody wants `wanted` calls, all the time."""
        for _ in range(int(seconds / BEAT_S)):
            self.order(wanted - len(self.calls))
            self.beat()


WANTED = 700
few = settings(max_examples=8, deadline=None)
"""Each example is minutes of a machine's life."""
rings = st.floats(0.0, 20.0)
speeds = st.floats(SURE * CORES * 1.05, 600.0)


@few
@given(speeds, rings, st.integers(0, 2**32))
def test_a_crowd_that_wants_more_than_the_engines_can_is_refused_before_anybody_waits(
    carries: float, rings_s: float, seed: int
) -> None:
    machine = Machine(carries, rings_s, dice=random.Random(seed))
    machine.press(WANTED, 300.0)
    assert machine.worst_s < 0.3
    assert machine.n_up <= carries
    assert machine.refused


@few
@given(st.floats(SURE * CORES * 1.05, 200.0), st.floats(0.0, 10.0), st.integers(0, 2**32))
def test_and_most_of_what_they_can_is_used(carries: float, rings_s: float, seed: int) -> None:
    machine = Machine(carries, rings_s, dice=random.Random(seed))
    machine.press(WANTED, 300.0)
    assert machine.n_up >= 0.6 * carries


@example(132.6742391214039, 3.6761673536822377, 2337430351).via("a tenth of all calls end within two seconds")
@few
@given(st.floats(60.0, 300.0), st.floats(0.5, 10.0), st.integers(0, 2**32))
def test_calls_that_end_are_replaced_without_swings(carries: float, rings_s: float, seed: int) -> None:
    """Once it has learned, the limit stays within a band: no boom, no bust."""
    machine = Machine(carries, rings_s, lasts_s=60.0, dice=random.Random(seed))
    machine.press(WANTED, 300.0)
    machine.limits.clear()
    machine.worst_s = 0.0
    machine.press(WANTED, 300.0)
    assert machine.worst_s < 0.6
    assert min(machine.limits) >= max(0.9 * SURE * CORES, 0.55 * carries)
    assert max(machine.limits) <= 1.3 * carries, "some of them only ring"


@pytest.mark.parametrize("rings_s", [1.0, 4.0, 8.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_many_end_at_once_as_many_come_and_not_half_as_many_again(rings_s: float, seed: int) -> None:
    """Calls that ring in their place are no reason to take more: all of them may be answered at once."""
    machine = Machine(100.0, rings_s, lasts_s=60.0, dice=random.Random(seed))
    machine.press(WANTED, 300.0)
    del machine.calls[::2]
    machine.limits.clear()
    machine.worst_s = 0.0
    machine.press(WANTED, 60.0)
    assert machine.worst_s < 0.1
    assert max(machine.limits) <= 100
    assert machine.n_up >= 60


@few
@given(st.floats(SURE * CORES * 1.3, 300.0), rings, st.integers(0, 2**32))
def test_where_nobody_says_how_busy_the_machine_is_it_is_learned_from_lateness_alone(
    carries: float, rings_s: float, seed: int
) -> None:
    machine = Machine(carries, rings_s, is_told=False, lasts_s=90.0, dice=random.Random(seed))
    machine.press(WANTED, 300.0)
    assert machine.worst_s < 0.6
    assert machine.n_up


@few
@given(st.floats(12.0, SURE * CORES * 0.9), st.integers(0, 2**32))
def test_engines_slower_than_any_we_know_are_left_with_what_they_can_do(carries: float, seed: int) -> None:
    """The first crowd is too much for them; from then on it is learned."""
    machine = Machine(carries, rings_s=2.0, lasts_s=60.0, dice=random.Random(seed))
    machine.press(100, 600.0)
    machine.worst_s = 0.0
    machine.press(100, 300.0)
    assert machine.worst_s < 1.0
    assert machine.n_up <= carries


def lately(capacity: Capacity, seen: Seen, now: float, seconds: float) -> float:
    for _ in range(int(seconds / BEAT_S)):
        now += BEAT_S
        capacity.step(seen, now)
    return now


QUIET = Seen(held=40, proven=40, over=0, waiting_s=0.0, beat_s=0.001, busy=0.4, ours=0.4, channels=1000, up=40)


def with_(seen: Seen, **changes: float) -> Seen:
    changes = {"up": changes.get("proven", seen.up), **changes}
    return Seen(**{**{name: getattr(seen, name) for name in Seen.__slots__}, **changes})  # type: ignore[arg-type]


def test_calls_that_ring_count_as_calls() -> None:
    capacity = Capacity(CORES)
    assert capacity.takes(SURE * CORES - 1)
    assert not capacity.takes(SURE * CORES)
    lately(capacity, with_(QUIET, held=SURE * CORES, proven=0, busy=0.1), 0.0, 60.0)
    assert capacity.limit == SURE * CORES, "nothing is learned from calls that ring"


def test_a_late_beat_of_media_counts_as_callers_who_wait() -> None:
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, beat_s=0.03), 0.0, 30.0)
    assert capacity.late_s > NOTICED_S
    assert capacity.limit < 40


def test_when_others_keep_the_machine_busy_few_calls_are_still_taken() -> None:
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, held=5, proven=5, waiting_s=1.0, busy=1.0, ours=0.05), 0.0, 60.0)
    assert capacity.limit == SURE * CORES


def test_when_we_do_it_ourselves_there_is_no_floor() -> None:
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, held=20, proven=20, waiting_s=1.0, busy=1.0, ours=0.9), 0.0, 60.0)
    assert capacity.limit < 20


def test_while_somebody_is_late_no_more_are_taken_than_there_are() -> None:
    capacity = Capacity(CORES)
    now = lately(capacity, QUIET, 0.0, 30.0)
    assert capacity.limit > 60
    lately(capacity, with_(QUIET, waiting_s=(LATE_S + NOTICED_S) / 2), now, 30.0)
    assert capacity.limit == 40


def test_what_was_too_much_is_tried_again_later() -> None:
    capacity = Capacity(CORES)
    now = lately(capacity, with_(QUIET, waiting_s=1.0), 0.0, CUT_EVERY_S)
    cut = capacity.limit
    assert cut < 40
    now = lately(capacity, QUIET, now, 40.0)
    assert cut <= capacity.limit < 40 * 1.1
    lately(capacity, QUIET, now, 600.0)
    assert capacity.limit > 60


def test_a_pause_of_the_whole_machine_is_no_overload() -> None:
    """What was due before it is as old as the pause when it is done; the next beat is as all others."""
    capacity = Capacity(CORES)
    now = lately(capacity, QUIET, 0.0, 30.0)
    before, now = capacity.limit, now + 4.0
    capacity.step(with_(QUIET, waiting_s=4.2), now)
    lately(capacity, QUIET, now, 10.0)
    assert capacity.limit >= before


def test_calls_that_were_taken_over_are_held_whatever_is_known() -> None:
    assert Capacity(CORES, held=90).limit == 90


def test_never_more_than_media_has_sockets_for() -> None:
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, channels=20), 0.0, 30.0)
    assert capacity.limit == 20


@pytest.mark.parametrize(("held", "used"), [(0, 0.0), (16, 0.5), (40, 0.571)])
def test_the_used_share_is_of_what_could_be_carried_and_not_of_what_is_proven(held: int, used: float) -> None:
    """An edge on an idle machine does not give up recordings because its limit is still growing."""
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, held=held, proven=held, busy=0.4 if held else 0.01), 0.0, 60.0)
    assert capacity.used == pytest.approx(used, abs=0.02)


def test_an_edge_that_fills_in_waves_on_an_idle_machine_is_not_full_for_that() -> None:
    """What is not proven yet limits what is taken; but nothing need be given up for it."""
    capacity = Capacity(CORES)
    lately(capacity, with_(QUIET, held=0, proven=0, busy=0.02), 0.0, 10.0)
    lately(capacity, with_(QUIET, held=32, proven=0, busy=0.05), 10.0, 5.0)
    assert not capacity.takes(32)
    assert capacity.used < 0.2


@few
@given(st.floats(80.0, 300.0), st.floats(5.0, 15.0), st.floats(0.6, 1.0), st.integers(0, 2**32))
def test_where_calls_come_and_go_those_that_ring_do_not_keep_the_others_out(
    carries: float, rings_s: float, answers: float, seed: int
) -> None:
    machine = Machine(carries, rings_s, 60.0, answers, dice=random.Random(seed))
    machine.press(WANTED, 600.0)
    machine.worst_s = 0.0
    up = []
    for _ in range(10):
        machine.press(WANTED, 30.0)
        up.append(machine.n_up)
    assert machine.worst_s < 0.6
    assert sum(up) / len(up) >= 0.5 * carries
