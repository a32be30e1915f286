"""Handing one caller over to an agent: carries out what `protocols.handover` orders, and tells it what came of it.

A plain object of the call's actor, which gives it one thing at a time. Its work beside the handlers (asking a desk,
asking media) comes back to the actor as inputs, with the desk and the seat they are about: what is said of a seat that
is ours no more means nothing. What a successor needs is in the record: what is wanted, and the seat.

The agent's side is a channel of its own in the caller's media process, linked to the desk. It is silent until the two
are bridged, so the first frame that the desk writes to the agent's socket is the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeAlias, assert_never

from grammars.conversation_state import Enqueue
from grammars.conversation_state import Phase as Talk
from nodes.call.record import CallPhase, CallRecord, Handed
from nodes.edge.briefing import context
from nodes.edge.diary import Diary
from nodes.edge.keeper import Keeper
from nodes.edge.line import Line
from nodes.edge.seats import link_of, side
from nodes.links.errors import LinkError, Refused
from nodes.links.mesh import Mesh
from nodes.links.roster import NOBODY, Roster
from nodes.telemetry import logs
from protocols import handover as machine
from protocols.handover import Do, HandoverDone, HandoverFailed, HandoverInput
from protocols.wire import desk as wire
from protocols.wire.context import Urgency
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import CloseChannel, SetChannel

log = logs.get(__name__)
PATIENCE_S: Final = 20.0
"""We have called them, and nothing is played meanwhile: after this the bot apologises."""

NO_DESK: Final = Identity("")

Outcome: TypeAlias = HandoverDone | HandoverFailed
Tell: TypeAlias = Callable[[HandoverInput, Identity, str], object]
"""Hands an input, the desk and the seat it is about to the call's actor, which gives it to `step`."""


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


class Handing:
    """One call's handovers, one after the other. `spawn` runs work beside the handlers of this life of the call."""

    def __init__(
        self,
        keeper: Keeper,
        line: Line,
        diary: Diary,
        mesh: Mesh,
        tell: Tell,
        spawn: Callable[[Coroutine[object, None, None]], object],
    ) -> None:
        self._keeper, self._line, self._diary, self._mesh = keeper, line, diary, mesh
        self._tell, self._spawn = tell, spawn
        self._machine: machine.Handover | None = None
        self._roster = NOBODY
        self._began_s = self._asked_s = self._decided_s = 0.0
        self._is_missed = False
        self._link = link_of(keeper.record)

    @property
    def deadline(self) -> float | None:
        """When `step(Expired())` is wanted next."""
        return self._machine.deadline if self._machine else None

    @property
    def is_finished(self) -> bool:
        """Whether agent or caller have ended it: nobody wants the call any more."""
        return self._machine is not None and self._machine.stage is machine.Stage.OVER

    @property
    def _record(self) -> CallRecord:
        return self._keeper.record

    @property
    def _handed(self) -> Handed:
        handed = self._record.handover
        assert handed is not None, "orders come between start and outcome only"
        return handed

    # ---- what happens ----------------------------------------------------------------------------------------------

    def start(self, wanted: Enqueue) -> None:
        """The conversation wants an agent; while one is on the way, again means nothing."""
        if self._machine and self._machine.stage is not machine.Stage.RETURNED:
            return
        self._machine, self._began_s = machine.Handover(PATIENCE_S), time.monotonic()
        if self._record.handover is None:
            fields = {"skill": wanted.skill, "reason": wanted.reason, "urgency": wanted.urgency}
            self._diary.note(Kind.HANDOVER_STARTED, **fields)
        self._keeper.write(phase=CallPhase.HANDING_OVER, handover=Handed(wanted))
        self.step(machine.Start())
        if self._line.channel and self._line.channel.playing:
            self.step(machine.TransitionStarted())

    def step(self, given: HandoverInput, desk: Identity = NO_DESK, seat: str = "") -> list[Outcome]:
        """Take one input; return what the conversation is to be told."""
        if self._machine is None:
            return []
        ours = self._record.handover.seat if self._record.handover else ""
        if seat and seat != ours and not isinstance(given, machine.SeatReserved):
            return []
        events = [effect.event for effect in self._machine.step(given, time.monotonic())]
        return [outcome for event in events if (outcome := self._carry_out(event, desk))]

    def left(self) -> None:
        """The call is over for the caller; an agent, or a place in the queue, is given back."""
        self.step(machine.CallerLeft())

    def resume(self, talk: Talk) -> None:
        """Go on after a takeover: with the agent who has the caller, or anew, which finds the same seat."""
        handed = self._record.handover
        if handed is None or self._machine is not None:
            return
        if talk is Talk.WITH_AGENT:
            self._machine, self._began_s = machine.Handover.bridged(handed.seat), time.monotonic()
            self._set_link(is_bridged=True)
            self._spawn(self._keep(handed.desk, handed.seat))
        elif talk is Talk.HANDING_OVER:
            self._line.want(bridge=ChannelId(""))
            self._mesh.tell(self._line.media, CloseChannel(self._link))
            self.start(handed.wanted)

    def follow(self, roster: Roster, is_new_media: bool) -> list[Outcome]:
        """Take the launcher's word: our desk may have died, our media may have a new incarnation."""
        self._roster = roster
        handed = self._record.handover
        if self._machine is None or handed is None:
            return []
        if is_new_media:
            self.tell_link()
        if handed.desk and roster.by_identity(handed.desk) is None:
            return self.step(machine.SeatLost())
        if self._machine.stage is machine.Stage.QUEUED:
            self._join()
        return []

    def tell_link(self) -> None:
        """Say once more what we want of the agent's side, if there is one."""
        if self._machine and self._record.handover and self._record.handover.seat:
            self._set_link(is_bridged=bool(self._line.channel and self._line.channel.bridge))

    # ---- what is to be done ----------------------------------------------------------------------------------------

    def _carry_out(self, event: machine.HandoverEvent, desk: Identity) -> Outcome | None:
        match event:
            case machine.Order(do=do, seat=seat):
                self._do(do, seat, desk)
            case machine.Late(stage=stage):
                log.warning("handover.late", call_id=self._record.order.call_id, stage=stage)
                self._is_missed = stage == "confirming"
            case HandoverDone():
                self._done()
                return event
            case HandoverFailed(reason=reason):
                self._keeper.write(phase=CallPhase.CONVERSING, handover=None)
                self._diary.note(Kind.HANDOVER_FAILED, reason=reason, ms=_ms(self._began_s), then="bot")
                return event
        return None

    def _do(self, do: Do, seat: str, desk: Identity) -> None:
        match do:
            case Do.RESERVE:
                self._spawn(self._reserve(self._handed.wanted.skill))
            case Do.CONNECT:
                self._connect(desk, seat)
            case Do.ASK:
                self._asked_s = time.monotonic()
                self._to_desk(wire.OfferCall(self._record.order.call_id, seat, self._link))
            case Do.BRIDGE:
                self._bridge()
            case Do.UNBRIDGE:
                self._line.want(bridge=ChannelId(""))
            case Do.RELEASE:
                self._release(desk, seat)
            case Do.JOIN_QUEUE:
                self._join()
            case Do.LEAVE_QUEUE:
                for peer in self._roster.active("desk"):
                    self._mesh.tell(peer.identity, wire.LeaveQueue(self._record.order.call_id))
            case Do.PROMISE_CALLBACK:
                self._diary.note(Kind.TAGGED, tag="callback")
            case Do.DONE | Do.FAIL:
                pass  # told as HandoverDone and HandoverFailed

    async def _reserve(self, skill: str) -> None:
        """Ask the desks one after the other."""
        answer: HandoverInput = machine.NobodyHere()
        for peer in self._roster.active("desk"):
            ask = wire.ReserveSeat(self._record.order.call_id, skill)
            try:
                reserved = await self._mesh.ask(peer.identity, ask, timeout_s=machine.CONNECTED_S)
            except Refused as refused:
                if refused.reason != "nobody_here":
                    answer = machine.SeatRefused()
            except LinkError:
                answer = machine.SeatRefused()
            else:
                self._tell(machine.SeatReserved(reserved.seat), peer.identity, reserved.seat)
                return
        self._tell(answer, NO_DESK, "")

    def _connect(self, desk: Identity, seat: str) -> None:
        """Connect the leg and show the context, both at once."""
        self._keeper.write(handover=replace(self._handed, desk=desk, seat=seat))
        link = SetChannel(side(self._record, self._mesh.identity, is_bridged=False))
        show = wire.ShowContext(self._record.order.call_id, seat, context(self._record))
        self._spawn(self._ask(self._line.media, link, machine.LegConnected(), (desk, seat)))
        self._spawn(self._ask(desk, show, machine.ContextAcknowledged(), (desk, seat)))

    async def _keep(self, desk: Identity, seat: str) -> None:
        try:
            await self._mesh.ask(desk, wire.KeepSeat(self._record.order.call_id, seat))
        except LinkError as error:
            log.warning("handover.seat_lost", call_id=self._record.order.call_id, reason=str(error))
            self._tell(machine.SeatLost(), desk, seat)

    async def _ask(self, who: Identity, what: Any, then: HandoverInput, is_for: tuple[Identity, str]) -> None:
        try:
            await self._mesh.ask(who, what, timeout_s=machine.CONNECTED_S)
        except LinkError as error:
            log.warning("handover.not_connected", call_id=self._record.order.call_id, reason=str(error))
            then = machine.SeatLost()
        self._tell(then, *is_for)

    def _bridge(self) -> None:
        """Let each hear the other from the next tick on. The link first: it moves into the caller's slot."""
        self._decided_s = time.monotonic()
        if (channel := self._line.channel) and channel.playing:
            self._diary.note(Kind.PROMPT_ENDED, play_id=channel.playing.play_id, is_cut=True)
        self._set_link(is_bridged=True)
        self._line.want(bridge=self._link, playing=None)

    def _release(self, desk: Identity, seat: str) -> None:
        """Give a seat back; one that came too late was never ours."""
        handed = self._record.handover
        is_ours = handed is not None and handed.seat == seat
        to = handed.desk if handed and is_ours else desk
        self._mesh.tell(to, wire.ReleaseSeat(self._record.order.call_id, seat, self._is_missed))
        self._is_missed = False
        if handed and is_ours:
            self._line.want(bridge=ChannelId(""))
            self._mesh.tell(self._line.media, CloseChannel(self._link))
            self._keeper.write(handover=Handed(handed.wanted))

    def _join(self) -> None:
        wanted, desks = self._handed.wanted, self._roster.active("desk")
        for peer in desks:
            join = wire.JoinQueue(self._record.order.call_id, wanted.skill, Urgency(wanted.urgency))
            self._mesh.tell(peer.identity, join)
        if not desks:
            self._tell(machine.NobodyHere(), NO_DESK, "")

    def _done(self) -> None:
        self._keeper.write(phase=CallPhase.BRIDGED)
        self._diary.note(
            Kind.HANDOVER_DONE,
            agent_id=self._handed.seat,
            ms=_ms(self._decided_s),
            connected_ms=round((self._asked_s - self._began_s) * 1000),
            confirmed_ms=round((self._decided_s - self._asked_s) * 1000),
        )

    def _to_desk(self, message: wire.OfferCall) -> None:
        if not self._mesh.tell(self._handed.desk, message):
            self._tell(machine.SeatLost(), self._handed.desk, self._handed.seat)

    def _set_link(self, is_bridged: bool) -> None:
        self._mesh.tell(self._line.media, SetChannel(side(self._record, self._mesh.identity, is_bridged)))


def _ms(since_s: float) -> int:
    return round((time.monotonic() - since_s) * 1000)


__all__ = ["Handing", "Outcome", "input_of"]
