"""An event of a call, dated and handed on: its number is the record's, its name never repeats."""

from __future__ import annotations

from datetime import UTC, datetime

from nodes.call.effects import Note
from nodes.edge.diary import write
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, NodeId
from protocols.wire.messages import PlaceCall


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
