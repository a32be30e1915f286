"""Who of the other nodes lives: words, silence, witnesses and proof, in virtual time (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.machine import Expired
from protocols.membership import (
    LATELY_S,
    LOOK_S,
    ON_ITS_WAY_S,
    REMEMBER_S,
    SILENT_S,
    Answered,
    Changed,
    Clashed,
    Heard,
    Membership,
    News,
    Proved,
)
from protocols.wire.cluster import Death, NodeState
from protocols.wire.ids import NodeId

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
BEAT_S = 0.5


@dataclass
class World:
    """One node's knowledge, and its clock: who speaks at every beat, and what became known."""

    membership: Membership
    now: float = 0.0
    told: list[News] = field(default_factory=list)
    state: dict[NodeId, NodeState] = field(default_factory=dict)

    def give(self, given: Heard | Proved | Answered | Expired) -> list[News]:
        news = [one.event for one in self.membership.step(given, self.now)]
        self.told += news
        self.state |= {one.node: one.state for one in news if isinstance(one, Changed)}
        return news

    def live(self, seconds: float, speaking: Iterable[NodeId] = (), answers: bool = False) -> None:
        """Let time pass in beats, with looks when they are due."""
        end = self.now + seconds
        beat = self.now
        while (at := min(beat, self.membership.deadline)) <= end:
            self.now = max(self.now, at)
            if at == beat:
                for node in speaking:
                    self.give(Heard(node, 1, frozenset(speaking)))
                if answers:
                    self.give(Answered())
                beat += BEAT_S
            self.give(Expired())
        self.now = end

    def pause(self, seconds: float) -> None:
        """Be stopped: the clock goes on, and nothing else."""
        self.now += seconds


@pytest.fixture
def world() -> World:
    return World(Membership(is_server_elsewhere=True, due_s=LOOK_S))


def machine(is_server_elsewhere: bool) -> World:
    return World(Membership(is_server_elsewhere, due_s=LOOK_S))


# ---- words ----------------------------------------------------------------------------------------------------------


def test_who_says_something_is_alive_and_it_is_told_once(world):
    world.live(10, [A])
    assert world.told == [Changed(A, 1, NodeState.ALIVE)]


def test_a_launcher_that_began_later_takes_the_place_of_one_that_is_dead_or_silent(world):
    world.give(Heard(A, 1))
    world.give(Proved(A, 1))
    assert world.give(Heard(A, 2)) == [Changed(A, 2, NodeState.ALIVE)]
    world.live(LATELY_S)
    assert world.give(Heard(A, 3)) == [Changed(A, 2, NodeState.DEAD, True), Changed(A, 3, NodeState.ALIVE)]
    assert world.give(Heard(A, 2)) == []
    assert world.membership.dead == (Death(A, 1), Death(A, 2))


def test_whoever_speaks_in_the_name_of_a_node_that_lives_is_not_heard(world):
    world.live(2, [A])
    assert world.give(Heard(A, 2)) == [Clashed(A, 2)]
    assert world.give(Heard(A, 0)) == []
    assert world.state[A] is NodeState.ALIVE


# ---- proof ----------------------------------------------------------------------------------------------------------


def test_proof_is_believed_at_once_and_of_that_launcher_only(world):
    world.live(1, [A])
    assert world.give(Proved(A, 7)) == []
    assert world.give(Proved(A, 1)) == [Changed(A, 1, NodeState.DEAD, True)]
    assert world.give(Proved(A, 1)) == []


def test_a_word_that_was_on_its_way_when_its_node_died_is_not_its_return(world):
    world.live(1, [A])
    world.give(Proved(A, 1))
    assert world.give(Heard(A, 1)) == []
    world.live(ON_ITS_WAY_S)
    assert world.give(Heard(A, 1)) == [Changed(A, 1, NodeState.ALIVE)]


def test_who_was_dead_by_silence_can_still_be_proven_dead(world):
    world.live(1, [A])
    world.live(SILENT_S + 1, answers=True)
    assert world.state[A] is NodeState.DEAD
    assert world.give(Proved(A, 1)) == [Changed(A, 1, NodeState.DEAD, True)]


# ---- silence --------------------------------------------------------------------------------------------------------


def test_silence_with_a_witness_is_death_after_three_seconds_and_no_later(world):
    world.live(2, [A, B])
    world.live(SILENT_S - BEAT_S, [B])
    assert world.state[A] is NodeState.ALIVE
    world.live(BEAT_S, [B])
    assert world.told[-1] == Changed(A, 1, NodeState.DEAD)


def test_silence_without_a_witness_is_silence_however_long(world):
    world.live(2, [A])
    world.live(3600)
    assert world.state == {A: NodeState.SILENT}
    assert world.membership.hears == ()


def test_the_server_is_a_witness_only_if_it_was_heard_after_the_silence_began(world):
    """Whoever is cut off from everybody has heard both of them until the same moment."""
    world.live(2, [A], answers=True)
    world.live(60)
    assert world.state[A] is NodeState.SILENT


def test_who_was_cut_off_and_hears_nats_again_takes_nobody_for_dead_whom_it_hears_a_moment_later(world):
    """The server is heard first, by whoever comes back; others take a second to be connected."""
    world.live(2, [A, B], answers=True)
    world.live(10)
    assert world.state == {A: NodeState.SILENT, B: NodeState.SILENT}
    world.live(1.2, answers=True)
    world.live(2, [A, B], answers=True)
    assert world.state == {A: NodeState.ALIVE, B: NodeState.ALIVE}
    assert world.membership.dead == ()


def test_a_later_launcher_proves_the_death_of_one_that_was_taken_for_dead(world):
    world.live(1, [A])
    world.live(SILENT_S + 1, answers=True)
    assert world.give(Heard(A, 2)) == [Changed(A, 1, NodeState.DEAD, True), Changed(A, 2, NodeState.ALIVE)]


def test_a_server_on_our_own_machine_is_a_witness_between_two_nodes_and_not_among_three():
    two, three = machine(False), machine(False)
    two.live(2, [A], answers=True)
    two.live(SILENT_S + 1, answers=True)
    assert two.state[A] is NodeState.DEAD
    three.live(2, [A, B], answers=True)
    three.live(60, answers=True)
    assert three.state == {A: NodeState.SILENT, B: NodeState.SILENT}


def test_a_node_that_hears_it_is_a_witness_for_its_life_until_it_does_not(world):
    world.live(2, [A, B])
    for _ in range(20):
        world.give(Heard(B, 1, frozenset({A})))
        world.live(BEAT_S)
    assert world.state[A] is NodeState.SILENT
    assert Changed(A, 1, NodeState.DEAD) in world.give(Heard(B, 1))


def test_who_comes_back_from_silence_or_from_being_taken_for_dead_is_alive(world):
    world.live(2, [A])
    world.live(SILENT_S + 1)
    assert world.give(Heard(A, 1)) == [Changed(A, 1, NodeState.ALIVE)]
    world.live(SILENT_S + 1, answers=True)
    assert world.give(Heard(A, 1)) == [Changed(A, 1, NodeState.ALIVE)]
    assert world.membership.dead == (Death(A, 1),), "it is still told that it was taken for dead"


def test_the_dead_are_forgotten_one_day(world):
    world.give(Heard(A, 1))
    world.give(Proved(A, 1))
    world.live(REMEMBER_S + 1)
    assert world.membership.dead == ()
    assert world.give(Proved(A, 1)) == []


# ---- the judge ------------------------------------------------------------------------------------------------------


def test_our_own_pause_is_nobodys_death(world):
    world.live(5, [A, B], answers=True)
    world.pause(60)
    world.give(Answered())
    world.live(SILENT_S - LOOK_S, answers=True)
    assert world.state == {A: NodeState.ALIVE, B: NodeState.ALIVE}
    world.live(LOOK_S + 0.1, answers=True)
    assert world.state == {A: NodeState.DEAD, B: NodeState.DEAD}


def test_who_is_always_late_convicts_nevertheless(world):
    world.live(2, [A])
    for _ in range(40):
        world.pause(LOOK_S * 2)
        world.give(Answered())
        world.give(Expired())
    assert world.state[A] is NodeState.DEAD


ACTS = st.one_of(
    st.tuples(st.just("live"), st.floats(0.1, 8), st.sets(st.sampled_from([A, B, C])), st.booleans()),
    st.tuples(st.just("pause"), st.floats(0.1, 100), st.just(frozenset()), st.just(False)),
)


@given(st.lists(ACTS, max_size=12), st.booleans())
def test_nobody_who_is_heard_is_dead_or_silent(acts, is_elsewhere):
    """Whatever happened before, and however long we were away."""
    world = machine(is_elsewhere)
    for act, seconds, speaking, answers in acts:
        if act == "pause":
            world.pause(seconds)
        else:
            world.live(seconds, speaking, answers)
            if seconds > BEAT_S:
                assert {world.state[node] for node in speaking} <= {NodeState.ALIVE}


@given(st.lists(ACTS, max_size=12), st.booleans())
def test_silence_alone_is_never_death(acts, is_elsewhere):
    """Whoever hears nobody, and no server, declares nobody dead, in whatever way the silence is cut up."""
    world = machine(is_elsewhere)
    world.live(2, [A, B, C], answers=True)
    for act, seconds, _, _ in acts:
        world.pause(seconds) if act == "pause" else world.live(seconds)
    assert NodeState.DEAD not in world.state.values()


@given(st.lists(ACTS, max_size=8), st.booleans())
def test_proof_is_believed_whatever_was_before(acts, is_elsewhere):
    world = machine(is_elsewhere)
    for act, seconds, speaking, answers in acts:
        world.pause(seconds) if act == "pause" else world.live(seconds, speaking, answers)
    world.give(Heard(A, 1))
    assert Changed(A, 1, NodeState.DEAD, True) in world.give(Proved(A, 1))


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=10))
def test_whatever_pauses_we_make_who_speaks_at_every_beat_when_we_are_there_is_never_given_up(pauses):
    world = machine(True)
    for pause in pauses:
        world.live(1, [A], answers=True)
        world.pause(pause)
        world.give(Answered())
        world.give(Expired())
    assert world.state[A] is NodeState.ALIVE
