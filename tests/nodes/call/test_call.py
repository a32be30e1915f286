"""A call, case by case: how it begins and ends, who dies meanwhile, and what is done once and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.call import ending, inputs
from nodes.call.call import Call
from nodes.call.effects import (
    CloseLine,
    DialLeg,
    Effect,
    GetReady,
    HangUpLeg,
    Note,
    Prepare,
    PutOnList,
    Reserve,
    Stop,
    TellDesk,
)  # fmt: skip
from nodes.call.record import GONE_AFTER_S, Ask, CallPhase
from protocols import handover as seats
from protocols.machine import Expired
from protocols.sip import Answered, Disposition, Ended, Finished, HangUp, Media, Ringing, Side
from protocols.wire.desk import ReleaseSeat
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import AudioArrived, AudioLost, DigitPressed, PlayEnded, SpeechStarted
from tests.nodes.call.audio import Said
from tests.nodes.call.stages import bridged, handed, placed, slow, talks
from tests.nodes.call.telephone import THEIRS
from tests.nodes.call.world import CALL, World

CHANNEL = ChannelId(CALL)


def done(world: World, given: inputs.Input) -> list[Effect]:
    """Return what the call wants done about this."""
    n = len(world.done)
    world.give(given)
    return world.done[n:]


def end(world: World) -> dict[str, object]:
    """Return the fields of the last event, which is the call's end."""
    assert world.is_over
    assert world.notes[-1].kind is Kind.ENDED
    return dict(world.notes[-1].fields)


# ---- what a call is -------------------------------------------------------------------------------------------------


def test_a_call_is_its_record_and_its_script_and_nothing_else() -> None:
    assert Call.__slots__ == ("record", "script")


def test_events_come_before_everything_else_that_a_step_wants_and_the_list_next() -> None:
    world = talks()
    call = Call(world.record, world.script)
    wanted = call.step(DigitPressed(CHANNEL, "9", world.now), world.now)
    notes = [one for one in wanted if isinstance(one, Note)]
    assert wanted[: len(notes)] == notes
    assert [note.number for note in notes] == list(range(world.record.n_events + 1, call.record.n_events + 1))
    assert wanted[len(notes)] == PutOnList()


# ---- placing --------------------------------------------------------------------------------------------------------


def test_nobody_is_dialled_who_is_on_the_list() -> None:
    world = World("desk")
    world.is_forbidden = True
    world.begin()
    assert (end(world)["disposition"], end(world)["cause"]) == ("rejected", "do_not_call")
    assert world.phone.is_stopped


def test_an_order_to_hang_up_before_the_dial_ends_the_call_at_once() -> None:
    world = placed(GetReady)
    question = world.asks[GetReady]
    world.give(inputs.HangUpOrdered(Disposition.FAILED, "ordered"))
    assert end(world)["cause"] == "ordered"
    world.answer(question)
    assert world.phone.n_dials == 0


def test_what_is_made_ready_too_late_is_not_dialled() -> None:
    world = placed(GetReady)
    world.pass_(300.0)
    assert end(world)["cause"] == "not_ready"
    assert not [one for one in world.done if isinstance(one, DialLeg)]


def test_who_may_have_been_dialled_by_a_dead_process_is_never_dialled_again() -> None:
    world = placed(GetReady)
    world.fate = 0, world.edge_dies  # written, and nothing done
    world.answer(world.asks[GetReady])
    world.pass_(1.0)
    assert (end(world)["disposition"], end(world)["cause"]) == ("failed", "lost_while_placing")
    assert world.phone.n_dials == 0


def test_a_leg_that_dials_although_the_call_was_given_up_is_hung_up_on() -> None:
    world = placed(GetReady)
    world.fate = 9, world.actor_dies  # the order to dial waits in the leg's mailbox
    world.answer(world.asks[GetReady])
    world.pass_(1.0)
    assert end(world)["cause"] == "lost_while_placing"
    assert world.phone.phone == "gone"


# ---- the answer -----------------------------------------------------------------------------------------------------


def test_an_answer_in_the_moment_of_giving_up_is_noted_and_nobody_is_talked_to() -> None:
    world = placed()
    world.pass_(0.1)
    world.give(inputs.HangUpOrdered(Disposition.FAILED, "ordered"))
    world.give(Answered(THEIRS))
    assert len(world.noted(Kind.ANSWERED)) == 1
    assert world.record.phase is CallPhase.ENDING
    world.pass_(10.0)
    assert not world.noted(Kind.HUMAN_DETECTED)
    assert end(world)["cause"] == "ordered"


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_recording_begins_with_the_answer_unless_recordings_are_given_up(is_given_up: bool) -> None:
    world = placed(is_recorded=True)
    world.records_calls = not is_given_up
    world.pass_(0.1)
    world.phone.answer()
    assert world.line.channels[CHANNEL].recording == ("" if is_given_up else "/rec/c1")


# ---- nobody is heard ------------------------------------------------------------------------------------------------


def test_a_callee_who_is_not_heard_is_hung_up_on_at_the_same_moment_whoever_has_the_call() -> None:
    ends = []
    for dies in (False, True):
        world = bridged()
        world.line.is_up(False)
        world.pass_(10.0)
        if dies:
            world.edge_dies()
        world.pass_(GONE_AFTER_S - 10.1)
        assert not world.is_over
        world.pass_(0.2)
        assert end(world)["cause"] == "no_audio"
        ends.append(end(world)["duration_s"])
    assert ends[0] == ends[1]


def test_told_again_that_nothing_is_heard_gives_no_more_time_and_hearing_them_ends_it() -> None:
    world = talks()
    world.give(AudioLost(CHANNEL, 2.0))
    gone_at_s = world.record.gone_at_s
    assert gone_at_s == world.now - 2.0 + GONE_AFTER_S
    world.pass_(1.5)
    world.give(AudioLost(CHANNEL, 1.0))
    assert world.record.gone_at_s == gone_at_s
    world.give(AudioArrived(CHANNEL, world.now))
    assert world.record.gone_at_s is None


def test_who_holds_us_is_waited_for_and_anew_when_they_come_back() -> None:
    world = talks()
    world.give(AudioLost(CHANNEL, 5.0))
    world.phone.reinvites(replace(THEIRS, sends=False))
    assert world.record.gone_at_s is None
    world.pass_(1.0)
    world.phone.reinvites(Media("192.0.2.8", 4002, 0, 101, True, True))
    assert world.record.gone_at_s == world.now + GONE_AFTER_S


# ---- the list -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["actor_dies", "edge_dies"])
def test_who_has_opted_out_is_put_on_the_list_by_whoever_goes_on(dies: str) -> None:
    world = talks()
    world.fate = 0, getattr(world, dies)  # after it was written and noted, before the list had it
    world.give(DigitPressed(CHANNEL, "9", world.now))
    assert world.is_listed
    assert len(world.noted(Kind.OPT_OUT)) == 1


# ---- agents ---------------------------------------------------------------------------------------------------------


def test_a_seat_that_is_found_for_a_try_of_before_is_given_back() -> None:
    world = handed()
    number = world.asks[Reserve].number
    world.edge_dies()
    told = inputs.SeatTold(seats.SeatReserved("bob"), world.desk.name, "bob", number)
    assert TellDesk(world.desk.name, ReleaseSeat(CALL, "bob")) in done(world, told)


def test_a_seat_that_is_found_when_nobody_wants_one_is_given_back() -> None:
    world = talks()
    told = inputs.SeatTold(seats.SeatReserved("bob"), world.desk.name, "bob")
    assert done(world, told) == [TellDesk(world.desk.name, ReleaseSeat(CALL, "bob"))]


def test_the_seat_of_an_earlier_life_is_given_back_by_one_that_ends_before_it_has_found_it_again() -> None:
    world = handed()
    world.answer(world.asks[Reserve])
    assert world.desk.mine("ann")
    world.actor_dies()
    world.phone.hangs_up()
    assert not world.desk.mine()


def test_a_seat_whose_release_was_only_written_down_is_released_by_the_next_life() -> None:
    world = bridged()
    world.fate = 0, world.actor_dies
    world.desk.finish("ann")
    world.pass_(1.0)
    assert end(world)["disposition"] == "transferred"
    assert not world.desk.mine()


# ---- the end --------------------------------------------------------------------------------------------------------


def test_a_leg_that_never_says_that_it_has_ended_is_not_waited_for_for_ever() -> None:
    world = talks()
    world.phone.write = lambda **changes: None  # its tree has given up
    world.phone.tell = lambda given: None
    world.give(inputs.HangUpOrdered(Disposition.COMPLETED, "ordered"))
    world.pass_(ending.ENDS_S - 1.0)
    assert world.record.phase is CallPhase.ENDING
    world.pass_(2.0)
    assert (end(world)["disposition"], end(world)["by"]) == ("completed", "us")


def test_a_line_that_is_never_closed_is_not_waited_for_for_ever() -> None:
    world = talks()
    slow(world, CloseLine)
    world.phone.hangs_up()
    assert not world.is_over
    world.pass_(ending.CLOSED_S)
    assert end(world)["sent"] == 0


def test_a_call_is_as_long_as_it_lasted_and_not_as_its_line_took_to_close() -> None:
    world = talks()
    slow(world, CloseLine)
    lasted_s = world.now - world.record.answered_s
    world.phone.hangs_up()
    world.pass_(2.0)
    world.answer(world.asks[CloseLine])
    assert end(world)["duration_s"] == pytest.approx(lasted_s, abs=0.001)


def test_the_end_of_a_call_tells_how_much_conversation_it_was() -> None:
    """So that whoever wants only that need not read every event."""
    nobody = placed()
    nobody.give(inputs.HangUpOrdered(Disposition.REJECTED, "do_not_call"))
    nobody.until(lambda: nobody.is_over)
    assert not {"turns", "recognition_ms"} & end(nobody).keys()
    world = talks()
    world.line.speak(Said("", "yes"))
    world.until(lambda: len(world.noted(Kind.HEARD)) == 1 and not world.record.answer_ended_s)
    world.phone.hangs_up()
    world.until(lambda: world.is_over)
    said = [note.fields["answer_ms"] for note in world.noted(Kind.PROMPT_STARTED) if "answer_ms" in note.fields]
    assert end(world)["recognition_ms"] == sum(said) > 0  # type: ignore[arg-type]
    assert end(world)["turns"] == 1


LATE = [
    Expired(),
    Ringing(),
    Answered(THEIRS),
    Ended(Disposition.BUSY, "busy", Side.THEM),
    Finished(),
    AudioLost(CHANNEL, 5.0),
    PlayEnded(CHANNEL, 1, 0.0),
    SpeechStarted(CHANNEL, 10**6, 0.0),
    DigitPressed(CHANNEL, "9", 0.0),
    inputs.HangUpOrdered(Disposition.FAILED, "ordered"),
    inputs.MediaLacks(),
    inputs.RecordTo("/rec/late"),
    inputs.Spoken(1, ()),
    inputs.RosterChanged(frozenset(), frozenset(), is_media_new=True, is_media_other=True),
    inputs.SeatTold(seats.AgentFinished(), seat="ann"),
]


@pytest.mark.parametrize("late", LATE, ids=lambda late: type(late).__name__)
def test_a_call_that_is_over_and_closes_its_line_does_nothing_else(late: inputs.Input) -> None:
    world = talks()
    slow(world, CloseLine)
    world.phone.hangs_up()
    over, n_notes = world.record.over, len(world.notes)
    assert [one for one in done(world, late) if one != Prepare()] == []
    assert world.record.over == over
    assert [one.what for one in world.record.asked] == [Ask.CLOSE]
    assert len(world.notes) == n_notes


@pytest.mark.parametrize("late", LATE, ids=lambda late: type(late).__name__)
def test_a_call_that_has_ended_changes_nothing_and_wants_nothing(late: inputs.Input) -> None:
    world = talks()
    world.phone.hangs_up()
    world.pass_(1.0)
    call = Call(world.record, world.script)
    assert call.step(late, world.now) == []
    assert call.record == world.record
    assert call.deadline is None
    assert call.step(inputs.Resumed(world.owner, frozenset()), world.now) == [Stop()]


def test_a_leg_that_was_not_told_to_hang_up_is_told_by_the_next_life() -> None:
    world = talks()
    world.fate = 0, world.edge_dies
    world.give(inputs.HangUpOrdered(Disposition.COMPLETED, "ordered"))
    assert world.phone.n_byes == 1


def test_an_ending_call_of_a_record_without_a_time_waits_for_its_leg_and_spins_not() -> None:
    world = talks()
    call = Call(replace(world.record, phase=CallPhase.ENDING, ending=None), world.script)
    call.record = replace(call.record, ending_s=0.0)
    call.step(inputs.Resumed(world.owner, frozenset()), world.now)
    assert call.deadline is not None
    assert call.deadline > world.now


def test_a_leg_that_ended_while_we_were_ending_it_has_ended_as_we_wanted() -> None:
    world = talks()

    def die() -> None:
        """The leg hangs up, and can tell nobody any more."""
        world.phone.tell = lambda given: None
        world.phone.hang_up(HangUp(Disposition.COMPLETED, "ordered"))
        world.phone.tell = world.give
        world.edge_dies()

    world.fate = 9, die
    world.give(inputs.HangUpOrdered(Disposition.COMPLETED, "ordered"))
    world.pass_(1.0)
    assert (end(world)["disposition"], end(world)["cause"], end(world)["by"]) == ("completed", "ordered", "us")


def test_a_leg_is_told_to_hang_up_once_a_life() -> None:
    world = talks()
    world.give(inputs.HangUpOrdered(Disposition.COMPLETED, "ordered"))
    world.give(inputs.HangUpOrdered(Disposition.FAILED, "again"))
    world.pass_(1.0)
    assert [one.order.cause for one in world.done if isinstance(one, HangUpLeg)] == ["ordered"]
