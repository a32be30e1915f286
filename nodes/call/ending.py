"""How a call ends: hung up on, or over; then the port is given back, and the last event is said, once."""

from __future__ import annotations

from typing import Final

from nodes.call import handing
from nodes.call.effects import CloseLine, HangUpLeg, Stop, StopHearing
from nodes.call.record import Ask, CallPhase, Over
from nodes.call.step import CallStep
from protocols.sip import Disposition, HangUp
from protocols.wire.events import Kind
from protocols.wire.messages import ChannelClosed

CLOSED_S: Final = 5.0
"""Closing publishes the recording; who is asked for it gives up after three seconds."""
ENDS_S: Final = 45.0
"""A leg that is told to hang up has ended well within this (RFC 3261: 64*T1 is 32 s)."""
NOTHING_CARRIED: Final = ChannelClosed(0, 0, 0, 0, 0.0)


def hang_up(step: CallStep, disposition: Disposition, cause: str) -> None:
    """End the call from our side; one that is ending goes on ending."""
    record = step.record
    if record.phase in (CallPhase.ENDING, CallPhase.DONE):
        return
    handing.left(step)
    step.withdraw(*Ask)
    if not record.leg_phase and record.channel is None:  # nobody has been dialled: there is no leg to wait for
        return over(step, disposition.value, cause, by="us")
    ending = HangUp(disposition, cause)
    step.write(phase=CallPhase.ENDING, ending=ending, ending_s=step.now, listen=None)
    step.do(HangUpLeg(ending))


def over(step: CallStep, disposition: str, cause: str, code: int = 0, q850: int = 0, by: str = "nobody") -> None:
    """Note how it has ended, once, and have the port given back before that is said."""
    if step.record.over is not None:
        return
    handing.left(step)
    how = Over(disposition, cause, step.now, code, q850, by)
    step.write(phase=CallPhase.ENDING, ending_s=step.now, listen=None, asked=(), over=how)
    close_again(step)


def close_again(step: CallStep) -> None:
    """Have the port given back, in whatever life of the call this is; an engine that still listens need not."""
    if (channel := step.record.channel) is None:
        return closed(step, NOTHING_CARRIED)
    if channel.engine:
        step.do(StopHearing(channel.engine))
    step.do(CloseLine(step.ask(Ask.CLOSE, CLOSED_S), channel.channel_id))


def closed(step: CallStep, carried: ChannelClosed) -> None:
    """Say the last event; then nothing is left of the call but its recording."""
    record = step.record
    how = record.over
    assert how is not None, "a line is closed when the call is over"
    step.write(phase=CallPhase.DONE, asked=())
    step.note(
        Kind.ENDED, disposition=how.disposition, cause=how.cause, by=how.by,
        code=how.code or None, q850=how.q850 or None,
        duration_s=round(how.at_s - record.answered_s, 3) if record.answered_s else 0.0,
        sent=carried.sent, received=carried.received, lost=carried.lost, late=carried.late,
        jitter_ms=carried.jitter_ms, recording=carried.recording or None,
        part=record.n_moves if carried.recording and record.n_moves else None,
        turns=record.conversation.n_turns if record.conversation else None,
        recognition_ms=record.recognition_ms or None,
        after_ms=step.since_placed_ms() if record.placed_s else None,
    )  # fmt: skip
    if record.leg_phase not in ("ended", "finished"):  # it has never dialled, or only after we had given it up
        step.do(HangUpLeg(HangUp(Disposition(how.disposition), how.cause)))
    step.do(Stop())


__all__ = ["CLOSED_S", "ENDS_S", "NOTHING_CARRIED", "close_again", "closed", "hang_up", "over"]
