"""Who has a call, whatever breaks: one fault at a time, and every call has one owner, who knows that it is alone."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocols.heir import CLOSES_S, LEASE_S, Alive, Asked, Dead, Dropped, Heir, Kept, Take, Tell
from protocols.machine import Expired
from protocols.takeover import (
    ASK_S,
    AWAY_S,
    MAX_ASKED,
    QUIET_S,
    REST_S,
    SOON_S,
    Answered,
    Ask,
    CalleeHeard,
    CalleeQuiet,
    Ended,
    Gone,
    Known,
    LetGo,
    Named,
    Owner,
    Retell,
    Stand,
    Standing,
)
from protocols.testing import calm, stormy
from protocols.wire.ids import CallId, NodeId
from tests.protocols.takeover_world import NATS, World

A, B, D = NodeId("a"), NodeId("b"), NodeId("d")
NODES = (A, B, D)
C, E = CallId("c"), CallId("e")
UNTIL = LEASE_S + 0.01
"""A lease that was asked for at 0 s is over."""


def told(machine: Owner | Heir, given: Any, now: float) -> list[Any]:
    return [notice.event for notice in machine.step(given, now)]


def owning(heir: NodeId = B) -> Owner:
    """The owner of one call whose heir has answered what was asked at 0 s."""
    owner = Owner(0.0)
    told(owner, Known(frozenset((B, D))), 0.0)
    told(owner, Answered(B, 0.0), 0.0)
    told(owner, Answered(D, 0.0), 0.0)
    assert Stand(C, Standing.SURE) not in told(owner, Named({C: heir}), 0.0)
    return owner


def awake(owner: Owner, until: float) -> Owner:
    """Time passes, and the owner looks all the while."""
    for k in range(1, int(until / ASK_S) + 1):
        owner.step(Expired(), k * ASK_S)
    return owner


# ---- an owner --------------------------------------------------------------------------------------------------


def test_an_owner_without_calls_asks_seldom_and_its_first_calls_have_heirs_and_are_sure_all_the_same() -> None:
    """Whenever they begin: all are asked anew then, and from then on as often as ever."""
    for begins_s in (REST_S + 0.001, 1.5 * REST_S, 2 * REST_S - 0.001):
        owner = Owner(0.0)
        assert {one.node for one in told(owner, Known(frozenset((B, D))), 0.0)} == {B, D}
        told(owner, Answered(B, 0.0), 0.0), told(owner, Answered(D, 0.0), 0.0)
        assert told(owner, Expired(), REST_S - 0.001) == []
        assert {one.node for one in told(owner, Expired(), REST_S)} == {B, D}
        told(owner, Answered(B, REST_S), REST_S)
        assert owner.vouches(B, begins_s)
        assert not owner.vouches(D, REST_S + ASK_S), "it has not answered"
        assert {one.node for one in told(owner, Named({C: B}), begins_s) if isinstance(one, Ask)} == {B, D}
        assert owner.vouches(B, begins_s), "for the call that begins with it"
        assert owner.standing(C, begins_s) is Standing.SURE
        told(owner, Answered(B, begins_s), begins_s)
        assert {one.node for one in told(owner, Expired(), begins_s + ASK_S) if isinstance(one, Ask)} == {B, D}
        assert owner.vouches(B, begins_s + ASK_S)
        assert not owner.vouches(B, begins_s + 2 * ASK_S + 0.001)


def test_an_owner_asks_everybody_twice_a_second_and_is_sure_while_its_heir_answers() -> None:
    owner = owning()
    for k in range(1, 20):
        assert {one.node for one in told(owner, Expired(), k * ASK_S)} == {B, D}
        assert told(owner, Answered(B, k * ASK_S), k * ASK_S) == []
    assert owner.standing(C, 10.0) is Standing.SURE


def test_the_lease_runs_from_the_question_and_not_from_the_answer() -> None:
    owner = awake(owning(), 2.5)
    owner.step(Answered(B, 0.5), 2.5)
    assert owner.standing(C, 0.49 + LEASE_S) is Standing.SURE
    assert owner.standing(C, 0.51 + LEASE_S) is not Standing.SURE


def test_in_doubt_a_call_goes_on_while_the_callee_is_heard_and_not_when_they_are_not() -> None:
    owner = awake(owning(), LEASE_S - ASK_S)
    assert Stand(C, Standing.WARY) in told(owner, Expired(), UNTIL)
    assert told(owner, CalleeQuiet(C), UNTIL) == [Stand(C, Standing.SILENT)]
    assert told(owner, CalleeHeard(C), UNTIL) == [Stand(C, Standing.WARY)]


def test_a_callee_who_was_quiet_before_the_call_had_an_heir_is_no_witness() -> None:
    owner = Owner(0.0)
    told(owner, Known(frozenset((B, D))), 0.0)
    told(owner, CalleeQuiet(C), 0.0)
    told(owner, Answered(B, 0.1), 0.1)
    told(owner, Named({C: B}), 0.1)
    assert Stand(C, Standing.SILENT) in told(awake(owner, LEASE_S), Expired(), 0.1 + UNTIL)


def test_after_a_pause_nothing_is_sent_until_the_callee_would_have_been_missed() -> None:
    owner = awake(owning(), 1.0)
    assert owner.standing(C, 9.0) is Standing.SILENT
    assert told(owner, Expired(), 9.0)[0] == Stand(C, Standing.SILENT)
    for k in range(3):
        owner.step(Expired(), 9.5 + k * ASK_S)
    assert owner.standing(C, 9.0 + QUIET_S) is Standing.SILENT
    assert owner.standing(C, 9.0 + QUIET_S + AWAY_S) is Standing.WARY


def test_doubt_ends_with_an_answer_about_the_call_and_its_heir_is_told_it_again() -> None:
    owner = awake(owning(), LEASE_S - ASK_S)
    assert Ask(B, (C,)) in told(owner, Expired(), UNTIL)
    assert Stand(C, Standing.SURE) not in told(owner, Answered(B, UNTIL), UNTIL)
    assert told(owner, Answered(B, UNTIL, (C,)), UNTIL) == [Retell(B, (C,)), Stand(C, Standing.SURE)]


def test_an_heir_that_was_only_slow_keeps_its_copy_and_need_not_be_told_again() -> None:
    """On a machine that is too busy to answer in time, that would be the work which keeps it so."""
    owner = awake(owning(), LEASE_S - ASK_S)
    assert Ask(B, (C,)) in told(owner, Expired(), UNTIL)
    assert told(owner, Answered(B, UNTIL, (C,), kept=(C,), ours=(C,)), UNTIL) == [Stand(C, Standing.SURE)]


def test_who_was_asked_while_it_was_the_heir_is_asked_again_when_another_is_and_has_given_nothing_up() -> None:
    owner = awake(owning(), LEASE_S - ASK_S)
    assert Ask(B, (C,)) in told(owner, Expired(), UNTIL)
    told(owner, Answered(D, UNTIL), UNTIL)
    told(owner, Named({C: D}), UNTIL)
    told(owner, Answered(B, UNTIL, (C,), ours=(C,)), UNTIL)
    assert owner.claimants(C) == {B, D}, "it may have been told meanwhile"
    assert Ask(B, (C,)) in told(owner, Expired(), UNTIL + SOON_S)
    told(owner, Answered(B, UNTIL + SOON_S, (C,)), UNTIL + SOON_S)
    assert owner.claimants(C) == {D}


def test_an_answer_that_comes_first_after_a_pause_ends_no_doubt_that_the_pause_has_hidden() -> None:
    """The heir may have taken the call before it was asked."""
    owner = awake(owning(), LEASE_S - ASK_S)
    assert Ask(B, (C,)) in told(owner, Answered(B, 2.9), 4.0)
    assert owner.standing(C, 4.0) is not Standing.SURE


def test_an_answer_that_was_read_when_its_lease_was_over_ends_no_doubt() -> None:
    owner = awake(owning(), 10.0)
    assert Stand(C, Standing.SURE) not in told(owner, Answered(B, 6.0, (C,)), 10.0)


def test_a_call_that_another_has_is_let_go_and_one_that_was_closed_is_to_be_hung_up_on() -> None:
    for answer, let_go in (
        (Answered(B, UNTIL, (C,), taken=(C,)), LetGo(C)),
        (Answered(B, UNTIL, (C,), closed=(C,)), LetGo(C, was_closed=True)),
    ):
        owner = awake(owning(), UNTIL)
        assert told(owner, answer, UNTIL)[0] == let_go
        assert told(owner, answer, UNTIL) == []
        assert owner.standing(C, 99.0) is Standing.SURE  # nobody asks for it any more


def test_who_was_heir_before_is_asked_about_the_call_until_it_has_given_its_copy_up() -> None:
    owner = owning()
    assert told(owner, Named({C: D}), 0.1) == []
    assert told(owner, Expired(), 0.1 + SOON_S) == [Ask(B, (C,))]
    assert Ask(B, (C,)) in told(owner, Expired(), 0.2 + ASK_S)
    owner.step(Answered(B, 0.6, (C,)), 0.6)
    assert Ask(B, ()) in told(owner, Expired(), 1.2)


def test_the_heirs_of_a_call_that_is_over_are_asked_to_forget_it() -> None:
    owner = owning()
    assert told(owner, Ended(C), 0.1) == []
    assert told(owner, Expired(), 0.1 + SOON_S) == [Ask(B, (C,))]


def test_a_successor_asks_once_about_all_calls_that_it_takes_up() -> None:
    """It has heard nothing of the heirs yet, and so doubts each call."""
    calls = [CallId(f"c{k}") for k in range(1000)]
    owner = Owner(0.0)
    asked = [one for call_id in calls for one in told(owner, Named({call_id: B}), 0.1) if isinstance(one, Ask)]
    assert len(asked) <= 1
    asked = [one for one in told(owner, Expired(), 0.1 + SOON_S) if isinstance(one, Ask)]
    assert {call_id for one in asked for call_id in one.calls} == set(calls)
    assert len(asked) == len(calls) / MAX_ASKED


def test_a_thousand_calls_that_get_another_heir_are_looked_at_once_each_and_asked_about_in_few_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is silent costs its neighbours no time in which they answer nobody: that would make them silent, too."""
    calls = [CallId(f"c{k}") for k in range(1000)]
    owner = owning()
    for call_id in calls:
        owner.step(Named({call_id: B}), 0.1)
    awake(owner, LEASE_S - ASK_S)
    owner.step(Answered(D, 2.5), 2.5)
    owner.step(Expired(), UNTIL)
    looked: list[CallId] = []
    standing = Owner.standing
    monkeypatch.setattr(Owner, "standing", lambda self, one, now: (looked.append(one), standing(self, one, now))[1])
    asked = [one for call_id in calls for one in told(owner, Named({call_id: D}), UNTIL + 0.1)]
    assert len(looked) == len(calls)
    assert not [one for one in asked if isinstance(one, Ask)]
    asked = [one for one in told(owner, Expired(), UNTIL + 0.1 + SOON_S) if isinstance(one, Ask)]
    assert {call_id for one in asked if one.node == B for call_id in one.calls} == {C, *calls}
    assert len(asked) <= 2 + len(calls) // MAX_ASKED


def test_when_an_heir_in_doubt_is_proven_dead_all_others_are_asked_for_they_may_have_it_from_the_dead() -> None:
    owner = awake(owning(), 5.0)
    assert told(owner, Gone(B), 5.1) == [Ask(D, (C,))]
    assert Stand(C, Standing.SURE) in told(owner, Answered(D, 5.1, (C,)), 5.1)


def test_an_heir_that_is_proven_dead_while_its_lease_ran_has_taken_nothing() -> None:
    owner = owning()
    assert told(owner, Gone(B), 0.1) == []
    assert owner.standing(C, 0.1) is Standing.SURE


inputs = st.one_of(
    st.builds(Named, st.dictionaries(st.sampled_from((C, E)), st.sampled_from((B, D, NodeId(""))), min_size=1)),
    st.builds(Ended, st.sampled_from((C, E))),
    st.tuples(st.sampled_from((B, D)), st.sampled_from((0.0, 1.0, 2.9)), st.sampled_from(((), (C,), (C, E)))),
    st.builds(Known, st.sampled_from((frozenset((B, D)), frozenset((B,)), frozenset[NodeId]()))),
    st.builds(Gone, st.sampled_from((B, D))),
    st.builds(CalleeHeard, st.sampled_from((C, E))),
    st.builds(CalleeQuiet, st.sampled_from((C, E))),
    st.just(Expired()),
)  # fmt: skip


@given(st.lists(st.tuples(inputs, st.sampled_from((0.0, 0.05, 0.3, 0.7, 1.1, 3.1))), max_size=60))
def test_what_an_owner_has_said_of_a_call_is_how_it_stands_after_every_step(steps: list[tuple[Any, float]]) -> None:
    """It looks only at the calls that a step may have changed."""
    owner, now, stands = Owner(0.0), 0.0, {C: Standing.SURE, E: Standing.SURE}
    for given_, after_s in steps:
        now += after_s
        one = given_
        if isinstance(given_, tuple):
            node, ago_s, about = given_
            one = Answered(node, max(0.0, now - ago_s), about)
        begun = [call_id for call_id in one.heirs if not owner.claimants(call_id)] if isinstance(one, Named) else []
        stands |= dict.fromkeys([one.call_id] if isinstance(one, Ended) else begun, Standing.SURE)
        events = told(owner, one, now)
        stands |= {event.call_id: event.standing for event in events if isinstance(event, Stand)}
        for call_id, standing in stands.items():
            if owner.claimants(call_id):
                assert standing is owner.standing(call_id, now), (call_id, one)


# ---- an heir ---------------------------------------------------------------------------------------------------


def keeping(n_moves: int = 0) -> Heir:
    heir = Heir()
    heir.step(Kept(A, C, (n_moves, 1, 5), is_up=True), 0.0)
    return heir


def test_proof_takes_a_call_at_once_and_suspicion_when_the_lease_is_over() -> None:
    assert told(keeping(), Dead(A, is_proven=True), 0.0) == [Take(A, (C,))]
    heir = keeping()
    heir.step(Asked(A, {}), 1.0)
    assert told(heir, Dead(A, is_proven=False), 2.0) == []
    assert heir.deadline == 1.0 + LEASE_S
    assert told(heir, Expired(), 1.0 + LEASE_S) == [Take(A, (C,))]


def test_who_asks_is_not_dead_whatever_is_suspected() -> None:
    heir = keeping()
    heir.step(Asked(A, {}), 0.0)
    heir.step(Dead(A, is_proven=False), 2.0)
    heir.step(Asked(A, {}), 2.5)
    assert told(heir, Expired(), LEASE_S) == []
    assert told(heir, Expired(), 2.5 + LEASE_S) == [Take(A, (C,))]


def test_a_call_that_is_asked_for_by_name_is_taken_by_nobody_until_it_is_told_again() -> None:
    heir = keeping()
    assert told(heir, Asked(A, {C: (0, 1, 5)}), 0.0) == [Tell(A, (C,), (), ())]
    heir.step(Kept(A, C, (0, 1, 4), is_up=True), 0.0)  # it was on its way
    assert told(heir, Dead(A, is_proven=True), 0.0) == []
    heir.step(Kept(A, C, (0, 1, 5), is_up=True), 0.0)
    assert told(heir, Dead(A, is_proven=True), 0.0) == [Take(A, (C,))]


def test_an_heir_gives_up_what_it_is_asked_about_unless_it_is_the_heir_still_or_the_question_is_older() -> None:
    heir, order = Heir(), (0, 1, 5)
    for call_id in (C, E):
        told(heir, Kept(A, call_id, order, is_up=True), 0.0)
    asked = {C: order, E: (0, 1, 4)}
    assert told(heir, Asked(A, asked, frozenset((C,))), 0.0) == [Tell(A, (C, E), (), (), kept=(C, E))]
    assert told(heir, Asked(A, {C: order}, frozenset()), 0.1) == [Tell(A, (C,), (), ())]
    told(heir, Kept(A, C, order, is_up=True), 0.2)
    assert not heir.keeps(A, C), "it was on its way when it was given up"
    told(heir, Kept(A, C, (0, 1, 6), is_up=True), 0.3)
    assert heir.keeps(A, C), "it is the heir again"


def test_an_owner_of_the_last_version_tells_all_anew_of_what_it_has_asked_about() -> None:
    heir, order = Heir(), (0, 1, 5)
    told(heir, Kept(A, C, order, is_up=True), 0.0)
    assert told(heir, Asked(A, {C: order}, None), 0.1) == [Tell(A, (C,), (), ())]
    assert not heir.keeps(A, C)
    told(heir, Kept(A, C, order, is_up=True), 0.2)
    assert heir.keeps(A, C)


def test_what_was_taken_is_said_to_be_until_its_owner_is_a_later_one() -> None:
    heir = keeping(n_moves=2)
    heir.step(Dead(A, is_proven=True), 0.0)
    assert told(heir, Asked(A, {C: (2, 999, 9)}), 9.0) == [Tell(A, (C,), (C,), ())]
    heir.step(Kept(A, C, (2, 999, 9), is_up=True), 9.0)  # it was on its way, or in doubt
    assert not heir.keeps(A, C)
    later = (3, 1, 1)
    assert told(heir, Asked(D, {C: later}), 9.0) == [Tell(D, (C,), (), ())]
    heir.step(Kept(D, C, later, is_up=True), 9.0)
    assert heir.keeps(D, C)


def test_a_call_that_is_over_at_its_owner_is_taken_by_nobody() -> None:
    heir = keeping()
    heir.step(Dropped(A, C), 0.0)
    assert told(heir, Dead(A, is_proven=True), 0.0) == []


def test_a_call_that_nobody_had_answered_is_taken_when_its_machine_is_proven_dead_for_they_may_have_since() -> None:
    heir = Heir()
    heir.step(Kept(A, C, (0, 1, 1), is_up=False), 0.0)
    assert told(heir, Dead(A, is_proven=True), 0.0) == [Take(A, (C,))]
    assert told(heir, Asked(A, {C: (0, 1, 2)}), 0.0) == [Tell(A, (C,), (C,), ())]


def ringing() -> Heir:
    """Of two calls of `A` nobody has answered one."""
    heir = keeping()
    heir.step(Kept(A, E, (0, 1, 1), is_up=False), 0.0)
    return heir


def test_of_a_machine_that_is_only_suspected_what_rings_is_not_closed_while_it_may_be_answered() -> None:
    """It may be cut off, and be answered: whoever closed the call would have its owner hang up on that callee."""
    heir = ringing()
    heir.step(Dead(A, is_proven=False), 0.0)
    assert told(heir, Expired(), 0.0) == []
    heir = ringing()
    assert told(heir, Dead(A, is_proven=False), LEASE_S) == [Take(A, (C,))]
    assert told(heir, Expired(), LEASE_S + CLOSES_S - 0.1) == []
    answered = (0, 1, 7)
    assert told(heir, Asked(A, {E: answered, C: (0, 1, 9)}), 8.0) == [Tell(A, (E, C), (C,), ())]
    heir.step(Alive(A), 8.0)
    heir.step(Kept(A, E, answered, is_up=True), 8.0)
    assert heir.deadline is None
    assert told(heir, Dead(A, is_proven=True), 9.0) == [Take(A, (E,))]


def test_what_rang_at_a_machine_that_never_comes_back_is_taken_when_that_is_proven_and_closed_when_it_never_is() -> (
    None
):
    heir = ringing()
    assert told(heir, Dead(A, is_proven=False), LEASE_S) == [Take(A, (C,))]
    assert heir.deadline == LEASE_S + CLOSES_S
    assert told(heir, Dead(A, is_proven=False), LEASE_S + 1.0) == []
    assert told(heir, Expired(), LEASE_S + CLOSES_S) == [Take(A, (), (E,))]
    assert told(heir, Asked(A, {E: (0, 1, 2)}), LEASE_S + CLOSES_S) == [Tell(A, (E,), (), (E,))]
    assert heir.deadline is None
    heir = ringing()
    assert told(heir, Dead(A, is_proven=False), LEASE_S) == [Take(A, (C,))]
    assert told(heir, Dead(A, is_proven=True), 5.0) == [Take(A, (E,))]


# ---- whatever breaks -------------------------------------------------------------------------------------------


def settled(n_calls: int = 3, seed: int = 0, names: tuple[str, ...] = ("a", "b", "d")) -> World:
    weather = stormy(Random(seed).randbytes, loss=0.05, latest_s=0.1) if seed else calm(0.005)
    world = World(names, weather, n_calls)
    until_settled(world)
    return world


def until_settled(world: World, within_s: float = 30.0) -> None:
    for _ in range(round(within_s * 4)):
        world.run(0.25)
        if world.is_settled():
            return
    owners = {name: sorted(node.calls) for name, node in world.nodes.items()}
    raise AssertionError(f"not settled: {owners}\n" + "\n".join(world.log[-40:]))


def isolate(world: World, name: NodeId) -> None:
    world.cuts |= {pair for other in (*NODES, NATS) for pair in ((name, other), (other, name)) if other != name}


class OneFaultAtATime(RuleBasedStateMachine):
    """Three machines; before each fault every call has a sure owner and an heir that knows it."""

    @initialize(seed=st.integers(0, 2**32), n_calls=st.integers(1, 4))
    def begin(self, seed: int, n_calls: int) -> None:
        self.world = settled(n_calls, seed)

    def _heal(self) -> None:
        self.world.cuts.clear()
        self.world.is_nats_up = True
        until_settled(self.world)
        self.world.run(1.0)
        until_settled(self.world)

    @rule(who=st.sampled_from(NODES), is_proven=st.booleans(), seconds=st.sampled_from([0.3, 1.0, 6.0, 40.0]),
          with_disk=st.booleans())  # fmt: skip
    def a_machine_dies(self, who: NodeId, is_proven: bool, seconds: float, with_disk: bool) -> None:
        self.world.crash(who, is_proven=is_proven)
        self.world.run(max(seconds, 0.0 if is_proven else 4.0))
        self.world.come_back(who, with_disk=with_disk)
        self._heal()

    @rule(who=st.sampled_from(NODES), seconds=st.floats(0.5, 8.0) | st.sampled_from([2.9, 3.0, 3.1, 60.0]))
    def a_machine_stands_still(self, who: NodeId, seconds: float) -> None:
        self.world.pause(who, seconds)
        self.world.run(seconds)
        self._heal()

    @rule(one=st.sampled_from(NODES), other=st.sampled_from(NODES), both=st.booleans(), seconds=st.floats(0.5, 20.0))
    def a_link_is_cut(self, one: NodeId, other: NodeId, both: bool, seconds: float) -> None:
        self.world.cuts |= {(one, other), (other, one)} if both else {(one, other)}
        self.world.run(seconds)
        self._heal()

    @rule(who=st.sampled_from(NODES), seconds=st.floats(0.5, 20.0))
    def a_machine_is_cut_off(self, who: NodeId, seconds: float) -> None:
        isolate(self.world, who)
        self.world.run(seconds)
        self._heal()

    @rule(seconds=st.floats(0.5, 20.0))
    def nats_is_down(self, seconds: float) -> None:
        self.world.is_nats_up = False
        self.world.run(seconds)
        self._heal()

    @rule(who=st.sampled_from(NODES))
    def a_spare_becomes_the_edge(self, who: NodeId) -> None:
        self.world.replace_edge(who)
        self._heal()

    @rule(which=st.integers(0, 3), seconds=st.floats(0.5, 8.0))
    def a_callee_sends_nothing(self, which: int, seconds: float) -> None:
        callees = list(self.world.callees.values())
        callee = callees[which % len(callees)]
        callee.is_sending = not callee.is_sending
        self.world.run(seconds)
        until_settled(self.world)

    @invariant()
    def each_call_has_one_owner(self) -> None:
        if hasattr(self, "world"):
            owners = [call_id for node in self.world.nodes.values() for call_id in node.calls]
            assert sorted(owners) == sorted(self.world.callees)


TestOneFaultAtATime = OneFaultAtATime.TestCase
TestOneFaultAtATime.settings = settings(max_examples=25, stateful_step_count=5, deadline=None)
