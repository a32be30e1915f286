"""The call's events: dated, and handed to the bus, which keeps them until the stream has them.

An event's id is call, owner, epoch and number. Numbers rise within a life of the call, epochs with each life in one
process, and a process is never another: so whoever goes on, and from however old a record, never gives an id again.
A call's end is named by the call alone: there is one, and an owner that dies in the moment in which it has told it
leaves an heir that tells another. The stream and the recorder keep the first.

An event that is the end of something tells its span, too, from what is in the event alone. So whoever goes on with a
call and says its last events again tells their spans again, and they are the same: a killed process costs a tree
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nodes.call.effects import Effect, Note
from nodes.call.record import CallPhase, CallRecord
from nodes.telemetry import logs, spans
from protocols.wire.events import TRANSCRIPT, CallEvent, Kind
from protocols.wire.ids import NodeId
from protocols.wire.messages import PlaceCall

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Ends:
    """What a kind of event ends: a span as long as these fields together, in milliseconds, with these attributes."""

    span: spans.SpanName
    ms: tuple[str, ...]
    tells: tuple[str, ...] = ()


_TURN: Final = _Ends("turn", ("ms",), ("turn", "state", "rule", "intent", "confidence"))
_SPANS: Final = {
    Kind.ANSWERED: _Ends("dial", ("after_ms",)),
    Kind.HEARD: _TURN,
    Kind.NOMATCH: _TURN,
    Kind.NOINPUT: _TURN,
    Kind.DTMF: _TURN,
    Kind.RECOVERED: _Ends("takeover", ("gap_ms",), ("what", "phase")),
    Kind.HANDOVER_DONE: _Ends("handover", ("ms", "connected_ms", "confirmed_ms"), ("agent_id",)),
    Kind.HANDOVER_FAILED: _Ends("handover", ("ms",), ("reason",)),
    Kind.ENDED: _Ends("call", ("after_ms",), ("disposition", "cause", "by", "code", "turns")),
}


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


def tell_spans(event: CallEvent) -> None:
    """Tell the span that this event is the end of, if it is one's."""
    ends, fields = _SPANS.get(event.kind), event.fields
    if ends is None or (ends is not _SPANS[Kind.ENDED] and ends.ms[0] not in fields):
        return
    ended_s, ms = event.wall.timestamp(), sum(ms for name in ends.ms if isinstance(ms := fields.get(name), int))
    told = {name: value for name in ends.tells if isinstance(value := fields.get(name), str | int | float | bool)}
    turn = fields.get("turn") if ends is _TURN else None
    number = turn if isinstance(turn, int) else event.seq
    spans.tell(
        ends.span, event.call_id, ended_s - ms / 1000, ended_s, number=number,
        attributes={"campaign_id": event.campaign_id, "outcome": event.kind.value, **told},
    )  # fmt: skip


def turn_told(before: CallRecord, after: CallRecord, effects: Sequence[Effect]) -> int | None:
    """Return the turn that this step of a call has brought to its end, and told; None: it has not.

    A question that is left without an answer has no event (the callee hangs up, a machine has answered): its span is
    told here.
    """
    was, now = before.listen, after.listen
    if was is None or after.phase is CallPhase.MOVED or (now is not None and now.turn == was.turn):
        return None
    if not any(isinstance(one, Note) and one.fields.get("turn") == was.turn for one in effects):
        told: dict[str, spans.Attribute] = {"turn": was.turn, "outcome": "left"}
        began_s, ended_s = spans.wall_s(before.listen_s), time.time()
        spans.tell("turn", before.order.call_id, began_s, ended_s, number=was.turn, attributes=told)
    return was.turn


__all__ = ["tell_spans", "turn_told", "write"]
