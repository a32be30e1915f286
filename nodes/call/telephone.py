"""What a call's telephone says, and what its leg's record says that has not been heard: ringing, answered, moved, over.

What it does: brings the call to where its leg is. What it does not: the leg itself, which is another actor's.
"""

from __future__ import annotations

from typing import Final

from grammars import conversation_state as says
from nodes.call import ending, line, moving, placing, talk
from nodes.call.effects import HangUpLeg, StartRecording
from nodes.call.inputs import LegResumed, Telephone
from nodes.call.record import UP, CallPhase, CallRecord
from nodes.call.step import CallStep
from protocols.sip import (
    Answered,
    Disposition,
    EarlyMedia,
    Ended,
    Media,
    MediaChanged,
    OfferRefused,
    Ringing,
    Side,
    TakeoverStage,
)  # fmt: skip
from protocols.wire.events import Kind
from protocols.wire.messages import AudioArrived, AudioLost

HUNG_UP: Final = Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)
"""What a leg that has ended and cannot say how has probably seen."""
EARLY: Final = (CallPhase.PLACING, CallPhase.RINGING)


# ---- what it says ---------------------------------------------------------------------------------------------------


def told(step: CallStep, given: Telephone) -> None:
    """Take what the leg says, in any phase of the call."""
    phase = step.record.phase
    match given:
        case Ringing() if phase is CallPhase.PLACING:
            step.write(phase=CallPhase.RINGING)
            step.note(Kind.RINGING, after_ms=step.since_placed_ms())
        case EarlyMedia(media=media) if phase in EARLY:
            line.agree(step, media)
            step.note(Kind.EARLY_MEDIA, after_ms=step.since_placed_ms())
        case Answered(media=media) if phase in EARLY:
            _picked_up(step, media)
        case Answered() if phase is CallPhase.ENDING and not step.record.answered_s and not step.record.over:
            step.write(answered_s=step.now)  # in the moment in which we gave up: it goes on ending
            step.note(Kind.ANSWERED, after_ms=step.since_placed_ms())
        case MediaChanged(media=media) | Answered(media=media) if phase in UP:
            line.agree(step, media)
            step.write(arrival=None)
            if step.record.silent_since_s:  # from another address, or after a hold: they are waited for anew
                step.write(silent_since_s=step.now)
        case OfferRefused(code=code) if step.record.arrival and phase in UP:
            _refused(step, code)
        case Ended():
            ended(step, given)
        case LegResumed():
            far_end_said(step)
            catch_up(step)
        case _:
            pass


def _picked_up(step: CallStep, media: Media) -> None:
    step.write(phase=CallPhase.ANSWERED, answered_s=step.now, arrival=None)
    line.agree(step, media)
    step.note(Kind.ANSWERED, after_ms=step.since_placed_ms())
    if step.record.order.is_recorded:
        step.do(StartRecording(step.record.n_moves))
    talk.begin(step)


def ended(step: CallStep, given: Ended) -> None:
    """The telephone's side is over, and so is the call; the script may know better how to count it."""
    disposition = given.disposition.value
    if given.by is Side.THEM and step.script is not None and step.record.answered_s and step.record.over is None:
        talk.converse(step, says.HungUp())
        disposition = step.conversation().state.disposition or disposition
    ending.over(step, disposition, given.cause, code=given.code, q850=given.q850, by=given.by.value)


def heard_or_not(step: CallStep, given: AudioLost | AudioArrived) -> None:
    """Note since when the callee is silent; told again, by a media process that took over, that does not change."""
    if isinstance(given, AudioArrived):
        line.arrived(step, given)
        step.write(silent_since_s=0.0)
    elif not step.record.silent_since_s:
        step.write(silent_since_s=step.now - given.silent_s)


# ---- what the leg's record says --------------------------------------------------------------------------------------


def catch_up(step: CallStep) -> None:
    """Take from the leg's record what it may have told to nobody: one of the two has died in between."""
    record, leg = step.record, step.record.leg
    match record.leg_phase:
        case "":
            ending.over(step, "failed", record.ending.cause if record.ending else "lost_while_placing")
        case "ended" | "finished":
            ended(step, _verdict(record))
        case _ if record.ending:
            step.do(HangUpLeg(record.ending))
        case "confirmed" if record.phase in EARLY:
            _picked_up(step, leg.media if leg and leg.media else placing.NOWHERE)
        case _ if leg and leg.media:
            line.agree(step, leg.media)
    if record.is_doubtful:
        step.write(is_doubtful=False)
        moving.verify(step)


def far_end_said(step: CallStep) -> None:
    """Take from the leg's record what the far end has said to a call that comes from another machine."""
    if step.record.arrival is None or step.record.phase not in (*EARLY, *UP):
        return
    match moving.look(step):
        case TakeoverStage.AGREED:
            step.write(arrival=None)
        case TakeoverStage.REFUSED:
            _refused(step, 0)


def _refused(step: CallStep, code: int) -> None:
    """The far end does not want to be with us: it hears the machine that has died, or knows of no call any more."""
    step.write(arrival=None)
    if code == 481:
        return ended(step, Ended(Disposition.COMPLETED, "remote_hangup_during_outage", Side.THEM, code))
    ending.hang_up(step, Disposition.FAILED, "takeover_refused")


def _verdict(record: CallRecord) -> Ended:
    if record.arrival and record.arrival.ended:
        return record.arrival.ended
    if record.leg and record.leg.verdict:
        return record.leg.verdict
    return Ended(record.ending.disposition, record.ending.cause, Side.US) if record.ending else HUNG_UP


__all__ = ["EARLY", "HUNG_UP", "catch_up", "far_end_said", "heard_or_not", "told"]
