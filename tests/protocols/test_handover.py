"""A caller on the way to an agent: the good way, every failure, and that somebody always has the caller."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.handover import (
    LATEST,
    TABLE,
    AgentConfirmed,
    AgentFinished,
    BridgeMade,
    CallerLeft,
    ContextAcknowledged,
    Do,
    Handover,
    HandoverDone,
    HandoverEvent,
    HandoverFailed,
    HandoverInput,
    HandoverState,
    Late,
    LegConnected,
    NobodyHere,
    Order,
    SeatLost,
    SeatRefused,
    SeatReserved,
    Stage,
    Start,
    TransitionStarted,
)
from protocols.machine import Expired

TO_THE_AGENT: list[HandoverInput] = [
    Start(), TransitionStarted(), SeatReserved("ann"), LegConnected(), ContextAcknowledged(), AgentConfirmed(),
    BridgeMade(),
]  # fmt: skip
IN_THE_BOTS_HANDS = (Stage.CONNECTING, Stage.LEG_CONNECTED, Stage.CONTEXT_KNOWN, Stage.CONFIRMING, Stage.BRIDGING)


def run(handover: Handover, *inputs: HandoverInput, now: float = 0.0) -> list[HandoverEvent]:
    return [notice.event for given_ in inputs for notice in handover.step(given_, now)]


def at(stage: Stage) -> Handover:
    """A handover that has come this far at 0 s, with Ann's seat."""
    handover = Handover(patience_s=60)
    aside = {Stage.QUEUED: (2, SeatRefused()), Stage.CONTEXT_KNOWN: (3, ContextAcknowledged())}.get(stage)
    for given_ in (*TO_THE_AGENT[: aside[0]], aside[1]) if aside else TO_THE_AGENT:
        if handover.stage is not stage:
            run(handover, given_)
    assert handover.stage is stage
    return handover


def test_the_good_way_orders_each_thing_once() -> None:
    assert run(Handover(), *TO_THE_AGENT) == [
        Order(Do.RESERVE),
        Order(Do.CONNECT, "ann"),
        Order(Do.ASK, "ann"),
        Order(Do.BRIDGE, "ann"),
        HandoverDone(),
    ]


def test_leg_and_context_may_come_in_either_order() -> None:
    assert run(at(Stage.CONTEXT_KNOWN), LegConnected()) == run(at(Stage.LEG_CONNECTED), ContextAcknowledged())


def test_the_transition_prompt_is_late_after_200_ms_and_nothing_else_happens() -> None:
    handover = Handover()
    run(handover, Start())
    assert handover.deadline == 0.2
    assert run(handover, Expired(), now=0.2) == [Late("transition")]
    assert handover.stage is Stage.REACHING
    assert handover.deadline == 0.5


@pytest.mark.parametrize(
    ("stage", "latest"),
    [(Stage.CONNECTING, 0.5), (Stage.LEG_CONNECTED, 0.5), (Stage.CONFIRMING, 10.0), (Stage.BRIDGING, 0.5)],
)
def test_a_stage_that_is_late_gives_the_seat_back_and_goes_to_the_queue(stage: Stage, latest: float) -> None:
    handover = at(stage)
    assert handover.deadline == latest
    assert run(handover, Expired(), now=latest - 0.01) == []
    late, *orders = run(handover, Expired(), now=latest)
    assert isinstance(late, Late)
    assert orders == [Order(Do.RELEASE, "ann"), Order(Do.JOIN_QUEUE)]
    assert handover.stage is Stage.QUEUED


@pytest.mark.parametrize("stage", IN_THE_BOTS_HANDS)
def test_a_seat_that_is_lost_on_the_way_goes_to_the_queue(stage: Stage) -> None:
    handover = at(stage)
    run(handover, SeatLost())
    assert handover.stage.owner == "queue"


def test_a_desk_that_does_not_answer_is_like_one_without_a_seat() -> None:
    handover = at(Stage.REACHING)
    assert run(handover, Expired(), now=0.5)[-1] == Order(Do.JOIN_QUEUE)
    assert run(handover, SeatReserved("ben"), now=3.0) == [Order(Do.LEAVE_QUEUE), Order(Do.CONNECT, "ben")]


@pytest.mark.parametrize("stage", [Stage.REACHING, Stage.QUEUED])
def test_where_there_is_nobody_to_wait_for_the_bot_has_the_caller_at_once(stage: Stage) -> None:
    handover = at(stage)
    assert run(handover, NobodyHere())[-1] == HandoverFailed("no_agent")
    assert handover.stage.owner == "bot"


def test_a_successor_goes_on_with_a_caller_who_is_with_an_agent() -> None:
    handover = Handover.of(HandoverState(Stage.BRIDGED, "ann"))
    assert (handover.stage.owner, handover.deadline) == ("agent", None)
    assert run(handover, SeatLost()) == run(at(Stage.BRIDGED), SeatLost())


def test_a_second_seat_is_given_back() -> None:
    assert run(at(Stage.CONFIRMING), SeatReserved("ben")) == [Order(Do.RELEASE, "ben")]


def test_the_queue_is_left_for_the_bot_when_patience_is_over() -> None:
    handover = at(Stage.QUEUED)
    assert handover.deadline == 60.0
    assert run(handover, Expired(), now=60.0) == [Late("queued"), Order(Do.LEAVE_QUEUE), HandoverFailed("no_agent")]
    assert handover.stage.owner == "bot"


def test_patience_counts_from_the_start_however_many_agents_decline() -> None:
    handover = at(Stage.QUEUED)
    run(handover, SeatReserved("ben"), LegConnected(), ContextAcknowledged(), now=50.0)
    run(handover, SeatLost(), now=55.0)
    assert handover.deadline == 60.0


def test_whoever_begins_anew_after_a_takeover_keeps_the_callers_patience() -> None:
    before = at(Stage.CONFIRMING).state
    handover = Handover.of(HandoverState(patience_s=before.patience_s), patience_s=60)
    run(handover, Start(), SeatRefused(), now=50.0)
    assert handover.deadline == 50.2, "the transition prompt has its time anew"
    assert run(handover, TransitionStarted(), Expired(), now=59.9) == []
    assert run(handover, Expired(), now=60.0)[-1] == HandoverFailed("no_agent")


def test_whoever_begins_anew_when_patience_is_over_asks_for_a_seat_and_waits_in_no_queue() -> None:
    handover = Handover.of(HandoverState(patience_s=60.0))
    assert run(handover, Start(), SeatRefused(), now=70.0) == [Order(Do.RESERVE), Order(Do.JOIN_QUEUE)]
    assert run(handover, Expired(), now=70.0)[-2:] == [Order(Do.LEAVE_QUEUE), HandoverFailed("no_agent")]


def test_an_agent_who_is_lost_in_the_call_leaves_the_caller_to_the_bot() -> None:
    assert run(at(Stage.BRIDGED), SeatLost()) == [
        Order(Do.UNBRIDGE, "ann"),
        Order(Do.RELEASE, "ann"),
        HandoverFailed("agent_lost"),
    ]


@pytest.mark.parametrize("stage", [Stage.REACHING, Stage.QUEUED, *IN_THE_BOTS_HANDS])
def test_a_caller_who_leaves_before_an_agent_had_them_is_called_back(stage: Stage) -> None:
    handover = at(stage)
    orders = [event.do for event in run(handover, CallerLeft()) if isinstance(event, Order)]
    assert Do.PROMISE_CALLBACK in orders
    assert (Do.RELEASE in orders) is (stage in IN_THE_BOTS_HANDS)
    assert (Do.LEAVE_QUEUE in orders) is (stage is Stage.QUEUED)


def test_a_caller_who_leaves_the_agent_is_done() -> None:
    assert run(at(Stage.BRIDGED), CallerLeft()) == run(at(Stage.BRIDGED), AgentFinished()) == [Order(Do.RELEASE, "ann")]


# ---- always -------------------------------------------------------------------------------------------------------


def test_every_stage_that_waits_has_an_owner_a_latest_moment_and_a_way_back() -> None:
    waiting = {stage for stage, _ in TABLE if stage not in (Stage.IDLE, Stage.BRIDGED)}
    for stage in waiting:
        assert stage.owner in ("bot", "queue")
        assert {(stage, Expired), (stage, CallerLeft)} <= TABLE.keys(), stage
        assert stage in LATEST or stage is Stage.QUEUED or stage in (Stage.LEG_CONNECTED, Stage.CONTEXT_KNOWN)


ANYTHING: st.SearchStrategy[HandoverInput] = st.one_of(
    st.sampled_from([Start(), TransitionStarted(), SeatRefused(), LegConnected(), ContextAcknowledged(), Expired()]),
    st.sampled_from([AgentConfirmed(), BridgeMade(), SeatLost(), AgentFinished(), CallerLeft(), NobodyHere()]),
    st.builds(SeatReserved, st.sampled_from(["ann", "ben"])),
    st.sampled_from(TO_THE_AGENT),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), ANYTHING), max_size=40))
def test_no_caller_is_ever_without_an_owner_or_waits_without_an_end(script: list[tuple[float, HandoverInput]]) -> None:
    handover, now = Handover(patience_s=20), 0.0
    told: list[HandoverEvent] = []
    seats: set[str] = set()
    queued = 0

    def take(given_: HandoverInput) -> None:
        nonlocal queued
        if isinstance(given_, SeatReserved):
            seats.add(given_.seat)
        events = run(handover, given_, now=now)
        told.extend(events)
        for event in events:
            if isinstance(event, Order):
                queued += (event.do is Do.JOIN_QUEUE) - (event.do is Do.LEAVE_QUEUE)
                seats.difference_update({event.seat} if event.do is Do.RELEASE else ())
        waits = handover.stage not in (Stage.IDLE, Stage.BRIDGED, Stage.RETURNED, Stage.OVER)
        assert handover.stage.owner != "nobody" or handover.stage is Stage.OVER
        assert waits <= (handover.deadline is not None)
        assert queued == (handover.stage is Stage.QUEUED), "in the queue exactly while the queue has the caller"
        assert len(seats) <= 1, "one seat at most is kept"
        assert not (handover.stage in (Stage.RETURNED, Stage.OVER, Stage.QUEUED) and seats), "no seat is forgotten"

    for pause, given_ in [(0.0, Start()), *script]:
        now += pause
        take(given_)
    waited_from = now
    while handover.deadline is not None:
        now = max(now, handover.deadline)
        take(Expired())
    assert handover.stage in (Stage.BRIDGED, Stage.RETURNED, Stage.OVER)
    assert now <= waited_from + 20 + 10 + 1.5
    outcomes = [type(event) for event in told if isinstance(event, HandoverDone | HandoverFailed)]
    assert outcomes in ([], [HandoverDone], [HandoverFailed], [HandoverDone, HandoverFailed])


@settings(deadline=None)
@given(st.integers(0, len(TO_THE_AGENT)), st.lists(st.tuples(st.floats(0, 3), ANYTHING), max_size=40))
def test_a_handover_made_anew_of_its_packed_state_before_every_step_goes_on_as_one_that_is_kept(
    n: int, script: list[tuple[float, HandoverInput]]
) -> None:
    kept, packed, now = Handover(patience_s=20), msgspec.msgpack.encode(HandoverState()), 0.0
    for pause, given_ in [*((0.1, each) for each in TO_THE_AGENT[:n]), *script]:
        now += pause
        if given_ == Expired():
            now = max(now, kept.deadline or 0.0)
        anew = Handover.of(msgspec.msgpack.decode(packed, type=HandoverState), patience_s=20)
        assert (anew.stage, anew.deadline) == (kept.stage, kept.deadline)
        assert anew.step(given_, now) == kept.step(given_, now)
        assert anew.state == kept.state
        packed = msgspec.msgpack.encode(anew.state)
