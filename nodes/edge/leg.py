"""The callee's leg: what every one can do, and the SIP one, the actor around `protocols.sip.Uac`.

The leg is what keeps the telephone connected. It knows no conversation and no audio; when it crashes it goes on from
the record that it wrote before its last effects, and the far end sees nothing but a retransmission.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nodes.call.effects import TakeOverLeg
from nodes.call.inputs import LegResumed
from nodes.edge.record_store import RecordStore, UntilKept, at_once
from nodes.edge.trunk import Endpoint, Trunk
from protocols.machine import Effect, Expired, Notify, Transmit
from protocols.replacing import replace
from protocols.sip import (
    Dial,
    Disposition,
    Ended,
    Finished,
    HangUp,
    LegEvent,
    Local,
    Offer,
    Received,
    Renumber,
    Request,
    Response,
    Side,
    TakeOver,
    Uac,
)  # fmt: skip
from supervisors import Actor, Exit

if TYPE_CHECKING:
    from protocols.machine import Address


CANNOT_LIVE: Final = Ended(Disposition.INVALID, "leg_crashed", Side.US)
"""How a call ends whose leg dies of being told to dial."""


class Leg(Actor):
    """The callee's leg of one call. Ends by itself once nothing more will be sent or wanted."""

    def dial(self, local: Local, order: Dial) -> None:
        """Call the callee: `Ringing`, `Answered`, `Ended` and their like go to the store's `happened`."""
        raise NotImplementedError

    def hang_up(self, order: HangUp) -> None:
        """End it, whatever it is doing; `Ended` comes to the call. A leg that never dialled ends."""
        raise NotImplementedError

    def take_over(self, order: TakeOverLeg) -> None:
        """Tell the far end that we are here now: `MediaChanged`, `OfferRefused` or `Ended` comes to the call."""
        raise NotImplementedError

    def renumber(self, cseq: int, version: int) -> None:
        """Count on from above these; where nothing is counted, nothing changes."""

    def let_go(self) -> None:
        """End without a word to the far end: it goes on elsewhere."""
        self.stop()


class SipLeg(Leg, Endpoint):
    """A leg at the end of a trunk: carries its machine's effects to the wire and its events to the call."""

    def __init__(self, store: RecordStore, trunk: Trunk, until_kept: UntilKept = at_once) -> None:
        self._store, self._trunk, self._until_kept = store, trunk, until_kept
        self._uac: Uac | None = None

    def init(self) -> None:
        """Begin: idle, or where the record says that the last life was."""
        if (record := self._store.record.leg) is not None:
            credentials = self._trunk.credentials(record.trunk)
            uac = self._live(Uac.resume(record, time.monotonic(), os.urandom, credentials))
            self.wake(uac.deadline)
            self._store.happened(LegResumed())
        elif self._store.is_dialling:  # the last life died of the order, before it had sent anything
            self._store.happened(CANNOT_LIVE)

    def terminate(self, reason: Exit) -> None:
        """The trunk need not look for us any more."""
        if self._uac:
            self._trunk.detach(self._uac.sip_call_id, self.ref)

    def dial(self, local: Local, order: Dial) -> None:
        """Send the INVITE, from this address."""
        trunk = self._trunk.name_of(order.target)
        self._live(Uac(local, os.urandom, self._trunk.credentials(trunk)))
        self._step(replace(order, trunk=trunk))

    def hang_up(self, order: HangUp) -> None:
        """CANCEL while it rings, BYE once it is answered; `Ended` comes to the call. A leg that never dialled ends."""
        if self._uac is None:
            self.stop()
        else:
            self._step(order)

    def take_over(self, order: TakeOverLeg) -> None:
        """Send a re-INVITE that says where we are; who knows of no call any more says so (481)."""
        self._step(TakeOver(order.local, order.listening, order.is_planned, order.asks_nobody))

    def renumber(self, cseq: int, version: int) -> None:
        """Count requests and descriptions on from above these."""
        self._step(Renumber(cseq, version))

    def offer(self, order: Offer) -> None:
        """Re-negotiate: a new address for our media, or hold."""
        self._step(order)

    def received(self, message: Request | Response, source: Address) -> None:
        """A message of this leg has arrived from `source`."""
        self._step(Received(message, source))

    def expired(self) -> None:
        """The machine's deadline has passed."""
        self._step(Expired())

    def _live(self, uac: Uac) -> Uac:
        self._uac = uac
        self._trunk.attach(uac.sip_call_id, self.ref)
        return uac

    def _step(self, given: Dial | HangUp | Offer | TakeOver | Renumber | Received | Expired) -> None:
        if self._uac is None:
            return
        effects = self._uac.step(given, time.monotonic())
        self._store.write(leg=self._uac.record)  # others have it before anybody outside has seen any of it
        last = [one for one in effects if isinstance(one, Transmit) or one.event == Finished()]
        if last:
            ref = self.ref
            self._until_kept(self._store, lambda: ref.tell(SipLeg.send, last))
        for effect in effects:
            if isinstance(effect, Notify) and effect not in last:
                self._store.happened(effect.event)
        self.wake(self._uac.deadline)

    def send(self, effects: Sequence[Effect[LegEvent]]) -> None:
        """Others have the record: send these, and end after the last of all."""
        for effect in effects:
            match effect:
                case Transmit(data=data, to=to) if to is not None:
                    if not self._store.is_silent():  # what is held back is sent again, as if it had been lost
                        self._trunk.send(data, to)
                case Notify():
                    self.stop()
                case _:
                    pass


__all__ = ["CANNOT_LIVE", "Leg", "SipLeg"]
