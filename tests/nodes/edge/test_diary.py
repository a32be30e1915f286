"""An event of a call, dated and handed on: its number is the record's, its name never repeats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nodes.call.effects import Note
from nodes.edge.diary import tell_spans, write
from nodes.telemetry.trace import of_call
from protocols.wire.events import CallEvent, Kind, Value, from_body, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, NodeId
from protocols.wire.messages import PlaceCall
from tests.nodes.telemetry.sink import telling


def test_an_event_is_named_by_its_call_the_life_of_it_and_its_number() -> None:
    order = PlaceCall(AttemptId("spring.ada.1"), CallId("c1"), "sip:ada@h", b"", campaign_id=CampaignId("spring"))
    posted: list[CallEvent] = []
    write(order, NodeId("n1"), Note(7, Identity("n1.edge-0:f"), 2, Kind.RINGING, {"after_ms": 900}), posted.append)
    (event,) = posted
    assert (event.event_id, event.seq, event.kind, event.fields) == (
        "c1:n1.edge-0:f:2:7", 7, Kind.RINGING, {"after_ms": 900},
    )  # fmt: skip
    assert (event.call_id, event.attempt_id, event.campaign_id) == ("c1", "spring.ada.1", "spring")
    assert event.node_id == "n1"
    assert abs((datetime.now(UTC) - event.wall).total_seconds()) < 60


def test_two_who_tell_the_end_of_one_call_tell_one_event() -> None:
    """An owner that dies with its end told, and an heir that has not heard of it: the stream takes the first."""
    order = PlaceCall(AttemptId("spring.ada.1"), CallId("c1"), "sip:ada@h", b"", campaign_id=CampaignId("spring"))
    posted: list[CallEvent] = []
    for owner, number, cause in (("n1.edge-0:f", 31, "script"), ("n2.edge-0:e", 29, "no_dialog")):
        ended = {"disposition": "completed", "cause": cause, "by": "us", "duration_s": 1.0}
        write(order, NodeId("n1"), Note(number, Identity(owner), 2, Kind.ENDED, ended), posted.append)
    assert [event.event_id for event in posted] == ["c1:ended", "c1:ended"]


# ---- spans --------------------------------------------------------------------------------------------------------

TURN: dict[str, Value] = {"turn": 2, "words": "to my neighbour", "ms": 1500}
ENDS = [
    (Kind.ANSWERED, {"after_ms": 4000}, "dial", 4000),
    (Kind.HEARD, {**TURN, "confidence": 0.9, "rule": "yes_no", "intent": "yes", "slots": {"n": "4271"}}, "turn", 1500),
    (Kind.NOMATCH, TURN, "turn", 1500),
    (Kind.NOINPUT, {"turn": 2, "ms": 1500}, "turn", 1500),
    (Kind.DTMF, {"digit": "7", "turn": 2, "ms": 1500}, "turn", 1500),
    (Kind.RECOVERED, {"what": "node", "gap_ms": 250}, "takeover", 250),
    (Kind.HANDOVER_DONE, {"agent_id": "ann", "ms": 20, "connected_ms": 300, "confirmed_ms": 900}, "handover", 1220),
    (Kind.HANDOVER_FAILED, {"reason": "nobody", "ms": 700}, "handover", 700),
    (Kind.ENDED, {"disposition": "completed", "cause": "script", "duration_s": 9.0, "by": "us", "after_ms": 12000},
     "call", 12000),
]  # fmt: skip


def noted(kind: Kind, fields: dict[str, Value], number: int = 3) -> CallEvent:
    """An event as it is written."""
    posted: list[CallEvent] = []
    order = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@h", b"", campaign_id=CampaignId("spring"))
    write(order, NodeId("n1"), Note(number, Identity("n1.edge-0:f"), 2, kind, fields), posted.append)
    return posted[0]


@pytest.mark.parametrize(("kind", "fields", "name", "ms"), ENDS, ids=[kind.value for kind, *_ in ENDS])
def test_an_event_that_ends_something_tells_its_span_and_none_of_what_was_said(
    kind: Kind, fields: dict[str, Value], name: str, ms: int
) -> None:
    event = noted(kind, fields)
    with telling() as told:
        tell_spans(event)
    (span,) = told
    assert (span.name, round((span.ended_s - span.began_s) * 1000)) == (name, ms)
    assert span.ended_s == event.wall.timestamp()
    assert span.parent == ("" if name == "call" else of_call(CallId("c1")).span_id)
    if name == "turn":
        assert span.at == of_call(CallId("c1")).below("turn", 2)
    assert not {"to my neighbour", "4271", "7"} & {str(value) for value in span.attributes.values()}


@pytest.mark.parametrize(("kind", "fields", "name", "ms"), ENDS, ids=[kind.value for kind, *_ in ENDS])
def test_an_event_that_is_said_again_by_who_goes_on_tells_the_same_span(
    kind: Kind, fields: dict[str, Value], name: str, ms: int
) -> None:
    event = noted(kind, fields)
    with telling() as told:
        tell_spans(event)
    with telling(Identity("n2.edge-0:9")) as again:
        tell_spans(from_body(to_body(event)))
    assert told == again


def test_an_event_of_an_older_edge_that_does_not_say_how_long_it_took_tells_nothing() -> None:
    with telling() as told:
        tell_spans(noted(Kind.NOINPUT, {"turn": 2}))
        tell_spans(noted(Kind.DTMF, {"digit": "7"}))
        tell_spans(noted(Kind.RINGING, {"after_ms": 9}))
    assert told == []
