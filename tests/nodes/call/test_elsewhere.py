"""A call goes on at another machine: its times, its channel, its far end, and what it does about each."""

from __future__ import annotations

import ast
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import nodes.call
import nodes.edge
import nodes.media
import protocols
from nodes.call.call import Call
from nodes.call.effects import Effect, GetReady, GiveBack, HearCallee, Keep, Note, StartRecording, TakeOverLeg, Want
from nodes.call.inputs import HangUpOrdered, Input, Moved, Resumed
from nodes.call.moving import LEAVES_S, brought, inherited, is_movable, is_reachable, needs_line
from nodes.call.record import CallPhase, CallRecord
from protocols.machine import Transmit
from protocols.moments import moments_of
from protocols.sip import Disposition, LegPhase, Listening, Offer, TakeoverStage
from protocols.wire.events import Kind
from protocols.wire.ids import Identity
from protocols.wire.messages import Playing
from tests.nodes.call.audio import Said
from tests.nodes.call.stages import bridged, placed, talks
from tests.nodes.call.telephone import Phone
from tests.nodes.call.world import ELSEWHERE, World
from tests.nodes.edge.records import leg
from tests.nodes.edge.records import record as kept

LENGTHS = {
    "PlaceCall.ring_s", "Dial.ring_s", "SessionTimer.interval_s", "Listen.noinput_s", "Listen.speech_s",
    "Listen.complete_s", "Listen.incomplete_s", "Fetch.timeout_s", "AudioLost.silent_s", "Moved.outage_s",
    "Left.outage_s", "Playing.skip_s",
}  # fmt: skip
"""What ends in `_s` and is a length of time."""


def dataclasses_in(hint: Any, found: set[type]) -> set[type]:
    """Return every dataclass that a value of this type may hold, at any depth."""
    if is_dataclass(hint) and isinstance(hint, type):
        if hint not in found:
            found.add(hint)
            for one in get_type_hints(hint).values():
                dataclasses_in(one, found)
    for one in get_args(hint):
        dataclasses_in(one, found)
    return found


def test_every_time_in_a_record_is_said_to_be_a_moment_or_a_length() -> None:
    """One that is neither would stay on the clock of a machine that has died: mark it `Moment`, or name it above."""
    kinds = dataclasses_in(CallRecord | Input | Effect, set())
    times = {(kind, name) for kind in kinds for name in get_type_hints(kind) if name.endswith("_s") or name == "at"}
    unsaid = {f"{kind.__name__}.{name}" for kind, name in times if name not in moments_of(kind)}
    assert unsaid == LENGTHS


def test_a_call_of_a_machine_that_is_silent_too_long_ends_whatever_a_successor_had_begun_to_ask() -> None:
    """Of a second successor's record the dialog that rang was taken, and not the ACKs: the callee was asked."""
    asked = replace(leg(LegPhase.INVITING), acks=(Transmit(b"ACK"),))
    record = kept("c1", phase=CallPhase.RINGING, leg=asked, answered_s=0.0)
    assert is_reachable(inherited(record, 0.0))
    given_up = inherited(record, 0.0, is_to_end=True)
    assert not is_reachable(given_up)
    call = Call(given_up, None)
    there = Moved("", 0, ELSEWHERE, Listening(ELSEWHERE.host, 0), 60.0)
    effects = call.step(Resumed(Identity("n2.edge-0:1"), frozenset(), False, 9, there), 1000.0)
    assert TakeOverLeg(ELSEWHERE, None, asks_nobody=True) in effects
    (ended,) = [one.fields for one in effects if isinstance(one, Note) and one.kind is Kind.ENDED]
    assert (ended["disposition"], ended["cause"]) == ("failed", "node_lost")


def test_no_moment_is_where_nobody_looks_for_it() -> None:
    """Moments are moved in dataclasses, and in tuples of them."""
    for kind in dataclasses_in(CallRecord, set()):
        for name, hint in get_type_hints(kind).items():
            for one in (hint, *get_args(hint)):
                if getattr(one, "__origin__", None) in (dict, list, set, frozenset):
                    assert not any(moments_of(inner) for inner in dataclasses_in(one, set())), f"{kind}.{name}"


def test_no_moment_is_compared_with_zero() -> None:
    """On a machine that was started after the call began it is less than that; 'not yet' is asked by truth."""
    names = {name for kind in dataclasses_in(CallRecord | Input | Effect, set()) for name in moments_of(kind)}
    found = [
        f"{path}:{node.lineno}"
        for room in (nodes.call, nodes.edge, nodes.media, protocols)
        for path in Path(room.__file__ or "").parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Constant) and one.value == 0 for one in (node.left, *node.comparators))
        and any(isinstance(one, ast.Attribute) and one.attr in names for one in (node.left, *node.comparators))
    ]
    assert not found


# ---- its machine has died -------------------------------------------------------------------------------------------


def test_the_callee_is_heard_and_spoken_to_before_the_far_end_has_answered() -> None:
    world = talks()
    before = world.record
    world.done.clear()
    world.machine_dies(0.2)
    effects = [one for one in world.done if not isinstance(one, Note)]
    first, second = effects[:2]
    assert isinstance(first, Want)
    assert before.channel is not None
    assert (first.channel.port, first.channel.ssrc, first.channel.seq0, first.channel.born_s) == (
        40002, before.channel.ssrc, before.channel.seq0, before.channel.born_s,
    )  # fmt: skip
    assert (first.channel.remote_host, first.channel.sends, first.channel.engine) == ("192.0.2.9", True, "")
    assert second == TakeOverLeg(ELSEWHERE, Listening(ELSEWHERE.host, 40002))
    assert any(isinstance(one, HearCallee) for one in effects), "the question that was open is open here"
    world.pass_(1.0)
    assert world.record.arrival is None, "the far end has agreed"
    world.line.speak(Said("", "no"))
    world.pass_(3.0)
    assert world.noted(Kind.HEARD)


def test_no_word_is_skipped_that_nobody_heard() -> None:
    world = talks()
    world.line.speak(Said("", "no"))
    world.until(lambda: world.record.channel and world.record.channel.playing)
    before = playing(world)
    world.machine_dies(3.0)
    assert playing(world) == replace(before, at_s=before.at_s + 3.0)
    world.pass_(60.0)
    assert not [note for note in world.noted(Kind.PROMPT_ENDED) if note.fields.get("is_cut")]


def test_time_in_which_nobody_was_there_is_no_silence() -> None:
    world = talks()
    deadline = world.deadline
    world.machine_dies(3.0)
    world.pass_(0.1)
    assert deadline is not None
    assert world.deadline is not None
    assert world.deadline >= deadline + 3.0


def test_each_machine_writes_its_own_part_of_the_recording() -> None:
    world = World("desk", is_recorded=True)
    world.begin(1)
    world.pass_(0.1)
    world.phone.answer()
    world.machine_dies(0.0)
    world.machine_dies(0.0)
    assert [one.part for one in world.done if isinstance(one, StartRecording)] == [0, 1, 2]
    assert [note.fields for note in world.noted(Kind.RECORDING_LEFT)] == [
        {"part": 0, "node": "n1"}, {"part": 1, "node": "n1"},
    ]  # fmt: skip


def test_whoever_goes_on_with_a_call_says_which_part_of_its_recording_stays_where_it_was() -> None:
    """Nothing told that it was there: a machine that is away, or has died, cannot be asked."""
    world = talks(is_recorded=True)
    world.moves()
    world.pass_(1.0)
    assert world.coming is None
    assert world.owner.startswith("n2.")
    (left,) = world.noted(Kind.RECORDING_LEFT)
    assert (left.owner, left.fields) == (world.owner, {"part": 0, "node": "n1"})


def test_of_a_call_that_was_not_recorded_no_part_stays_anywhere() -> None:
    world = talks()
    world.machine_dies(0.1)
    assert not world.noted(Kind.RECORDING_LEFT)


@pytest.mark.parametrize("is_dialled", [False, True])
def test_who_was_not_answered_yet_is_over_once_and_rings_no_more(is_dialled: bool) -> None:
    world = placed() if is_dialled else placed(GetReady)
    world.pass_(0.1)
    world.machine_dies(0.2)
    world.pass_(1.0)
    (ended,) = world.noted(Kind.ENDED)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "node_lost")
    assert world.is_over
    assert world.phone.phone in (Phone.IDLE, Phone.GONE)
    world.check()


def test_who_picks_up_while_nobody_has_the_call_is_talked_with() -> None:
    """Their answer goes to the machine that has died: whoever goes on asks them."""
    world = placed()
    world.pass_(0.1)
    world.phone.ring()
    world.machine_dies(0.0)
    assert [one.listening.port for one in world.done if isinstance(one, TakeOverLeg) and one.listening] == [40002]


def test_who_has_picked_up_while_nobody_had_the_call_is_greeted_at_the_new_port() -> None:
    world = placed()
    world.pass_(0.1)
    world.phone.ring()
    world.phone.picks_up_unheard()
    world.machine_dies(1.0)
    world.pass_(1.0)
    assert world.record.phase is CallPhase.ANSWERED
    assert world.record.arrival is None
    assert world.record.channel
    assert world.record.channel.port == 40002
    assert len(world.noted(Kind.ANSWERED)) == 1
    assert not world.is_over


def test_who_had_rung_and_was_not_answered_is_over_once() -> None:
    world = placed()
    world.pass_(0.1)
    world.phone.ring()
    world.machine_dies(1.0)
    world.pass_(1.0)
    (ended,) = world.noted(Kind.ENDED)
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "node_lost")
    assert world.is_over


def test_who_is_asked_whether_they_have_picked_up_can_be_hung_up_on() -> None:
    world = placed()
    world.pass_(0.1)
    world.phone.ring()
    world.phone.picks_up_unheard()
    world.machine_dies(1.0)
    world.give(HangUpOrdered(Disposition.REJECTED, "do_not_call"))
    world.pass_(1.0)
    assert [one.fields["cause"] for one in world.noted(Kind.ENDED)] == ["do_not_call"]
    assert world.phone.n_byes == 1


def test_who_had_answered_and_nobody_had_noted_it_is_talked_with() -> None:
    world = placed()
    world.pass_(0.1)
    world.fate = (0, lambda: world.machine_dies(0.2))
    world.phone.answer()
    world.pass_(0.2)
    assert world.record.phase is CallPhase.ANSWERED
    assert not world.is_over


def test_a_call_that_ends_is_ended_from_the_other_machine() -> None:
    world = talks()
    world.fate = (0, lambda: world.machine_dies(0.2))
    world.give(HangUpOrdered(Disposition.COMPLETED, "ordered"))
    world.pass_(1.0)
    assert TakeOverLeg(ELSEWHERE, None) in world.done
    assert world.phone.n_byes == 1
    assert [note.fields["cause"] for note in world.noted(Kind.ENDED)] == ["ordered"]


def test_a_bridged_caller_stays_with_the_agent_whose_desk_lives_elsewhere() -> None:
    world = bridged()
    world.done.clear()
    world.machine_dies(0.2)
    world.pass_(1.0)
    assert world.record.phase is CallPhase.BRIDGED
    assert any(isinstance(one, Keep) for one in world.done)
    links = [one.channel for one in world.done if isinstance(one, Want) and one.channel.link]
    assert links
    assert all(link.sends for link in links)
    world.check()


def test_an_agent_whose_desk_has_died_with_the_machine_is_apologised_for() -> None:
    world = bridged()
    world.machine_dies(0.2, desk_dies=True)
    world.pass_(1.0)
    assert [note.fields["reason"] for note in world.noted(Kind.HANDOVER_FAILED)] == ["agent_lost"]
    assert world.record.phase is CallPhase.CONVERSING


def test_a_callee_who_left_meanwhile_has_hung_up_and_is_not_called_again() -> None:
    world = talks()
    world.phone.phone = Phone.GONE
    world.machine_dies(0.2)
    world.pass_(1.0)
    (ended,) = world.noted(Kind.ENDED)
    assert (ended.fields["cause"], ended.fields["by"]) == ("remote_hangup_during_outage", "them")


def test_a_far_end_that_refuses_listens_to_nothing_and_is_hung_up_on() -> None:
    world = talks()
    world.phone.refuses = 488
    world.machine_dies(0.2)
    world.pass_(1.0)
    assert [note.fields["cause"] for note in world.noted(Kind.ENDED)] == ["takeover_refused"]
    assert world.phone.n_byes == 1


def test_a_browsers_call_goes_on_with_its_page() -> None:
    world = World("desk", target="browser:n1.desk-9:1/phone-7")
    world.begin(1)
    world.pass_(0.1)
    world.phone.answer()
    world.pass_(5.0)
    world.machine_dies(0.2)
    world.pass_(1.0)
    assert not world.is_over
    assert world.record.arrival is None
    world.check()


# ---- it is moved on purpose -----------------------------------------------------------------------------------------


def test_a_call_that_is_moved_is_still_there_until_its_owner_has_left_it() -> None:
    """The line is open and asked for, and nobody speaks twice."""
    world = talks()
    owner = world.owner
    world.moves()
    assert world.coming is not None
    assert world.coming.is_waiting
    assert world.owner == owner
    n_notes = len(world.notes)
    world.pass_(0.1)
    assert world.coming is None
    assert world.owner != owner
    assert [note.kind for note in world.notes[n_notes:]] == [Kind.RECOVERED]
    world.line.speak(Said("", "no"))
    world.pass_(3.0)
    assert world.noted(Kind.HEARD)


def test_a_far_end_that_refuses_has_noticed_nothing() -> None:
    world = talks()
    world.phone.refuses = 488
    owner, n_notes = world.owner, len(world.notes)
    world.moves()
    world.pass_(0.1)
    assert (world.owner, len(world.notes), world.coming) == (owner, n_notes, None)
    assert not any(isinstance(one, TakeOverLeg) for one in world.done), "nothing has changed: it is not even asked"


def test_a_far_end_that_says_nothing_to_the_other_machine_is_asked_for_by_its_owner() -> None:
    world = talks()
    world.phone.refuses = 408
    world.moves()
    world.pass_(0.1)
    assert any(isinstance(one, TakeOverLeg) for one in world.done)
    assert not world.is_over


def test_what_is_said_while_it_is_moved_is_answered() -> None:
    """Its owner goes on with it until the other has it: the far end may take seconds to agree."""
    world = talks()
    world.phone.agrees_s = 5.0
    world.moves()
    world.line.speak(Said("repeat"))
    world.pass_(4.0)
    assert world.noted(Kind.HEARD)
    assert world.coming is not None
    world.pass_(2.0)
    assert world.coming is None
    assert world.record.n_moves == 1


def test_a_call_that_ends_while_it_is_moved_ends_once_and_is_waited_for_nowhere() -> None:
    world = talks()
    world.phone.agrees_s = 5.0
    world.moves()
    world.phone.hangs_up()
    world.pass_(6.0)
    assert len(world.noted(Kind.ENDED)) == 1
    assert world.coming is None


@pytest.mark.parametrize("after", range(6))
def test_whoever_dies_while_they_leave_a_call_has_left_it_and_it_goes_on_where_it_was_to_go(after: int) -> None:
    """Whatever they still did of that: the other machine waits for no more than a second."""
    world = talks()
    world.moves()
    world.fate = after, world.edge_dies
    world.pass_(0.1)
    world.check()
    world.pass_(LEAVES_S)
    world.check()
    assert world.coming is None
    assert world.record.n_moves == 1
    world.line.speak(Said("", "no"))
    world.pass_(3.0)
    assert world.noted(Kind.HEARD)


@pytest.mark.parametrize("is_agreed", [False, True])
def test_the_heir_of_a_machine_that_a_call_was_only_coming_to_has_it_if_the_far_end_had_agreed(is_agreed: bool) -> None:
    """Before that its owner has it, and two would speak; after that nobody might."""
    world = talks()
    world.moves()
    coming = world.coming
    assert coming is not None
    assert coming.arrival is not None
    coming = replace(coming, arrival=replace(coming.arrival, is_agreed=is_agreed))
    call = Call(brought(coming, 50.0), world.script)
    moved = Moved("media-0", 40004, ELSEWHERE, Listening(ELSEWHERE.host, 40004))
    effects = call.step(Resumed(Identity("n3.edge-0:1"), frozenset(), moved=moved), world.now + 50.0)
    assert (GiveBack(0) in effects) == (not is_agreed)
    assert (call.record.phase is CallPhase.MOVED) == (not is_agreed)
    assert not call.record.is_waiting


def test_it_is_no_moment_to_move_a_call_while_the_callee_speaks() -> None:
    world = talks()
    assert is_movable(world.record)
    world.line.speak(Said("repeat"))
    assert not is_movable(world.record)
    world.pass_(3.0)
    assert is_movable(world.record)


# ---- its record -----------------------------------------------------------------------------------------------------


def test_what_a_leg_would_do_by_itself_it_does_not_do_at_another_machine() -> None:
    """Its alarms are of a time in which nobody was there, and its INVITE would ring at the callee's a second time."""
    world = placed()
    world.pass_(0.1)
    leg = world.record.leg
    assert leg is not None
    invite = Transmit(b"INVITE", ("192.0.2.2", 5060))
    busy = replace(leg, session_at_s=2000.0, ring_until_s=1010.0, wanted=Offer(Listening("h", 1)), invite=invite,
                   takeover=TakeoverStage.AGREED)  # fmt: skip
    there = brought(replace(world.record, leg=busy), 50.0).leg
    assert there == replace(leg, session_at_s=None, ring_until_s=None)
    rings = brought(replace(world.record, leg=replace(busy, is_proceeding=True)), 50.0).leg
    assert rings is not None
    assert rings.invite == invite, "whoever rings is told that nobody calls any more"


def test_a_port_is_needed_for_who_is_to_be_heard() -> None:
    world = talks()
    assert needs_line(world.record)
    assert not needs_line(replace(world.record, phase=CallPhase.ENDING))
    assert not needs_line(replace(world.record, leg=None, browser="confirmed"))
    assert not needs_line(placed(GetReady).record)


def playing(world: World) -> Playing:
    assert world.record.channel is not None
    assert world.record.channel.playing is not None
    return world.record.channel.playing
