"""One call: `step(given, now)` takes what happened and returns what is to be done. Its whole state is its record.

    placing -> ringing -> answered -> conversing -> handing_over -> bridged -> ending -> done

A call is made from its record for one step, in whichever process has it: the telephone's leg writes the same record in
between. Every beginning and every recovery is `Resumed`. `deadline` says when `Expired` is wanted, and it follows from
the record, too.

Always, whatever comes (`tests/nodes/call/test_whole_calls.py`): something is awaited or the call is over; the callee is
hung up on once at most; one event ends it; and who goes on from the record goes on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grammars import conversation_state as says
from grammars.script_model import Script
from nodes.call import ending, handing, line, moving, older, placing, talk, telephone
from nodes.call.effects import (
    DialLeg,
    Effect,
    GetReady,
    Prepare,
    Stop,
    StopHearing,
)
from nodes.call.inputs import (
    Answer,
    BusinessAnswered,
    CameBack,
    HangUpOrdered,
    Hears,
    Input,
    Leaving,
    Left,
    LetGo,
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
)
from nodes.call.record import GONE, UP, VERSION, Ask, Asked, CallPhase, CallRecord
from nodes.call.step import CallStep
from protocols.handover import SeatLost, Stage
from protocols.machine import Expired, earliest
from protocols.sip import Disposition
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity
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


TOLD_AGAIN: Final = (SpeechStarted, SpeechEnded, AudioArrived, AudioLost, Hears)
"""What media and engines say once more to the next life of a call: of the callee's utterances the last."""


def may_wait(before: CallRecord, given: Input, effects: Sequence[Effect]) -> bool:
    """Say whether the record of a step may wait for the call's next one before anybody else has it.

    So it is when nobody outside has seen anything of the step, and its input is told again to whoever goes on from the
    record before it: then it is as if it had not been heard. While it is detected who has answered, all utterances
    count, and not only the last.
    """
    return isinstance(given, TOLD_AGAIN) and not effects and before.amd is None


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
        if record.phase in GONE:
            return None
        if record.is_waiting:
            return record.arrival.until_s if record.arrival else None
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
        case _ if phase in GONE:
            pass
        case _ if step.record.is_waiting:
            if moving.is_ours_now(step, given):
                _go_on(step, frozenset(), is_moved=True)
        case Leaving() | LetGo() | CameBack() | Left():
            moving.leave(step, given)
        case Ready() | NotReady() | Spoken() | Hears() | NoEngineLeft() | BusinessAnswered() | LineClosed():
            _answered(step, given)
        case Expired():
            _expired(step)
        case AudioLost() | AudioArrived():
            telephone.heard_or_not(step, given)
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
            telephone.told(step, given)


# ---- a life begins --------------------------------------------------------------------------------------------------


def _resume(step: CallStep, given: Resumed) -> None:
    """Begin, or go on from the record, at this machine or another one: the one recovery path."""
    record, moved = step.record, given.moved
    if record.phase in GONE:
        return step.do(Stop())
    is_new = not record.placed_s and not record.leg_phase  # nobody has had it
    if record.version < VERSION and not is_new:
        step.record = older.grown(record, step.script, step.now)
    step.write(version=VERSION)
    if is_new and moved is None:
        step.write(owner=given.owner, epoch=given.epoch, placed_s=step.now)
        step.note(Kind.PLACING, script=step.script.hash if step.script else "")
        return _place(step, is_refused=given.is_refused)
    step.live(given.owner, given.epoch)
    if moved.is_planned if moved else record.is_waiting:
        return moving.wait(step, moved)
    if moving.is_anothers(record):
        return moving.give_back(step, 0)
    if moved and not (moving.is_saved(record) or moving.is_reachable(record)):
        return moving.lose(step, moved)
    if moved:
        moving.settle(step, moved)
    _go_on(step, given.engines, is_refused=given.is_refused, is_moved=moved is not None)


def _go_on(step: CallStep, engines: frozenset[Identity], *, is_refused: bool = False, is_moved: bool = False) -> None:
    """Go on from the record. `is_moved`: at another machine than the last that had it."""
    was_open = {one.what for one in step.record.asked}
    step.write(asked=())
    if step.record.phase is CallPhase.ENDING:
        step.write(ending_s=step.now)  # each life waits anew for its leg
        handing.release_again(step)
    if not is_moved:
        line.want(step)  # from this life: media tells it again what the last one may not have heard
        telephone.far_end_said(step)
    if step.record.over is not None:
        return ending.close_again(step)
    if step.record.ending is None:
        step.note(Kind.RECOVERED, what="call", phase=step.record.phase.value)
        if not step.record.leg_phase and step.record.channel is None:
            return _place(step, is_refused=is_refused)  # nobody has been dialled
    telephone.catch_up(step)
    if is_moved:
        moving.begin_again(step)
    if is_refused and step.record.phase in telephone.EARLY:
        ending.hang_up(step, Disposition.REJECTED, "do_not_call")  # they came on the list when nobody had this call
    if step.script is not None and step.record.phase in UP:
        handing.resume(step)
        talk.resume(step, was_open, engines)


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
        case NoEngineLeft(cause=cause):
            ending.hang_up(step, Disposition.FAILED, cause)


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


__all__ = ["READY_S", "Call", "may_wait"]
