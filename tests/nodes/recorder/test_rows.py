"""A message of the streams becomes a row, or a dead letter, and never an exception."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.recorder.rows import Share, row_of
from nodes.recorder.store import TABLES
from protocols.wire import events, journal
from protocols.wire.campaigns import ContactId, Plan, attempt_id
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.journal import CampaignPhase
from protocols.wire.subjects import Stream, call_event, stream_of, stream_subject

AT = datetime.fromisoformat("2026-03-03T12:00:00+01:00")
SPRING, ADA = CampaignId("spring"), ContactId("ada")
ATTEMPT = attempt_id(SPRING, ADA, 1)


def ringing(attempt: AttemptId = ATTEMPT) -> bytes:
    event = CallEvent("e1", CallId("c1"), attempt, SPRING, NodeId("n1"), AT, 1, Kind.RINGING, {"after_ms": 812})
    return msgspec.json.encode(events.to_body(event))


def test_an_event_is_a_row() -> None:
    row = row_of(Stream.EVENTS, 1, ringing())
    assert row is not None
    assert (row.table, row.values["fields"]) == ("events", {"after_ms": 812})


@pytest.mark.parametrize(
    ("entry", "table"),
    [
        (journal.Attempted(SPRING, ADA, ATTEMPT, 1, AT, "", "form-7", ("consent",)), "ledger"),
        (journal.Ended(SPRING, ADA, ATTEMPT, "busy", "486", AT), "outcomes"),
        (journal.Returned(SPRING, ADA, ATTEMPT, "node_full", AT), "outcomes"),
        (journal.Refused(SPRING, ADA, "consent", AT), "refusals"),
        (journal.Imported(SPRING, "i", Plan(), "flow: x", AT, journal.RollRef("roll.spring.1", "SHA-256=x", 1)), None),
        (journal.Steered(SPRING, CampaignPhase.RUNNING, AT), None),
    ],
)
def test_of_the_journal_the_ledger_keeps_decisions_and_no_numbers(entry: journal.Entry, table: str | None) -> None:
    row = row_of(Stream.CAMPAIGN, 1, msgspec.json.encode(journal.to_body(entry)))
    assert (row.table if row else None) == table
    assert row is None or set(TABLES[row.table]) <= set(row.values)


@given(st.sampled_from(Stream), st.binary(max_size=60) | st.just(b"[" * 100_000) | st.just(b'{"kind": "attempt"}'))
def test_no_bytes_raise_and_what_cannot_be_read_is_kept(stream: Stream, data: bytes) -> None:
    row = row_of(stream, 7, data)
    assert row is not None
    assert row.table == "dead_letters"
    assert row.values["letter_id"] == f"{stream}/7"


@given(st.sampled_from((1, 2, 4, 8)), st.integers(1, 99))
def test_what_is_said_of_an_attempt_is_kept_by_the_recorder_of_its_events_and_by_no_other(
    n_streams: int, n: int
) -> None:
    attempt = attempt_id(SPRING, ADA, n, n_streams)
    data = msgspec.json.encode(journal.to_body(journal.Attempted(SPRING, ADA, attempt, n, AT, "", "f", ("consent",))))
    kept = [k for k in range(n_streams) if row_of(Stream.CAMPAIGN, 1, data, Share(k, n_streams))]
    assert kept == [stream_of(attempt)]
    subject = call_event(CallId(attempt), "call.ended")
    assert subject.startswith(stream_subject(kept[0], n_streams)[:-1])
    refused = msgspec.json.encode(journal.to_body(journal.Refused(SPRING, ADA, "consent", AT)))
    assert [k for k in range(n_streams) if row_of(Stream.CAMPAIGN, 1, refused, Share(k, n_streams))] == [0]
    letters = [k for k in range(n_streams) if row_of(Stream.CAMPAIGN, 1, b"?", Share(k, n_streams))]
    assert letters == [0]
