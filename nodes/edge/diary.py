"""The call's events: numbered, dated, and handed to the bus, which keeps them until the stream has them.

An event's id is call, epoch and number. The epoch rises with every resume, so that what a successor says never carries
the id of something its predecessor said and did not get to write down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from nodes.edge.keeper import Keeper
from nodes.telemetry import logs
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import NodeId

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Diary:
    """Writes one call's events. `post` takes them at once and keeps their order."""

    keeper: Keeper
    node_id: NodeId
    post: Callable[[CallEvent], None]

    def note(self, kind: Kind, **fields: Value | None) -> None:
        """Write one event, now. What fields a kind has is said in `protocols/wire/events.py`; None is left out."""
        record = self.keeper.record
        number = record.n_events + 1
        self.keeper.write(n_events=number)
        order = record.order
        self.post(
            CallEvent(
                event_id=f"{order.call_id}:{record.epoch}:{number}",
                call_id=order.call_id,
                attempt_id=order.attempt_id,
                campaign_id=order.campaign_id,
                node_id=self.node_id,
                wall=datetime.now(UTC),
                seq=number,
                kind=kind,
                fields={name: value for name, value in fields.items() if value is not None},
            )
        )
        log.info(kind.value, call_id=order.call_id, campaign_id=order.campaign_id or None)

    def since_placed_ms(self) -> int:
        """Return whole milliseconds since the order was taken."""
        return round((time.monotonic() - self.keeper.record.placed_s) * 1000)


__all__ = ["Diary"]
