"""The call's events: dated, and handed to the bus, which keeps them until the stream has them.

An event's id is call, owner, epoch and number. Numbers rise within a life of the call, epochs with each life in one
process, and a process is never another: so whoever goes on, and from however old a record, never gives an id again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from nodes.call.effects import Note
from nodes.telemetry import logs
from protocols.wire.events import CallEvent
from protocols.wire.ids import NodeId
from protocols.wire.messages import PlaceCall

log = logs.get(__name__)


def write(order: PlaceCall, node_id: NodeId, note: Note, post: Callable[[CallEvent], None]) -> None:
    """Date one event of a call and hand it on. `post` takes it at once and keeps the order."""
    event = CallEvent(
        event_id=f"{order.call_id}:{note.owner}:{note.epoch}:{note.number}",
        call_id=order.call_id,
        attempt_id=order.attempt_id,
        campaign_id=order.campaign_id,
        node_id=node_id,
        wall=datetime.now(UTC),
        seq=note.number,
        kind=note.kind,
        fields=note.fields,
    )
    post(event)
    log.info(note.kind.value, call_id=order.call_id, campaign_id=order.campaign_id or None)


__all__ = ["write"]
