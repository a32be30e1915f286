"""The calls of this edge as everybody may see them: phase and campaign, no word and no number.

What it does: notices a change of phase in the records that are written, and shows it. What it does not: wait for
anything; a call goes on whether or not anybody can see it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.call.record import CallPhase
from nodes.config import FIRST_EDGE
from nodes.edge.record_store import RecordStore
from nodes.links.view import View
from protocols.wire.events import Stage, public_view
from protocols.wire.ids import CallId, NodeId
from protocols.wire.subjects import Bucket


class Views:
    """The public view of all calls of one edge.

    Those of the first edge of a node are shown without its name, so that they are what they were when nodes had one.
    """

    def __init__(
        self, bus: Bus, node_id: NodeId, edge: str = FIRST_EDGE, edges: Collection[str] = (FIRST_EDGE,)
    ) -> None:
        """`edge`: our name; `edges`: those of all edges of our node."""
        self._node_id, self._edge, self._edges = node_id, edge, edges
        self.figures = bus.figures
        self._view = View(bus, Bucket.CALLS)
        self._phases: dict[CallId, CallPhase] = {}

    async def run(self) -> None:
        """Write the bucket, for ever, once this edge is active; what a predecessor left behind is removed.

        The first edge removes what those have left that the node does not have any more.
        """
        await self._view.run(self._is_ours)

    def _is_ours(self, body: Body) -> bool:
        edge = body.get("edge", FIRST_EDGE)
        is_ours = edge == self._edge or (self._edge == FIRST_EDGE and edge not in self._edges)
        return body.get("node") == self._node_id and is_ours

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
            edge = {} if self._edge == FIRST_EDGE else {"edge": self._edge}
            shown = public_view(self._node_id, campaign, Stage(phase.value), datetime.now(UTC))
            self._view.show(call_id, shown | edge)


__all__ = ["Views"]
