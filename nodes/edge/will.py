"""A call's last will: what is done for it when nobody can go on with it.

That is when its actors crash again and again, so that their supervisor gives up, and when the whole edge is told to
stop. The callee is hung up on instead of listening to nothing, the port is given back, and the last event says why.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.diary import Diary
from nodes.edge.keeper import Keeper
from nodes.edge.leg import CANNOT_LIVE
from nodes.edge.line import NOTHING_CARRIED, Line
from nodes.edge.seats import give_back
from nodes.telemetry import logs
from protocols.machine import Transmit
from protocols.sip import Disposition, HangUp, Uac
from protocols.wire.events import Kind
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
        """Hang up and say so; also of a call whose tree could not even be started."""
        record = self._keeper.record
        if record.phase is CallPhase.DONE:
            return
        ending = HangUp(Disposition.FAILED, "edge_stopped" if self._means.is_stopping else "crashed")
        if self._keeper.is_dialling and not record.leg_phase and not self._means.is_stopping:
            ending = HangUp(CANNOT_LIVE.disposition, CANNOT_LIVE.cause)
        log.error("call.given_up", call_id=record.order.call_id, cause=ending.cause)
        try:
            self._hang_up(ending)
        finally:  # what its actors have died of may be in the record: that must not cost the port and the last event
            await self._close(record, ending)

    async def _close(self, record: CallRecord, ending: HangUp) -> None:
        line = Line(self._keeper, self._means.mesh)
        line.follow(self._means.roster)
        give_back(self._keeper.record, self._means.mesh, line.media)
        carried = NOTHING_CARRIED if self._means.is_stopping else await line.close()  # media stops at the same moment
        self._keeper.write(phase=CallPhase.DONE)
        spoken_s = time.monotonic() - record.answered_s if record.answered_s else 0.0
        Diary(self._keeper, self._means.node_id, self._means.post).note(
            Kind.ENDED,
            disposition=ending.disposition.value,
            cause=ending.cause,
            by="us",
            duration_s=round(spoken_s, 3),
            recording=carried.recording or None,
        )

    def _hang_up(self, ending: HangUp) -> None:
        """Say goodbye once; nobody is left to say it again."""
        if (leg := self._keeper.record.leg) is None:
            return
        credentials = self._means.trunk.credentials(leg.trunk)
        uac = Uac.resume(leg, time.monotonic(), os.urandom, credentials)
        for effect in uac.step(ending, time.monotonic()):
            if isinstance(effect, Transmit) and effect.to is not None:
                self._means.trunk.send(effect.data, effect.to)


__all__ = ["Will"]
