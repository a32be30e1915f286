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
from nodes.edge.keeper import Keeper
from nodes.edge.leg import CANNOT_LIVE
from nodes.edge.line import close_channel, unlink
from nodes.telemetry import logs
from protocols.machine import Transmit
from protocols.sip import Disposition, HangUp, Uac
from protocols.wire.desk import ReleaseSeat
from protocols.wire.ids import ChannelId
from supervisors import Actor, Exit

if TYPE_CHECKING:
    from nodes.edge.means import Means

log = logs.get(__name__)


class Will(Actor):
    """The first child of a call's tree, and so the last that is stopped. A call that came to its end leaves nothing."""

    def __init__(self, keeper: Keeper, means: Means) -> None:
        self._keeper, self._means = keeper, means

    async def terminate(self, reason: Exit) -> None:
        """Carry it out, unless the call is over."""
        await self.carry_out()

    async def carry_out(self) -> None:
        """Hang up and say so, also of a call whose tree could not even be started; one that was over ends as it was."""
        record = self._keeper.record
        if record.phase in GONE or self._keeper.is_silent():
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
        means, record = self._means, self._keeper.record
        log.error("call.not_moved", call_id=record.order.call_id)
        unlink(means, record.media, ChannelId(record.order.call_id))
        self._keeper.write(phase=CallPhase.MOVED)
        means.moving(record.order.call_id, GiveBack(0))

    def _given_up(self, record: CallRecord) -> Over:
        disposition, cause = Disposition.FAILED, "edge_stopped" if self._means.is_stopping else "crashed"
        if self._keeper.is_dialling and not record.leg_phase and not self._means.is_stopping:
            disposition, cause = CANNOT_LIVE.disposition, CANNOT_LIVE.cause
        return Over(disposition.value, cause, time.monotonic(), by="us")

    async def _close(self, record: CallRecord, how: Over) -> None:
        means, carried = self._means, ending.NOTHING_CARRIED
        give_back(means, record)
        if record.channel is not None and not means.is_stopping:  # media stops at the same moment
            carried = await close_channel(means, record.media, record.channel.channel_id)
        step = CallStep(replace(self._keeper.record, owner=means.mesh.identity, over=how), None, time.monotonic())
        ending.closed(step, carried)
        self._keeper.put(step.record)
        for effect in step.effects:
            if isinstance(effect, Note):
                write(record.order, means.node_id, effect, means.post)

    def hang_up(self) -> None:
        """Say goodbye once; nobody is left to say it again."""
        if (leg := self._keeper.record.leg) is None:
            return
        credentials = self._means.trunk.credentials(leg.trunk)
        uac = Uac.resume(leg, time.monotonic(), os.urandom, credentials)
        for effect in uac.step(HangUp(Disposition.FAILED, "given_up"), time.monotonic()):
            if isinstance(effect, Transmit) and effect.to is not None:
                self._means.trunk.send(effect.data, effect.to)


def give_back(means: Means, record: CallRecord) -> None:
    """Give back every seat that a call has, its callee's own at a browser too: nobody goes on with the call."""
    call_id, handed = record.order.call_id, record.handover
    if handed and handed.seat:
        means.mesh.tell(handed.desk, ReleaseSeat(call_id, handed.seat))
        unlink(means, record.media, link_of(record))
    if browser := seat_of(record.order.target):
        means.mesh.tell(browser[0], ReleaseSeat(call_id, browser[1]))


__all__ = ["Will", "give_back"]
