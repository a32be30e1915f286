"""Handing one caller over to an agent: `protocols.handover`, with its orders as effects of the call.

What it does: finds a seat, connects its agent, bridges the two, and brings the caller back to the bot when that fails.
What it does not: what the bot says to an outcome. The handover's state is in the record, and every try has a number:
what is said of another try is stale, but a seat that it has found is released.

The agent's side is a channel of its own in the caller's media process, linked to the desk. It is silent until the two
are bridged, so the first frame that the desk writes to the agent's socket is the caller.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, assert_never

from grammars.conversation_state import Enqueue
from nodes.call import line
from nodes.call.effects import Connect, Keep, LateHandover, Reserve, Show, TellDesk, TellDesks, Unlink
from nodes.call.inputs import SeatTold
from nodes.call.record import Ask, CallPhase, CallRecord, Handed
from nodes.call.step import CallStep
from protocols import floor
from protocols import handover as machine
from protocols.handover import Do, HandoverDone, HandoverFailed, HandoverInput
from protocols.machine import Expired
from protocols.replacing import replace
from protocols.wire import desk as wire
from protocols.wire.context import Urgency
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity

PATIENCE_S: Final = 20.0
"""We have called them, and nothing is played meanwhile: after this the bot apologises."""

NO_DESK: Final = Identity("")
_SEEKS: Final = (machine.Stage.REACHING, machine.Stage.QUEUED)
"""No seat is ours in these; an earlier life may have had one."""

Outcome: TypeAlias = HandoverDone | HandoverFailed


def input_of(news: wire.SeatNews) -> HandoverInput:
    """Return what a desk's word means for a handover."""
    match news:
        case wire.SeatFound(seat=seat):
            return machine.SeatReserved(seat)
        case wire.NobodyHere():
            return machine.NobodyHere()
        case wire.SeatAccepted():
            return machine.AgentConfirmed()
        case wire.SeatHears():
            return machine.BridgeMade()
        case wire.SeatFinished():
            return machine.AgentFinished()
        case wire.SeatDeclined() | wire.SeatLost():
            return machine.SeatLost()
        case _:
            assert_never(news)


def deadline(record: CallRecord) -> float | None:
    """Return when `expired` is wanted next."""
    return machine.Handover.of(record.handover.state).deadline if record.handover else None


# ---- what happens --------------------------------------------------------------------------------------------------


def start(step: CallStep, wanted: Enqueue) -> None:
    """Begin a handover: the conversation wants an agent. While one is wanted already, again means nothing."""
    if step.record.handover is not None:
        return
    step.note(Kind.HANDOVER_STARTED, skill=wanted.skill, reason=wanted.reason, urgency=wanted.urgency)
    _begin(step, Handed(wanted, began_s=step.now))


def told(step: CallStep, given: SeatTold) -> list[Outcome]:
    """Take what is said of a seat, or of the search for one; return what the conversation is to be told."""
    handed, is_seat = step.record.handover, isinstance(given.given, machine.SeatReserved)
    ours = handed.seat if handed else ""
    is_other = given.seat != ours or (handed is not None and given.desk != handed.desk)
    is_stale = handed is None or given.number not in (0, handed.number)
    is_second = is_seat and bool(ours) and given.seat == ours and is_other  # whoever has signed in at two desks
    if is_seat and is_other and (is_stale or is_second):
        step.do(TellDesk(given.desk, wire.ReleaseSeat(step.record.order.call_id, given.seat)))
    if is_stale or is_second or (given.seat and not is_seat and is_other):
        return []
    return _step(step, given.given, given.desk)


def expired(step: CallStep) -> list[Outcome]:
    """A latest moment has passed; early, nothing changes. Return what the conversation is to be told."""
    return _step(step, Expired()) if step.record.handover else []


def left(step: CallStep) -> None:
    """Give an agent, or a place in the queue, back: the call is over for the caller."""
    if handed := step.record.handover:
        if handed.state.stage in _SEEKS:
            _give_back(step)
        _step(step, machine.CallerLeft())


def join(step: CallStep) -> None:
    """Wait at every desk; where the caller waits already, they keep their place."""
    wanted = _handed(step).wanted
    step.do(TellDesks(wire.JoinQueue(step.record.order.call_id, wanted.skill, Urgency(wanted.urgency))))


def release_again(step: CallStep) -> None:
    """Give the seat of a handover that is over back in another life: the last one may have written it down only.

    An agent would talk to nobody for ever; a desk frees by itself only what was never bridged, or whose edge has died.
    """
    if (handed := step.record.handover) and handed.released:
        step.do(TellDesk(handed.desk, wire.ReleaseSeat(step.record.order.call_id, handed.released)))
        step.do(Unlink(line.link_of(step.record)))


def resume(step: CallStep) -> None:
    """Go on in another life: with the agent who has the caller, or with another try, which finds the same seat.

    The caller has waited since the first try, so its beginning and its patience stay.
    """
    handed = step.record.handover
    if handed is None or handed.state.stage is machine.Stage.OVER:
        return
    if handed.state.stage is machine.Stage.BRIDGED:
        line.tell_link(step, is_bridged=True)
        step.do(Keep(handed.number, handed.desk, handed.seat))
        return
    _unlink(step)  # the last life may have done more than the record says
    patience = machine.HandoverState(patience_s=handed.state.patience_s)
    before = handed.seat or handed.released
    began_s = handed.began_s or step.now
    _begin(step, Handed(handed.wanted, desk=handed.desk, state=patience, began_s=began_s, released=before))


# ---- what it comes to ----------------------------------------------------------------------------------------------


def _handed(step: CallStep) -> Handed:
    handed = step.record.handover
    assert handed is not None, "orders come between start and outcome only"
    return handed


def _put(step: CallStep, **changes: Any) -> None:
    step.write(handover=replace(_handed(step), **changes))


def _begin(step: CallStep, handed: Handed) -> None:
    """Begin a try of this handover."""
    step.write(phase=CallPhase.HANDING_OVER, handover=replace(handed, number=step.number()))
    _step(step, machine.Start())
    if line.playing(step.record):
        _step(step, machine.TransitionStarted())


def _step(step: CallStep, given: HandoverInput, desk: Identity = NO_DESK) -> list[Outcome]:
    """Step the machine and do what it orders; `desk`: who has said it."""
    handed = _handed(step)
    handover = machine.Handover.of(handed.state, PATIENCE_S)
    events = [notice.event for notice in handover.step(given, step.now)]
    _put(step, state=handover.state)
    return [outcome for event in events if (outcome := _carry_out(step, event, desk))]


def _carry_out(step: CallStep, event: machine.HandoverEvent, desk: Identity) -> Outcome | None:
    match event:
        case machine.Order(do=do, seat=seat):
            _do(step, do, seat, desk)
            return None
        case machine.Late(stage=stage):
            step.do(LateHandover(stage))
            _put(step, is_missed=stage == machine.Stage.CONFIRMING)
            return None
        case HandoverDone():
            _done(step)
        case HandoverFailed(reason=reason):
            _give_back(step)
            step.note(Kind.HANDOVER_FAILED, reason=reason, ms=step.since_ms(_handed(step).began_s), then="bot")
            step.write(phase=CallPhase.CONVERSING, handover=None)
    return event


def _do(step: CallStep, do: Do, seat: str, desk: Identity) -> None:
    handed, call_id = _handed(step), step.record.order.call_id
    match do:
        case Do.RESERVE:
            step.do(Reserve(handed.number, handed.wanted.skill))
        case Do.CONNECT:
            _connect(step, desk, seat)
        case Do.ASK:
            _put(step, asked_s=step.now)
            step.do(TellDesk(handed.desk, wire.OfferCall(call_id, seat, line.link_of(step.record))))
        case Do.BRIDGE:
            _bridge(step)
        case Do.UNBRIDGE:
            _unbridge(step)
        case Do.RELEASE:
            _release(step, desk, seat)
        case Do.JOIN_QUEUE:
            join(step)
        case Do.LEAVE_QUEUE:
            step.do(TellDesks(wire.LeaveQueue(call_id)))
        case Do.PROMISE_CALLBACK:
            step.note(Kind.TAGGED, tag="callback")
        case Do.DONE | Do.FAIL:
            pass  # told as HandoverDone and HandoverFailed


def _connect(step: CallStep, desk: Identity, seat: str) -> None:
    """Connect the leg and show the context, both at once."""
    if (_handed(step).desk, _handed(step).released) != (desk, seat):
        _give_back(step)
    _put(step, desk=desk, seat=seat, released="")
    number = _handed(step).number
    step.do(Connect(number, desk, seat, line.side(step.record, is_bridged=False)))
    step.do(Show(number, desk, seat))


def _bridge(step: CallStep) -> None:
    """Let each hear the other from the next tick on. The link first: it moves into the caller's slot."""
    _put(step, decided_s=step.now)
    step.withdraw(Ask.SPEAK)
    if playing := line.playing(step.record):
        step.note(Kind.PROMPT_ENDED, play_id=playing.play_id, is_cut=True)
    step.floor(floor.PromptEnded())
    line.tell_link(step, is_bridged=True)
    line.want(step, bridge=line.link_of(step.record), playing=None)


def _release(step: CallStep, desk: Identity, seat: str) -> None:
    """Give a seat back; one that came too late was never ours, and whoever brought it is told."""
    handed, call_id = _handed(step), step.record.order.call_id
    if seat != handed.seat:
        step.do(TellDesk(desk, wire.ReleaseSeat(call_id, seat)))
        return
    step.do(TellDesk(handed.desk, wire.ReleaseSeat(call_id, seat, handed.is_missed)))
    _unlink(step)
    is_over = handed.state.stage is machine.Stage.OVER
    step.write(
        handover=replace(
            handed,
            desk=handed.desk if is_over else NO_DESK,
            seat="",
            released=seat if is_over else "",
            asked_s=0.0,
            decided_s=0.0,
            is_missed=False,
        )
    )


def _give_back(step: CallStep) -> None:
    """Give the seat of an earlier life's try back, which this one has not found again."""
    if (handed := _handed(step)).released:
        step.do(TellDesk(handed.desk, wire.ReleaseSeat(step.record.order.call_id, handed.released)))


def _unbridge(step: CallStep) -> None:
    """Have nobody hear the caller any more, where somebody does."""
    if step.record.channel and step.record.channel.bridge:
        line.want(step, bridge=ChannelId(""))


def _unlink(step: CallStep) -> None:
    """Close the agent's side."""
    _unbridge(step)
    step.do(Unlink(line.link_of(step.record)))


def _done(step: CallStep) -> None:
    handed = _handed(step)
    step.write(phase=CallPhase.BRIDGED)
    step.note(
        Kind.HANDOVER_DONE,
        agent_id=handed.seat,
        ms=step.since_ms(handed.decided_s),
        connected_ms=round((handed.asked_s - handed.began_s) * 1000),
        confirmed_ms=round((handed.decided_s - handed.asked_s) * 1000),
    )


__all__ = [
    "PATIENCE_S",
    "Outcome",
    "deadline",
    "expired",
    "input_of",
    "join",
    "left",
    "release_again",
    "resume",
    "start",
    "told",
]
