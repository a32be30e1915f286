"""A human agent's seat: the way of a call, readiness, heartbeats, probes, and that a seat has one call at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.agent import (
    Act,
    Agent,
    AgentEvent,
    AgentInput,
    Beat,
    Bridged,
    CallEnded,
    Instruct,
    LegDown,
    LegUp,
    ProbeAnswered,
    Release,
    Reserve,
    Seat,
    SeatChanged,
    SignIn,
    SignOut,
    WantReady,
    WrappedUp,
)
from protocols.machine import Expired
from protocols.wire.ids import CallId

A, B = CallId("a"), CallId("b")
WAY: dict[Seat, list[AgentInput]] = {
    Seat.OFFLINE: [],
    Seat.CONNECTING: [SignIn(ready=True)],
    Seat.NOT_READY: [SignIn(), LegUp()],
    Seat.READY: [SignIn(ready=True), LegUp()],
    Seat.RESERVED: [SignIn(ready=True), LegUp(), Reserve(A), ProbeAnswered(A)],
    Seat.TALKING: [SignIn(ready=True), LegUp(), Reserve(A), ProbeAnswered(A), Bridged(A)],
    Seat.WRAPUP: [SignIn(ready=True), LegUp(), Reserve(A), ProbeAnswered(A), Bridged(A), CallEnded(A)],
}


def run(agent: Agent, *inputs: AgentInput, now: float = 0.0) -> list[AgentEvent]:
    return [notice.event for given_ in inputs for notice in agent.step(given_, now)]


def at(seat: Seat) -> Agent:
    """A seat in this state at 0 s, with call A where there is one."""
    agent = Agent(wrapup_s=20)
    run(agent, *WAY[seat])
    assert agent.seat is seat
    return agent


def test_a_shift_with_one_call() -> None:
    agent = Agent()
    assert run(agent, *WAY[Seat.WRAPUP], WrappedUp()) == [
        Instruct(Act.CONNECT_LEG, CallId("")), SeatChanged(Seat.CONNECTING),
        SeatChanged(Seat.READY),
        Instruct(Act.PROBE, A), SeatChanged(Seat.RESERVED),
        Instruct(Act.TELL_RESERVED, A),
        SeatChanged(Seat.TALKING),
        SeatChanged(Seat.WRAPUP),
        SeatChanged(Seat.READY),
    ]  # fmt: skip


def test_who_signs_in_without_wanting_calls_gets_none() -> None:
    agent = at(Seat.NOT_READY)
    assert run(agent, Reserve(A)) == [Instruct(Act.TELL_REFUSED, A)]
    assert run(agent, WantReady()) == [SeatChanged(Seat.READY)]


def test_a_pause_that_is_wanted_in_a_call_begins_after_it() -> None:
    agent = at(Seat.TALKING)
    assert run(agent, WantReady(ready=False)) == []
    assert run(agent, CallEnded(A), WrappedUp())[-1] == SeatChanged(Seat.NOT_READY)


def test_after_call_work_ends_by_itself() -> None:
    agent = at(Seat.WRAPUP)
    assert agent.deadline == 20.0
    assert run(agent, Expired(), now=20.0) == [SeatChanged(Seat.READY)]


# ---- one call at a time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seat", [seat for seat in Seat if seat is not Seat.READY])
def test_a_seat_that_is_not_ready_refuses_a_call(seat: Seat) -> None:
    assert run(at(seat), Reserve(B)) == [Instruct(Act.TELL_REFUSED, B)]


def test_a_call_that_asks_again_for_its_own_seat_is_not_refused() -> None:
    assert run(at(Seat.RESERVED), Reserve(A)) == []


@pytest.mark.parametrize("stale", [Release(B), Bridged(B), CallEnded(B), ProbeAnswered(B)])
@pytest.mark.parametrize("seat", list(Seat))
def test_what_another_call_says_about_the_seat_changes_nothing(seat: Seat, stale: AgentInput) -> None:
    agent = at(seat)
    assert run(agent, stale) == []
    assert agent.seat is seat


def test_a_call_may_give_up_while_the_seat_is_probed() -> None:
    agent = at(Seat.READY)
    run(agent, Reserve(A))
    assert run(agent, Release(A)) == [SeatChanged(Seat.READY)]
    assert run(agent, ProbeAnswered(A)) == []


def test_a_reservation_that_is_not_used_ends_and_the_call_is_told() -> None:
    agent = at(Seat.RESERVED)
    assert run(agent, Expired(), now=15.0)[0] == Instruct(Act.TELL_LOST, A)


# ---- is anybody there ---------------------------------------------------------------------------------------------


def test_a_seat_that_does_not_answer_the_probe_is_refused_within_a_quarter_second_and_connected_anew() -> None:
    agent = at(Seat.READY)
    run(agent, Reserve(A), now=1.0)
    assert agent.deadline == 1.25
    assert run(agent, Expired(), now=1.25) == [
        Instruct(Act.TELL_REFUSED, A),
        Instruct(Act.CONNECT_LEG, A),
        SeatChanged(Seat.CONNECTING),
    ]
    assert run(agent, ProbeAnswered(A), now=1.3) == [], "too late"


@pytest.mark.parametrize("seat", [Seat.CONNECTING, Seat.NOT_READY, Seat.READY])
def test_an_idle_seat_without_a_heartbeat_for_forty_seconds_is_offline(seat: Seat) -> None:
    agent = at(seat)
    run(agent, Beat(), now=10.0)
    assert run(agent, Expired(), now=49.9) == []
    assert run(agent, Expired(), now=50.0) == [SeatChanged(Seat.OFFLINE)]
    assert agent.deadline is None


def test_in_a_call_the_audio_is_the_heartbeat() -> None:
    agent = at(Seat.TALKING)
    assert agent.deadline is None
    run(agent, CallEnded(A), now=300.0)
    assert agent.deadline == 320.0, "the after-call work, not a heartbeat of long ago"


@pytest.mark.parametrize("seat", [Seat.RESERVED, Seat.TALKING])
@pytest.mark.parametrize("gone", [LegDown(), SignOut()])
def test_a_seat_that_is_lost_with_its_call_tells_the_call(seat: Seat, gone: AgentInput) -> None:
    agent = at(seat)
    assert run(agent, gone)[0] == Instruct(Act.TELL_LOST, A)
    assert agent.call == ""


def test_a_broken_leg_is_connected_again_and_the_seat_is_ready_again() -> None:
    agent = at(Seat.READY)
    run(agent, LegDown())
    assert run(agent, LegUp()) == [SeatChanged(Seat.READY)]


def test_whose_after_call_work_was_cut_short_is_not_surprised_by_a_call() -> None:
    agent = at(Seat.WRAPUP)
    run(agent, LegDown())
    assert run(agent, LegUp()) == [SeatChanged(Seat.NOT_READY)]


# ---- always -------------------------------------------------------------------------------------------------------

CALLS = st.sampled_from([A, B])
INPUTS: st.SearchStrategy[AgentInput] = st.one_of(
    st.sampled_from([SignOut(), LegUp(), LegUp(), LegDown(), Beat(), WrappedUp(), Expired()]),
    st.builds(SignIn, st.booleans()),
    st.builds(WantReady, st.booleans()),
    st.one_of([st.builds(kind, CALLS) for kind in (Reserve, ProbeAnswered, Release, Bridged, CallEnded)]),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 9), INPUTS | st.sampled_from(WAY[Seat.WRAPUP])), max_size=50))
def test_a_seat_has_one_call_and_every_call_is_told_what_became_of_it(script: list[tuple[float, AgentInput]]) -> None:
    agent, now, owner = Agent(wrapup_s=20), 0.0, ""
    for pause, given_ in script:
        now += pause
        before = agent.seat
        events = run(agent, given_, now=now)
        assert (agent.call != "") is (agent.seat in (Seat.RESERVED, Seat.TALKING))
        assert [SeatChanged(agent.seat)] == [e for e in events if isinstance(e, SeatChanged)] or agent.seat is before
        for event in events:
            if event == Instruct(Act.TELL_RESERVED, agent.call):
                assert not owner, "nobody had it"
                owner = agent.call
        left = isinstance(given_, Release | CallEnded) and given_.call == owner
        lost = Instruct(Act.TELL_LOST, CallId(owner)) in events
        owner = "" if left or lost else owner
        assert not owner or agent.call == owner, "the seat is kept until its call leaves or is told"
        assert agent.deadline is not None or agent.seat in (Seat.OFFLINE, Seat.TALKING)
