"""A callee at a browser (`/phone`): the leg that rings, answers and hangs up through a desk instead of a carrier.

It tells its call the same events as a SIP leg, so that the call does not know the difference. The target is
`browser:<desk>/<seat>`: the desk's identity, and the seat that it gave the page.
"""

from __future__ import annotations

from nodes.call.effects import TakeOverLeg
from nodes.call.placing import NOWHERE, seat_of
from nodes.edge.leg import Leg
from nodes.edge.record_store import RecordStore, UntilKept, at_once
from nodes.links.errors import LinkError
from nodes.mesh.mesh import Mesh
from protocols.sip import Answered, Dial, Disposition, Ended, HangUp, Local, MediaChanged, OfferRefused, Ringing, Side
from protocols.wire import desk as wire
from protocols.wire.ids import ChannelId, Identity
from supervisors import Timer


class BrowserLeg(Leg):
    """The callee's leg of one call, at a browser."""

    def __init__(self, store: RecordStore, mesh: Mesh, until_kept: UntilKept = at_once) -> None:
        self._store, self._mesh, self._until_kept = store, mesh, until_kept
        self._call_id = store.record.order.call_id
        self._desk, self._seat = seat_of(store.record.order.target) or (Identity(""), "")
        self._ringing: Timer | None = None

    def init(self) -> None:
        """Begin: idle, or where the record says that the last life was."""
        ref = self.ref
        self._store.seats[self._seat] = lambda news: ref.tell(BrowserLeg.told, news)
        if self._store.record.browser in ("inviting", "confirmed") and not self._store.record.is_waiting:
            _ = self.task(self._keep())

    def dial(self, local: Local, order: Dial) -> None:
        """Let the page ring."""
        self._store.write(browser="inviting")
        self._ring(order.ring_s)
        ref = self.ref
        self._until_kept(self._store, lambda: ref.tell(BrowserLeg.offer))

    def offer(self) -> None:
        """Others have the record of the call: it may ring, if it is still to."""
        if self._store.record.browser != "inviting":
            return
        if self._mesh.tell(self._desk, wire.OfferCall(self._call_id, self._seat, ChannelId(self._call_id))):
            self._store.happened(Ringing())
        else:
            self._end(Disposition.FAILED, "no_desk", Side.NOBODY)

    def hang_up(self, order: HangUp) -> None:
        """End the call from our side; a page that was never called is left in peace."""
        if self._store.record.browser in ("inviting", "confirmed"):
            self._mesh.tell(self._desk, wire.ReleaseSeat(self._call_id, self._seat))
            self._end(order.disposition, order.cause, Side.US)
        else:
            self.stop()

    def take_over(self, order: TakeOverLeg) -> None:
        """Tell the desk that the call is ours: it has agreed when it says so."""
        _ = self.task(self._take_over(order.is_planned))

    def unanswered(self) -> None:
        """It has rung long enough."""
        self.hang_up(HangUp(Disposition.NO_ANSWER, "ring_limit"))

    def told(self, news: wire.SeatNews) -> None:
        """The desk tells what the page does. A page that is gone has hung up."""
        before = self._store.record.browser
        if before not in ("inviting", "confirmed"):
            return
        match news:
            case wire.SeatAccepted() if before == "inviting":
                self._stop_ringing()
                self._store.write(browser="confirmed")
                self._store.happened(Answered(NOWHERE))
            case wire.SeatDeclined():
                self._end(Disposition.BUSY, "busy", Side.THEM)
            case wire.SeatFinished() | wire.SeatLost() if before == "confirmed":
                self._end(Disposition.COMPLETED, "remote_hangup", Side.THEM)
            case wire.SeatLost():
                self._end(Disposition.NO_ANSWER, "browser_gone", Side.THEM)
            case _:
                pass

    async def _take_over(self, is_planned: bool) -> None:
        if self._store.record.browser != "confirmed":
            return
        try:
            await self._mesh.ask(self._desk, wire.KeepSeat(self._call_id, self._seat))
        except LinkError:
            if is_planned:  # who has the call goes on with it
                self._store.happened(OfferRefused(0))
            else:
                self.ref.tell(BrowserLeg.told, wire.SeatLost(self._call_id, self._seat))
        else:
            self._store.happened(MediaChanged(NOWHERE))

    async def _keep(self) -> None:
        """Say that this process has the call now; an answer that our predecessor did not hear is told again."""
        try:
            await self._mesh.ask(self._desk, wire.KeepSeat(self._call_id, self._seat))
        except LinkError:
            self.ref.tell(BrowserLeg.told, wire.SeatLost(self._call_id, self._seat))
        else:
            self._ring(self._store.record.order.ring_s)

    def _ring(self, ring_s: float) -> None:
        if self._store.record.browser == "inviting":
            self._ringing = self.after(ring_s, BrowserLeg.unanswered)

    def _end(self, disposition: Disposition, cause: str, by: Side) -> None:
        self._stop_ringing()
        self._store.write(browser="ended")
        self._store.happened(Ended(disposition, cause, by))
        self.stop()

    def _stop_ringing(self) -> None:
        if self._ringing:
            self._ringing.cancel()
            self._ringing = None


__all__ = ["BrowserLeg"]
