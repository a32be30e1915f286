"""A call's last will: what is done for it when nobody can go on with it.

That is when its actors crash again and again, so that their supervisor gives up, and when the whole edge is told to
stop. The callee is hung up on instead of listening to nothing, the port is given back, and the last event says why.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nodes.call import ending
from nodes.call.effects import GiveBack, Note
from nodes.call.line import link_of
from nodes.call.placing import seat_of
from nodes.call.record import GONE, CallPhase, CallRecord, Over
from nodes.call.step import CallStep
from nodes.edge.diary import write
from nodes.edge.leg import CANNOT_LIVE
from nodes.edge.line import close_channel, unlink
from nodes.edge.record_store import RecordStore
from nodes.telemetry import logs
from protocols.machine import Transmit
from protocols.sip import Disposition, HangUp, Uac
from protocols.wire.desk import ReleaseSeat
from protocols.wire.ids import ChannelId
from supervisors import Actor, Exit

if TYPE_CHECKING:
    from nodes.edge.services import EdgeServices

log = logs.get(__name__)


class Will(Actor):
    """The first child of a call's tree, and so the last that is stopped. A call that came to its end leaves nothing."""

    def __init__(self, store: RecordStore, services: EdgeServices) -> None:
        self._store, self._services = store, services

    async def terminate(self, reason: Exit) -> None:
        """Carry it out, unless the call is over."""
        await self.carry_out()

    async def carry_out(self) -> None:
        """Hang up and say so, also of a call whose tree could not even be started; one that was over ends as it was."""
        record = self._store.record
        if record.phase in GONE or self._store.is_silent():
            return
        if record.is_waiting:
            return self._give_back()
        how = record.over or self._given_up(record)
        log.error("call.given_up", call_id=record.order.call_id, cause=how.cause)
        try:
            self.hang_up()
        finally:  # what its actors have died of may be in the record: that must not cost the port and the last event
            await self._close(record, how)

    def _give_back(self) -> None:
        """Tell who has the call that it does not come here: they have it still, and nothing of it ends."""
        services, record = self._services, self._store.record
        log.error("call.not_moved", call_id=record.order.call_id)
        unlink(services, record.media, ChannelId(record.order.call_id))
        self._store.write(phase=CallPhase.MOVED)
        services.moving(record.order.call_id, GiveBack(0))

    def _given_up(self, record: CallRecord) -> Over:
        disposition, cause = Disposition.FAILED, "edge_stopped" if self._services.is_stopping else "crashed"
        if self._store.is_dialling and not record.leg_phase and not self._services.is_stopping:
            disposition, cause = CANNOT_LIVE.disposition, CANNOT_LIVE.cause
        return Over(disposition.value, cause, time.monotonic(), by="us")

    async def _close(self, record: CallRecord, how: Over) -> None:
        services, carried = self._services, ending.NOTHING_CARRIED
        give_back(services, record)
        if record.channel is not None and not services.is_stopping:  # media stops at the same moment
            carried = await close_channel(services, record.media, record.channel.channel_id)
        step = CallStep(replace(self._store.record, owner=services.mesh.identity, over=how), None, time.monotonic())
        ending.closed(step, carried)
        self._store.put(step.record)
        for effect in step.effects:
            if isinstance(effect, Note):
                write(record.order, services.node_id, effect, services.post)

    def hang_up(self) -> None:
        """Say goodbye once; nobody is left to say it again."""
        if (leg := self._store.record.leg) is None:
            return
        credentials = self._services.trunk.credentials(leg.trunk)
        uac = Uac.resume(leg, time.monotonic(), os.urandom, credentials)
        for effect in uac.step(HangUp(Disposition.FAILED, "given_up"), time.monotonic()):
            if isinstance(effect, Transmit) and effect.to is not None:
                self._services.trunk.send(effect.data, effect.to)


def give_back(services: EdgeServices, record: CallRecord) -> None:
    """Give back every seat that a call has, its callee's own at a browser too: nobody goes on with the call."""
    call_id, handed = record.order.call_id, record.handover
    if handed and handed.seat:
        services.mesh.tell(handed.desk, ReleaseSeat(call_id, handed.seat))
        unlink(services, record.media, link_of(record))
    if browser := seat_of(record.order.target):
        services.mesh.tell(browser[0], ReleaseSeat(call_id, browser[1]))


__all__ = ["Will", "give_back"]
