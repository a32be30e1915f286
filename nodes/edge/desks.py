"""What a call wants of its desks: seats are asked for, shown what the call is about, kept and given back.

What it does: carries out one effect of a call (`nodes.call.effects`) and returns what came of it, with the desk, the
seat and the number of the try, so that the call knows what is stale. Whoever cannot be reached has lost the seat.
What it does not: know how far a handover is; that is `nodes.call.handing`. The agent's side in the media process is
opened here as well, because the seat is worth nothing without it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from nodes.call.briefing import context
from nodes.call.effects import Connect, Keep, Reserve, Show, TellDesk, TellDesks
from nodes.call.inputs import SeatTold
from nodes.call.record import CallRecord
from nodes.edge.line import serving
from nodes.edge.tries import is_fault
from nodes.links.errors import LinkError, Refused
from nodes.telemetry import logs
from protocols import handover as machine
from protocols.handover import HandoverInput
from protocols.wire.desk import JoinQueue, KeepSeat, OfferCall, ReserveSeat, ShowContext
from protocols.wire.ids import CallId, Identity
from protocols.wire.messages import SetChannel

if TYPE_CHECKING:
    from nodes.edge.services import EdgeServices

log = logs.get(__name__)
KEPT_S: Final = 5.0
"""A desk that is slow to say that a seat is ours has not lost it: caller and agent talk meanwhile."""
ForASeat: TypeAlias = Reserve | Connect | Show | Keep
"""The questions about a seat."""


def tell(services: EdgeServices, effect: TellDesk) -> SeatTold | None:
    """Tell a desk; an offer that does not reach it has lost the seat."""
    message = effect.message
    if services.mesh.tell(effect.desk, message) or not isinstance(message, OfferCall):
        return None
    services.tries.reserve += 1
    return SeatTold(machine.SeatLost(), effect.desk, message.seat)


class Places:
    """One caller's places in the queues of all desks: nobody is there for them only when every desk has said so.

    It is not in the record: whoever goes on with the call joins anew, and every desk says again what it has to say.
    """

    def __init__(self) -> None:
        self._waits_at: set[Identity] = set()

    def tell(self, services: EdgeServices, effect: TellDesks) -> SeatTold | None:
        """Tell every desk that the caller waits, or does not; where there is none there is nobody to wait for."""
        desks = [peer.identity for peer in services.desks()]
        reached = {desk for desk in desks if services.mesh.tell(desk, effect.message)}
        is_joining = isinstance(effect.message, JoinQueue)
        self._waits_at = reached if is_joining else set()
        return SeatTold(machine.NobodyHere()) if is_joining and not reached else None

    def is_news(self, given: SeatTold) -> bool:
        """Say whether the call is to hear this: not that nobody is at one desk while it waits at another."""
        if not isinstance(given.given, machine.NobodyHere) or given.desk not in self._waits_at:
            return True
        self._waits_at.discard(given.desk)
        return not self._waits_at


async def asked(services: EdgeServices, record: CallRecord, effect: ForASeat) -> SeatTold | None:
    """Ask, and return what came of it; None: a seat that is kept has nothing to tell."""
    call_id = record.order.call_id
    match effect:
        case Reserve():
            return await _reserved(services, call_id, effect)
        case Connect():
            link, media = SetChannel(effect.channel), serving(services.roster, record.media)
            return await _told(services, call_id, effect, media, link, machine.LegConnected())
        case Show():
            show = ShowContext(call_id, effect.seat, context(record, _answered_wall(record)))
            return await _told(services, call_id, effect, effect.desk, show, machine.ContextAcknowledged())
        case Keep():
            return await _told(services, call_id, effect, effect.desk, KeepSeat(call_id, effect.seat), None, KEPT_S)
        case _:
            assert_never(effect)


def _answered_wall(record: CallRecord) -> str:
    """Return when the callee has answered, by the clock on the wall."""
    return (datetime.now(UTC) - timedelta(seconds=time.monotonic() - record.answered_s)).isoformat()


async def _reserved(services: EdgeServices, call_id: CallId, effect: Reserve) -> SeatTold:
    """Ask the desks one after the other, those first that have a free agent: the others have nobody to give."""
    answer: HandoverInput = machine.NobodyHere()
    for peer in services.desks(effect.skill):
        ask = ReserveSeat(call_id, effect.skill)
        try:
            reserved = await services.mesh.ask(peer.identity, ask, timeout_s=machine.CONNECTED_S)
        except Refused as refused:
            if refused.reason != "nobody_here":
                answer = machine.SeatRefused()
        except LinkError:
            services.tries.reserve += 1
            answer = machine.SeatRefused()
        else:
            return SeatTold(machine.SeatReserved(reserved.seat), peer.identity, reserved.seat, effect.number)
    return SeatTold(answer, number=effect.number)


async def _told(
    services: EdgeServices,
    call_id: CallId,
    effect: Connect | Show | Keep,
    who: Identity,
    what: Any,
    then: HandoverInput | None,
    within_s: float = machine.CONNECTED_S,
) -> SeatTold | None:
    services.tries.contexts += isinstance(effect, Show)
    try:
        await services.mesh.ask(who, what, timeout_s=within_s)
    except LinkError as error:
        _count(services, effect, error)
        log.warning("handover.seat_lost", call_id=call_id, asked=type(what).__name__, reason=str(error))
        then = machine.SeatLost()
    return SeatTold(then, effect.desk, effect.seat, effect.number) if then else None


def _count(services: EdgeServices, effect: Connect | Show | Keep, error: LinkError) -> None:
    """A seat that was found is lost: another is asked for. A desk that refuses has it no more."""
    match effect:
        case Connect():
            services.tries.link += 1
        case Show():
            services.tries.contexts_lost += 1
            services.tries.reserve += 1
        case Keep():
            services.tries.reserve += is_fault(error)


__all__ = ["ForASeat", "Places", "asked", "tell"]
