"""The call's events: dated, and handed to the bus, which keeps them until the stream has them.

An event's id is call, owner, epoch and number. Numbers rise within a life of the call, epochs with each life in one
process, and a process is never another: so whoever goes on, and from however old a record, never gives an id again.
A call's end is named by the call alone: there is one, and an owner that dies in the moment in which it has told it
leaves an heir that tells another. The stream and the recorder keep the first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from nodes.call.effects import Note
from nodes.telemetry import logs
from protocols.wire.events import TRANSCRIPT, CallEvent, Kind
from protocols.wire.ids import NodeId
from protocols.wire.messages import PlaceCall

log = logs.get(__name__)


def write(order: PlaceCall, node_id: NodeId, note: Note, post: Callable[[CallEvent], None]) -> None:
    """Date one event of a call and hand it on. `post` takes it at once and keeps the order."""
    life = "ended" if note.kind is Kind.ENDED else f"{note.owner}:{note.epoch}:{note.number}"
    event = CallEvent(
        event_id=f"{order.call_id}:{life}",
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
    tell = log.debug if note.kind in TRANSCRIPT else log.info  # turn by turn it is the stream's to tell
    tell(note.kind.value, call_id=order.call_id, campaign_id=order.campaign_id or None)


__all__ = ["write"]
