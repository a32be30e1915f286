"""A handover carried out: what desk and media are told, what the record keeps, and the ways back to the bot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammars import conversation_state as says
from grammars.script import load
from nodes.call import briefing, handing, line
from nodes.call.call import Call
from nodes.call.effects import (
    Connect,
    Effect,
    Keep,
    LateHandover,
    Note,
    Reserve,
    Show,
    TellDesk,
    TellDesks,
    Unlink,
    Want,
)
from nodes.call.handing import PATIENCE_S
from nodes.call.inputs import Resumed, SeatTold
from nodes.call.record import Ask, CallPhase, CallRecord, Handed, pack, unpack
from nodes.call.step import CallStep
from protocols import floor
from protocols import handover as machine
from protocols.handover import HandoverDone, HandoverFailed, HandoverInput, Stage
from protocols.sip import Disposition, HangUp
from protocols.wire import desk as wire
from protocols.wire import messages
from protocols.wire.events import Kind
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity, PromptHash

EDGE, DESK, OTHER = Identity("n1.edge-0:1"), Identity("n1.desk-0:1"), Identity("n1.desk-1:1")
CALL, LINK = CallId("c1"), ChannelId("c1-agent")
SCRIPT = load((Path(__file__).parents[2] / "journeys" / "desk.yaml").read_text())
WANTED = says.Enqueue("service", "wants a person", "high")
T = TypeVar("T")
E = TypeVar("E", bound=Effect)


def begun() -> CallRecord:
    """A call in which the conversation has just come to want an agent."""
    order = messages.PlaceCall(AttemptId("a1"), CALL, "sip:x@y", b"", {"name": "Alex"})
    channel = messages.Channel(
        ChannelId(CALL), EDGE, 40000, 1, 2, 3, born_s=90.0, remote_host="127.0.0.1", remote_port=9
    )
    turns = tuple(says.Turn("callee", word) for word in "abcdef")
    talk = replace(
        says.ConversationState.new(SCRIPT, order.slots), phase=says.TalkPhase.HANDING_OVER, state="desk", turns=turns
    )
    return CallRecord(
        order, CallPhase.CONVERSING, version=1, owner=EDGE, media="media-0",
        channel=channel, conversation=talk, placed_s=90.0, answered_s=95.0,
    )  # fmt: skip


class Rig:
    """The handover of one call: its record, the time, and all effects so far."""

    def __init__(self) -> None:
        self.record, self.now = begun(), 100.0
        self.effects: list[Effect] = []

    def do(self, act: Callable[[CallStep], T]) -> T:
        """Take one step."""
        step = CallStep(self.record, SCRIPT, self.now)
        came_to = act(step)
        self.record = step.record
        self.effects += step.effects
        return came_to

    def start(self) -> None:
        self.do(lambda step: handing.start(step, WANTED))

    def told(
        self, given: HandoverInput, seat: str = "ann", desk: Identity = DESK, number: int = 0
    ) -> list[handing.Outcome]:
        return self.do(lambda step: handing.told(step, SeatTold(given, desk, seat, number)))

    def answered(self, given: HandoverInput, seat: str = "ann") -> list[handing.Outcome]:
        """Answer a question of this try."""
        return self.told(given, seat, DESK if seat else Identity(""), self.handed.number)

    def expired(self) -> list[handing.Outcome]:
        """Come to the deadline."""
        due = handing.deadline(self.record)
        assert due is not None
        self.now = due
        return self.do(handing.expired)

    def come_to(self, *inputs: HandoverInput) -> list[handing.Outcome]:
        """Start, connect, and take these inputs of the desk; return the last one's outcome."""
        self.start()
        for given_ in (machine.SeatReserved("ann"), machine.LegConnected(), machine.ContextAcknowledged()):
            self.answered(given_)
        outcome: list[handing.Outcome] = []
        for given_ in inputs:
            outcome = self.told(given_)
        return outcome

    def live_again(self) -> None:
        """Go on in another life, from the record as an heir gets it; what was done is the last life's."""
        self.record, self.effects = unpack(pack(self.record)), []
        self.record = replace(self.record, epoch=self.record.epoch + 1)
        self.do(handing.resume)

    @property
    def handed(self) -> Handed:
        assert self.record.handover is not None
        return self.record.handover

    @property
    def bridge(self) -> str:
        assert self.record.channel is not None
        return self.record.channel.bridge

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def noted(self, kind: Kind) -> list[dict[str, object]]:
        return [dict(note.fields) for note in self.all(Note) if note.kind is kind]

    def wanted(self, channel_id: str) -> list[messages.Channel]:
        return [one.channel for one in self.all(Want) if one.channel.channel_id == channel_id]

    def released(self) -> list[tuple[Identity, wire.ReleaseSeat]]:
        return [(one.desk, one.message) for one in self.all(TellDesk) if isinstance(one.message, wire.ReleaseSeat)]


@pytest.fixture
def rig() -> Rig:
    """A handover that has not begun."""
    return Rig()


GOOD = (machine.AgentConfirmed(), machine.BridgeMade())
RELEASED = [(DESK, wire.ReleaseSeat(CALL, "ann"))]


def test_the_good_way_bridges_the_two_channels_and_says_how_long_it_took(rig: Rig) -> None:
    rig.start()
    rig.now += 0.2
    for given_ in (machine.SeatReserved("ann"), machine.LegConnected(), machine.ContextAcknowledged()):
        rig.answered(given_)
    rig.now += 3.0
    rig.told(machine.AgentConfirmed())
    rig.now += 0.04
    assert rig.told(machine.BridgeMade()) == [HandoverDone()]
    assert (rig.record.phase, rig.handed.seat, rig.handed.desk) == (CallPhase.BRIDGED, "ann", DESK)
    assert rig.bridge == LINK
    assert rig.noted(Kind.HANDOVER_DONE) == [
        {"agent_id": "ann", "ms": 40, "connected_ms": 200, "confirmed_ms": 3000}
    ]  # fmt: skip
    assert rig.noted(Kind.HANDOVER_STARTED) == [
        {"skill": "service", "reason": "wants a person", "urgency": "high"}
    ]  # fmt: skip


def test_the_agents_side_is_silent_until_it_is_bridged(rig: Rig) -> None:
    rig.come_to()
    (connect,) = rig.all(Connect)
    silent = connect.channel
    assert (silent.channel_id, silent.link, silent.port, silent.sends, silent.bridge) == (LINK, DESK, 0, False, "")
    rig.effects.clear()
    rig.told(machine.AgentConfirmed())
    agents, callers = (one.channel for one in rig.all(Want))  # the link first
    assert (agents.channel_id, agents.sends, agents.bridge) == (LINK, True, CALL)
    assert (callers.channel_id, callers.bridge) == (CALL, LINK)


def test_what_plays_is_cut_when_the_two_are_bridged(rig: Rig) -> None:
    rig.do(lambda step: line.play(step, (PromptHash("one"),)))
    rig.do(lambda step: step.floor(floor.PromptStarted()))
    rig.come_to()
    rig.do(lambda step: step.ask(Ask.SPEAK, 9.0))
    rig.told(machine.AgentConfirmed())
    assert line.playing(rig.record) is None
    assert rig.noted(Kind.PROMPT_ENDED) == [{"play_id": 10000, "is_cut": True}]
    assert (rig.record.asked, rig.record.floor.is_playing) == ((), False)


def test_the_context_has_the_four_blocks_and_the_last_five_turns(rig: Rig) -> None:
    rig.come_to()
    assert rig.all(Show) == [Show(rig.handed.number, DESK, "ann")]
    context = briefing.context(rig.record, "2026-11-29T13:00:00+00:00")
    assert [turn.words for turn in context.dialog_history] == ["b", "c", "d", "e", "f"]
    assert (context.session_meta.call_id, context.session_meta.state) == (CALL, "desk")
    assert context.session_meta.answered_wall == "2026-11-29T13:00:00+00:00"
    assert context.user_profile.slots == {"name": "Alex"}
    assert (context.handover_context.reason, context.handover_context.urgency) == ("wants a person", "high")


@pytest.mark.parametrize("first", [machine.LegConnected(), machine.ContextAcknowledged()])
def test_the_agent_is_asked_only_when_leg_and_context_are_there(rig: Rig, first: HandoverInput) -> None:
    rig.start()
    rig.answered(machine.SeatReserved("ann"))
    rig.answered(first)
    rig.answered(first)
    assert rig.all(TellDesk) == []
    rig.answered(machine.LegConnected())
    rig.answered(machine.ContextAcknowledged())
    assert rig.all(TellDesk) == [TellDesk(DESK, wire.OfferCall(CALL, "ann", LINK))]


def test_where_nobody_is_the_bot_has_the_caller_at_once(rig: Rig) -> None:
    rig.start()
    assert rig.answered(machine.NobodyHere(), seat="") == [HandoverFailed("no_agent")]
    assert (rig.record.phase, rig.record.handover) == (CallPhase.CONVERSING, None)
    assert rig.noted(Kind.HANDOVER_FAILED)[0]["then"] == "bot"
    assert handing.deadline(rig.record) is None


def test_a_node_without_a_desk_is_a_node_where_nobody_is(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.SeatRefused(), seat="")
    rig.do(handing.join)
    assert rig.told(machine.NobodyHere(), seat="", desk=Identity("")) == [HandoverFailed("no_agent")]


def test_where_all_are_busy_the_caller_waits_and_is_served_when_a_seat_is_found(rig: Rig) -> None:
    rig.start()
    assert rig.all(Reserve) == [Reserve(rig.handed.number, "service")]
    assert rig.answered(machine.SeatRefused(), seat="") == []
    assert rig.all(TellDesks) == [TellDesks(wire.JoinQueue(CALL, "service", "high"))]
    assert handing.deadline(rig.record) == rig.handed.began_s + machine.TRANSITION_S
    rig.do(handing.expired)
    assert rig.told(machine.SeatReserved("ben"), "ben") == []
    assert rig.all(TellDesks)[1:] == [TellDesks(wire.LeaveQueue(CALL))]
    assert (rig.handed.seat, rig.handed.desk) == ("ben", DESK)
    assert rig.all(Connect)[0].seat == "ben"


def test_who_is_not_served_in_time_is_the_bots_again(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.SeatRefused(), seat="")
    assert rig.expired() == []  # the transition prompt is late
    assert rig.expired() == [HandoverFailed("no_agent")]
    assert rig.now == rig.record.placed_s + 10.0 + PATIENCE_S
    assert rig.all(TellDesks)[-1] == TellDesks(wire.LeaveQueue(CALL))
    assert rig.noted(Kind.HANDOVER_FAILED) == [{"reason": "no_agent", "ms": 20000, "then": "bot"}]


def test_a_context_that_nobody_shows_gives_the_seat_back(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.SeatReserved("ann"))
    rig.answered(machine.SeatLost())
    assert rig.released() == RELEASED
    assert rig.all(Unlink) == [Unlink(LINK)]
    assert (rig.handed.seat, rig.handed.desk) == ("", "")


def test_an_agent_who_misses_the_offer_is_told_apart_from_one_whose_caller_left(rig: Rig) -> None:
    rig.do(lambda step: line.play(step, (PromptHash("one"),)))  # the transition prompt is not late
    rig.come_to()
    assert rig.expired() == []
    assert rig.all(LateHandover) == [LateHandover("confirming")]
    assert rig.released() == [(DESK, wire.ReleaseSeat(CALL, "ann", is_missed=True))]
    assert rig.all(TellDesks) == [TellDesks(wire.JoinQueue(CALL, "service", "high"))]
    rig.told(machine.SeatReserved("ben"), "ben")
    rig.do(handing.left)
    assert rig.released()[1:] == [(DESK, wire.ReleaseSeat(CALL, "ben"))]


def test_an_agent_who_is_lost_leaves_the_caller_unbridged_with_the_bot(rig: Rig) -> None:
    rig.come_to(*GOOD)
    assert rig.told(machine.SeatLost()) == [HandoverFailed("agent_lost")]
    assert rig.bridge == ""
    assert rig.wanted(CALL)[-1].bridge == ""
    assert rig.all(Unlink) == [Unlink(LINK)]
    rig.start()  # and may be handed over again
    assert rig.answered(machine.SeatRefused(), seat="") == []
    assert len(rig.noted(Kind.HANDOVER_STARTED)) == 2


def test_what_is_said_of_a_seat_that_is_not_ours_any_more_means_nothing(rig: Rig) -> None:
    rig.come_to(*GOOD)
    assert rig.told(machine.SeatLost(), "ben") == []
    assert rig.record.phase is CallPhase.BRIDGED


def test_a_seat_that_comes_too_late_is_given_back(rig: Rig) -> None:
    rig.come_to(*GOOD)
    assert rig.told(machine.SeatReserved("ben"), "ben", OTHER) == []
    assert rig.released() == [(OTHER, wire.ReleaseSeat(CALL, "ben"))]
    assert (rig.record.phase, rig.handed.seat) == (CallPhase.BRIDGED, "ann")


def test_the_seat_of_an_agent_who_has_signed_in_at_two_desks_is_given_back_at_the_second(rig: Rig) -> None:
    rig.come_to()
    record = rig.record
    assert rig.told(machine.SeatReserved("ann"), "ann", OTHER) == []
    assert rig.released() == [(OTHER, wire.ReleaseSeat(CALL, "ann"))]
    assert rig.told(machine.SeatLost(), "ann", OTHER) == []
    assert (rig.record, rig.handed.desk) == (record, DESK)


def test_a_seat_for_no_handover_is_given_back(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.NobodyHere(), seat="")
    assert rig.told(machine.SeatReserved("ann")) == []
    assert rig.told(machine.SeatReserved("ann"), number=1) == []
    assert rig.released() == RELEASED * 2
    assert rig.record.handover is None


def test_a_seat_for_another_try_is_given_back_unless_it_is_this_ones(rig: Rig) -> None:
    rig.start()
    before = rig.handed.number
    rig.answered(machine.NobodyHere(), seat="")
    rig.come_to()
    assert rig.handed.number != before
    assert rig.told(machine.SeatReserved("ben"), "ben", OTHER, before) == []
    assert rig.told(machine.SeatReserved("ann"), number=before) == []
    assert rig.released() == [(OTHER, wire.ReleaseSeat(CALL, "ben"))]
    assert rig.handed.seat == "ann"


@pytest.mark.parametrize(
    "stale", [machine.NobodyHere(), machine.SeatRefused(), machine.LegConnected(), machine.SeatLost()]
)
def test_what_is_said_of_another_try_is_stale(rig: Rig, stale: HandoverInput) -> None:
    rig.start()
    before = rig.handed.number
    rig.answered(machine.NobodyHere(), seat="")
    rig.start()
    rig.answered(machine.SeatReserved("ann"))
    record, rig.effects = rig.record, []
    assert rig.told(stale, number=before) == []
    assert (rig.record, rig.effects) == (record, [])


def test_an_agent_who_finishes_ends_it_for_everybody(rig: Rig) -> None:
    rig.come_to(*GOOD)
    assert rig.told(machine.AgentFinished()) == []
    assert rig.handed.state.stage is Stage.OVER
    assert rig.released() == RELEASED


def test_a_caller_who_leaves_while_they_wait_is_called_back(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.SeatRefused(), seat="")
    rig.do(handing.left)
    rig.do(handing.left)
    assert rig.all(TellDesks)[1:] == [TellDesks(wire.LeaveQueue(CALL))]
    assert rig.noted(Kind.TAGGED) == [{"tag": "callback"}]
    assert handing.deadline(rig.record) is None


def test_wanting_an_agent_twice_is_wanting_one(rig: Rig) -> None:
    rig.start()
    rig.start()
    assert len(rig.all(Reserve)) == len(rig.noted(Kind.HANDOVER_STARTED)) == 1


def test_a_transition_prompt_that_is_late_is_said_once(rig: Rig) -> None:
    rig.start()
    rig.answered(machine.SeatReserved("ann"))
    rig.expired()
    rig.do(handing.expired)
    assert rig.all(LateHandover) == [LateHandover("transition")]


def test_each_word_of_a_desk_has_a_meaning() -> None:
    meant = {news: type(handing.input_of(news(CALL, "ann"))) for news in wire.SEAT_NEWS}
    assert meant == {
        wire.SeatFound: machine.SeatReserved,
        wire.NobodyHere: machine.NobodyHere,
        wire.SeatAccepted: machine.AgentConfirmed,
        wire.SeatDeclined: machine.SeatLost,
        wire.SeatHears: machine.BridgeMade,
        wire.SeatFinished: machine.AgentFinished,
        wire.SeatLost: machine.SeatLost,
    }


# ---- takeovers ------------------------------------------------------------------------------------------------------


def test_a_successor_claims_the_seat_of_a_caller_who_is_with_an_agent(rig: Rig) -> None:
    rig.come_to(*GOOD)
    rig.live_again()
    assert rig.all(Keep) == [Keep(rig.handed.number, DESK, "ann")]
    assert [(one.bridge, one.sends) for one in rig.wanted(LINK)] == [(CALL, True)]
    assert rig.all(Unlink) == []
    assert rig.told(machine.AgentFinished()) == []
    assert rig.handed.state.stage is Stage.OVER


def test_a_successor_whose_seat_is_gone_has_the_caller_back(rig: Rig) -> None:
    rig.come_to(*GOOD)
    rig.live_again()
    assert rig.answered(machine.SeatLost()) == [HandoverFailed("agent_lost")]


def test_a_successor_begins_a_handover_anew_and_unbridges_what_was_half_done(rig: Rig) -> None:
    rig.come_to(machine.AgentConfirmed())
    before = rig.handed.number
    rig.live_again()
    assert rig.bridge == ""
    assert rig.all(Unlink) == [Unlink(LINK)]
    assert rig.all(Reserve) == [Reserve(rig.handed.number, "service")]
    assert rig.handed.number != before
    for given_ in (machine.SeatReserved("ann"), machine.LegConnected(), machine.ContextAcknowledged()):
        rig.answered(given_)
    for given_ in GOOD:
        outcome = rig.told(given_)
    assert outcome == [HandoverDone()]
    assert rig.noted(Kind.HANDOVER_STARTED) == []


def test_patience_and_the_beginning_outlive_a_takeover(rig: Rig) -> None:
    rig.start()
    began_s = rig.now
    rig.answered(machine.SeatRefused(), seat="")
    rig.do(handing.expired)
    rig.now += 12.0
    rig.live_again()
    rig.answered(machine.SeatRefused(), seat="")
    rig.expired()  # the transition prompt
    assert rig.expired() == [HandoverFailed("no_agent")]
    assert rig.now == began_s + PATIENCE_S
    assert rig.noted(Kind.HANDOVER_FAILED)[0]["ms"] == 1000 * PATIENCE_S


def test_a_new_media_process_is_told_both_sides(rig: Rig) -> None:
    rig.come_to(*GOOD)
    rig.effects.clear()
    rig.do(line.tell)
    rig.do(line.tell_link)
    assert [(one.channel.channel_id, one.channel.bridge) for one in rig.all(Want)] == [(CALL, LINK), (LINK, CALL)]


def test_who_has_the_callers_side_only_and_is_no_spare_lacks_the_agents(rig: Rig) -> None:
    rig.come_to(*GOOD)
    record = rig.record
    assert record.channel is not None
    caller = {record.channel.channel_id: record.channel.revision}
    assert line.is_known(record, {**caller, LINK: 0}, is_spare=False)
    assert line.is_known(record, caller, is_spare=True)
    assert not line.is_known(record, caller, is_spare=False)
    assert not line.is_known(record, {LINK: 0}, is_spare=True)


def test_a_desk_that_dies_has_lost_its_seats(rig: Rig) -> None:
    rig.come_to(*GOOD)
    assert rig.told(machine.SeatLost(), rig.handed.seat, rig.handed.desk) == [HandoverFailed("agent_lost")]


def test_a_life_that_died_before_it_gave_the_seat_back_is_made_up_for(rig: Rig) -> None:
    rig.come_to(*GOOD)
    rig.do(handing.left)
    ending = replace(
        rig.record, phase=CallPhase.ENDING, ending=HangUp(Disposition.COMPLETED, "script"), browser="confirmed"
    )
    effects = Call(unpack(pack(ending)), SCRIPT).step(Resumed(EDGE, frozenset()), rig.now)
    assert TellDesk(DESK, wire.ReleaseSeat(CALL, "ann")) in effects
    assert Unlink(LINK) in effects
    assert not [effect for effect in effects if isinstance(effect, Reserve | Keep)]


# ---- always ---------------------------------------------------------------------------------------------------------

ON_THE_WAY = {
    Stage.REACHING: machine.SeatReserved("ann"),
    Stage.QUEUED: machine.SeatReserved("ann"),
    Stage.CONNECTING: machine.LegConnected(),
    Stage.LEG_CONNECTED: machine.ContextAcknowledged(),
    Stage.CONTEXT_KNOWN: machine.LegConnected(),
    Stage.CONFIRMING: machine.AgentConfirmed(),
    Stage.BRIDGING: machine.BridgeMade(),
}
SAID = (
    machine.SeatReserved("ann"), machine.SeatReserved("ben"), machine.SeatRefused(), machine.NobodyHere(),
    machine.LegConnected(), machine.ContextAcknowledged(), machine.AgentConfirmed(), machine.BridgeMade(),
    machine.SeatLost(), machine.AgentFinished(),
)  # fmt: skip
MOVES = st.one_of(
    st.sampled_from(["on", "on", "on", "expired", "resume", "left"]),
    st.tuples(st.sampled_from(SAID), st.sampled_from(["", "ann", "ben"]), st.integers(0, 6)),
)


def move(rig: Rig, what: str | tuple[HandoverInput, str, int]) -> set[str]:
    """Have one thing happen; return the seats that a desk has reserved by it."""
    handed = rig.record.handover
    match what:
        case "on" if handed is None:
            rig.start()
        case "on":
            return move(rig, (ON_THE_WAY.get(rig.handed.state.stage, machine.BridgeMade()), rig.handed.seat, 0))
        case "expired" if handing.deadline(rig.record) is not None:
            rig.expired()
        case "resume":
            rig.live_again()
        case "left":
            rig.do(handing.left)
        case (machine.SeatReserved(seat=seat) as found, _, number):
            rig.told(found, seat, DESK, number)
            return {seat}
        case (given_, seat, number):
            rig.told(given_, seat, DESK, number)
    return set()


@settings(max_examples=200)
@given(st.lists(MOVES, max_size=30))
def test_no_seat_is_held_but_the_one_in_the_record_and_somebody_always_has_the_caller(
    moves: list[str | tuple[HandoverInput, str, int]],
) -> None:
    rig, held = Rig(), set[str]()
    for what in moves:
        if what == "resume" and rig.record.phase is CallPhase.HANDING_OVER:
            held.clear()  # whoever asks again is given the seat that they have
        rig.effects = []
        held |= move(rig, what)
        held -= {release.seat for _, release in rig.released()}
        handed = rig.record.handover
        assert held == ({handed.seat} - {""} if handed else set())
        assert handed is None or handed.seat == handed.state.seat
        stage = handed.state.stage if handed else Stage.RETURNED
        assert stage is Stage.OVER or (rig.record.phase is CallPhase.BRIDGED) == (stage is Stage.BRIDGED)
        assert (rig.bridge == LINK) == (stage in (Stage.BRIDGING, Stage.BRIDGED))
        assert unpack(pack(rig.record)) == rig.record
