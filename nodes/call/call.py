"""One call: `step(given, now)` takes what happened and returns what is to be done. Its whole state is its record.

    placing -> ringing -> answered -> conversing -> handing_over -> bridged -> ending -> done

A call is made from its record for one step, in whichever process has it: the telephone's leg writes the same record in
between. Every beginning and every recovery is `Resumed`. `deadline` says when `Expired` is wanted, and it follows from
the record, too.

Always, whatever comes (`tests/nodes/call/test_whole_calls.py`): something is awaited or the call is over; the callee is
hung up on once at most; one event ends it; and who goes on from the record goes on as if nothing had been.
"""

from __future__ import annotations

from typing import Final

from grammars import conversation_state as says
from grammars.script_model import Script
from nodes.call import ending, handing, line, older, placing, talk
from nodes.call.effects import (
    DialLeg,
    Effect,
    GetReady,
    HangUpLeg,
    Prepare,
    StartRecording,
    Stop,
    StopHearing,
    VerifyLeg,
)
from nodes.call.inputs import (
    Answer,
    BusinessAnswered,
    HangUpOrdered,
    Hears,
    Input,
    LegResumed,
    LineClosed,
    MediaLacks,
    NoEngineLeft,
    NotReady,
    Ready,
    RecordTo,
    Resumed,
    RosterChanged,
    SeatTold,
    Spoken,
    Telephone,
)
from nodes.call.record import UP, VERSION, Ask, Asked, CallPhase, CallRecord
from nodes.call.step import CallStep
from protocols.handover import SeatLost, Stage
from protocols.machine import Expired, earliest
from protocols.sip import Answered, Disposition, EarlyMedia, Ended, Media, MediaChanged, Ringing, Side
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import (
    AudioArrived,
    AudioLost,
    BeepHeard,
    DigitPressed,
    Heard,
    Partial,
    PlayEnded,
    SpeechEnded,
    SpeechStarted,
)  # fmt: skip

READY_S: Final = 240.0
"""A name is looked up in 5 s, each engine has 30 s for a script, a line takes 2 s."""
HUNG_UP: Final = Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)
"""What a leg that has ended and cannot say how has probably seen."""
_EARLY: Final = (CallPhase.PLACING, CallPhase.RINGING)


class Call:
    """One call, for one step. `script` is the order's, unpacked; None where there is none: then it can only end."""

    __slots__ = ("record", "script")

    def __init__(self, record: CallRecord, script: Script | None) -> None:
        self.record = record
        """Replaced, never changed, by each step."""
        self.script = script

    @property
    def deadline(self) -> float | None:
        """When `Expired` is wanted, in monotonic seconds; None when nothing is timed."""
        record = self.record
        if record.phase is CallPhase.DONE:
            return None
        due = [one.until_s for one in record.asked]
        if record.phase is CallPhase.ENDING:
            return earliest([*due, None if record.over else record.ending_s + ending.ENDS_S])
        return earliest([*due, record.gone_at_s, talk.deadline(record), handing.deadline(record)])

    def step(self, given: Input, now: float) -> list[Effect]:
        """Take one input at `now` (monotonic seconds); return what is to be done, in order. Raises nothing."""
        step = CallStep(self.record, self.script, now)
        _take(step, given)
        talk.settle(step)
        self.record = step.record
        return step.effects


def _take(step: CallStep, given: Input) -> None:
    phase = step.record.phase
    match given:
        case Resumed():
            _resume(step, given)
        case _ if phase is CallPhase.DONE:
            pass
        case Ready() | NotReady() | Spoken() | Hears() | NoEngineLeft() | BusinessAnswered() | LineClosed():
            _answered(step, given)
        case Expired():
            _expired(step)
        case AudioLost() | AudioArrived():
            _heard_or_not(step, given)
        case HangUpOrdered(disposition=disposition, cause=cause):
            ending.hang_up(step, disposition, cause)
        case SeatTold():
            _seat(step, given)
        case RosterChanged():
            _roster(step, given)
        case MediaLacks():
            line.tell(step)
            line.tell_link(step)
        case RecordTo(base=base):
            if base and phase in UP:
                line.want(step, recording=base)
        case PlayEnded():
            if phase in UP:
                talk.played(step, given)
        case SpeechStarted() | SpeechEnded() | Partial() | Heard() | DigitPressed() | BeepHeard():
            if phase in UP:
                talk.heard(step, given)
        case _:
            _telephone(step, given)


# ---- a life begins --------------------------------------------------------------------------------------------------


def _resume(step: CallStep, given: Resumed) -> None:
    """Begin, or go on from the record: the one recovery path."""
    record = step.record
    if record.phase is CallPhase.DONE:
        return step.do(Stop())
    if not record.placed_s and not record.leg_phase:  # nobody has had it
        step.write(version=VERSION, owner=given.owner, epoch=given.epoch, placed_s=step.now)
        step.note(Kind.PLACING, script=step.script.hash if step.script else "")
        return _place(step, is_refused=given.is_refused)
    if record.version < VERSION:
        step.record = record = older.grown(record, step.script, step.now)
    was_open = {one.what for one in record.asked}
    step.write(version=VERSION, owner=given.owner, epoch=max(record.epoch + 1, given.epoch), asked=())
    if record.phase is CallPhase.ENDING:
        step.write(ending_s=step.now)  # each life waits anew for its leg
        handing.release_again(step)
    if record.over is not None:
        return ending.close_again(step)
    if record.ending is None:
        step.note(Kind.RECOVERED, what="call", phase=record.phase.value)
        if not record.leg_phase and record.channel is None:
            return _place(step, is_refused=given.is_refused)  # nobody has been dialled
    line.want(step)  # from this life: media tells it again what the last one may not have heard
    _catch_up(step)
    if given.is_refused and step.record.phase in _EARLY:
        ending.hang_up(step, Disposition.REJECTED, "do_not_call")  # they came on the list when nobody had this call
    if step.script is not None and step.record.phase in UP:
        handing.resume(step)
        talk.resume(step, was_open, given.engines)


def _place(step: CallStep, *, is_refused: bool) -> None:
    """Have everything made ready: nobody is called whom we could not talk to."""
    if is_refused:
        ending.over(step, "rejected", "do_not_call")
    elif step.script is None:
        ending.over(step, "failed", "bad_script")
    elif problems := step.script.problems(step.record.order.slots):
        ending.over(step, "invalid", "; ".join(problems))
    else:
        step.do(GetReady(step.ask(Ask.READY, READY_S)))


def _dial(step: CallStep, given: Ready) -> None:
    order, script = step.record.order, step.script
    assert script is not None, "without one nothing is made ready"
    step.write(media=given.media, channel=given.channel)
    if given.channel.port:  # a browser's is told when somebody is there
        line.tell(step)
    step.do(DialLeg(given.local, placing.dial(order, given.local, given.hop, given.listening, script.hash)))
    step.do(Prepare(script.speakable(order.slots)))


def _catch_up(step: CallStep) -> None:
    """Take from the leg's record what it may have told to nobody: one of the two has died in between."""
    record, leg = step.record, step.record.leg
    match record.leg_phase:
        case "":
            ending.over(step, "failed", record.ending.cause if record.ending else "lost_while_placing")
        case "ended" | "finished":
            _ended(step, _verdict(record))
        case _ if record.ending:
            step.do(HangUpLeg(record.ending))
        case "confirmed" if record.phase in _EARLY:
            _picked_up(step, leg.media if leg and leg.media else placing.NOWHERE)
        case _ if leg and leg.media:
            line.agree(step, leg.media)
    if record.is_doubtful:
        step.write(is_doubtful=False)
        step.do(VerifyLeg())


def _verdict(record: CallRecord) -> Ended:
    if record.leg and record.leg.verdict:
        return record.leg.verdict
    return Ended(record.ending.disposition, record.ending.cause, Side.US) if record.ending else HUNG_UP


# ---- the telephone --------------------------------------------------------------------------------------------------


def _telephone(step: CallStep, given: Telephone) -> None:
    phase = step.record.phase
    match given:
        case Ringing() if phase is CallPhase.PLACING:
            step.write(phase=CallPhase.RINGING)
            step.note(Kind.RINGING, after_ms=step.since_placed_ms())
        case EarlyMedia(media=media) if phase in _EARLY:
            line.agree(step, media)
            step.note(Kind.EARLY_MEDIA, after_ms=step.since_placed_ms())
        case Answered(media=media) if phase in _EARLY:
            _picked_up(step, media)
        case Answered() if phase is CallPhase.ENDING and not step.record.answered_s and not step.record.over:
            step.write(answered_s=step.now)  # in the moment in which we gave up: it goes on ending
            step.note(Kind.ANSWERED, after_ms=step.since_placed_ms())
        case MediaChanged(media=media) | Answered(media=media) if phase in UP:
            line.agree(step, media)
            if step.record.silent_since_s:  # from another address, or after a hold: they are waited for anew
                step.write(silent_since_s=step.now)
        case Ended():
            _ended(step, given)
        case LegResumed():
            _catch_up(step)
        case _:
            pass


def _picked_up(step: CallStep, media: Media) -> None:
    step.write(phase=CallPhase.ANSWERED, answered_s=step.now)
    line.agree(step, media)
    step.note(Kind.ANSWERED, after_ms=step.since_placed_ms())
    if step.record.order.is_recorded:
        step.do(StartRecording())
    talk.begin(step)


def _ended(step: CallStep, given: Ended) -> None:
    disposition = given.disposition.value
    if given.by is Side.THEM and step.script is not None and step.record.answered_s and step.record.over is None:
        talk.converse(step, says.HungUp())
        disposition = step.conversation().state.disposition or disposition
    ending.over(step, disposition, given.cause, code=given.code, q850=given.q850, by=given.by.value)


def _heard_or_not(step: CallStep, given: AudioLost | AudioArrived) -> None:
    """Note since when the callee is silent; told again, by a media process that took over, that does not change."""
    if isinstance(given, AudioArrived):
        line.arrived(step, given)
        step.write(silent_since_s=0.0)
    elif not step.record.silent_since_s:
        step.write(silent_since_s=step.now - given.silent_s)


# ---- other processes ------------------------------------------------------------------------------------------------


def _answered(step: CallStep, given: Answer) -> None:
    if (asked := step.answered(given.number)) is None:
        is_wanted = step.is_open(Ask.HEAR) or step.record.listen is not None
        if isinstance(given, Hears) and not is_wanted:
            step.do(StopHearing(given.engine))
        return
    match given:
        case Ready():
            _dial(step, given)
        case NotReady(disposition=disposition, cause=cause):
            ending.over(step, disposition.value, cause)
        case Spoken():
            talk.spoken(step, given, asked)
        case Hears():
            talk.hears(step, given, asked)
        case BusinessAnswered(answer=answer):
            talk.business(step, answer, asked)
        case LineClosed(carried=carried):
            ending.closed(step, carried)
        case NoEngineLeft():
            ending.hang_up(step, Disposition.FAILED, "no_engine")


def _never(step: CallStep, asked: Asked) -> None:
    """Nobody will answer this any more."""
    step.withdraw(asked.what)
    match asked.what:
        case Ask.READY:
            ending.over(step, "failed", "not_ready")
        case Ask.SPEAK | Ask.HEAR:
            ending.hang_up(step, Disposition.FAILED, "no_engine")
        case Ask.FETCH:
            talk.business(step, says.FetchFailed("no_answer"), asked)
        case Ask.CLOSE:
            ending.closed(step, ending.NOTHING_CARRIED)


def _expired(step: CallStep) -> None:
    """A deadline has passed: of a question, of the bot, of the handover, or of a callee who is not heard any more."""
    if (gone_at_s := step.record.gone_at_s) is not None and gone_at_s <= step.now:
        ending.hang_up(step, Disposition.FAILED, "no_audio")
    for asked in step.record.asked:
        if asked.until_s <= step.now and step.is_open(asked.what):
            _never(step, asked)
    record = step.record
    if record.phase is CallPhase.ENDING and record.over is None and record.ending_s + ending.ENDS_S <= step.now:
        cause = record.ending.cause if record.ending else "leg_silent"
        disposition = record.ending.disposition if record.ending else Disposition.FAILED
        ending.over(step, disposition.value, cause, by="us")
    if step.record.phase in UP:
        for outcome in handing.expired(step):
            talk.converse(step, outcome)
        talk.expired(step)


def _seat(step: CallStep, given: SeatTold) -> None:
    """Something has become of a seat: the handover goes on, or the call is over because the agent is."""
    for outcome in handing.told(step, given):
        talk.converse(step, outcome)
    handed = step.record.handover
    if handed is not None and handed.state.stage is Stage.OVER:
        ending.hang_up(step, Disposition.TRANSFERRED, "agent")


def _roster(step: CallStep, given: RosterChanged) -> None:
    if given.is_media_other:
        line.tell(step)
    if given.is_media_new:
        line.tell_link(step)
    step.do(Prepare())
    if step.record.phase not in UP:
        return
    handed = step.record.handover
    if handed is not None and handed.seat and handed.desk not in given.desks:
        _seat(step, SeatTold(SeatLost(), handed.desk, handed.seat))
    elif handed is not None and handed.state.stage is Stage.QUEUED:
        handing.join(step)
    if step.record.phase in (CallPhase.ANSWERED, CallPhase.CONVERSING) and step.script is not None:
        talk.follow_engines(step, given.engines)
        _follow_media(step, is_new=given.is_media_new)


def _follow_media(step: CallStep, *, is_new: bool) -> None:
    """A new media process does not know that the callee was speaking: if they still are, it says so."""
    record = step.record
    if is_new and record.floor.is_speaking:
        talk.heard(step, SpeechEnded(ChannelId(record.order.call_id), record.utterance, step.now))


__all__ = ["HUNG_UP", "READY_S", "Call"]
