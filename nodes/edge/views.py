"""The calls of this edge as everybody may see them: phase and campaign, no word and no number.

What it does: notices a change of phase in the records that are written, and shows it. What it does not: wait for
anything; a call goes on whether or not anybody can see it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from nodes.bus.bus import Bus
from nodes.call.record import CallPhase
from nodes.edge.record_store import RecordStore
from nodes.links.view import View
from protocols.wire.events import Stage, public_view
from protocols.wire.ids import CallId, NodeId
from protocols.wire.subjects import Bucket


class Views:
    """The public view of all calls of one edge."""

    def __init__(self, bus: Bus, node_id: NodeId) -> None:
        self._node_id = node_id
        self.figures = bus.figures
        self._view = View(bus, Bucket.CALLS)
        self._phases: dict[CallId, CallPhase] = {}

    async def run(self) -> None:
        """Write the bucket, for ever, once this edge is active; what a predecessor left behind is removed."""
        await self._view.run(lambda body: body.get("node") == self._node_id)

    def wrote(self, store: RecordStore) -> None:
        """A record has changed; a call that another machine has still is shown by that one."""
        if store.record.is_waiting:
            return
        call_id, phase = store.record.order.call_id, store.record.phase
        if self._phases.get(call_id) is phase:
            return
        if phase is CallPhase.DONE:
            if self._phases.pop(call_id, None):
                self._view.hide(call_id)
        elif phase is CallPhase.MOVED:
            self._phases.pop(call_id, None)
            self._view.leave(call_id)  # another machine shows it from now on
        else:
            self._phases[call_id] = phase
            campaign = store.record.order.campaign_id
            self._view.show(call_id, public_view(self._node_id, campaign, Stage(phase.value), datetime.now(UTC)))


__all__ = ["Views"]
