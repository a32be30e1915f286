"""Call events: strict about what they know, and nothing private in the public view."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.wire.events import FIELDS, CallEvent, Kind, Stage, from_body, public_view, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

VALUES = {
    int: st.integers(0, 2**31), float: st.floats(0, 1e6), str: st.text(max_size=20), bool: st.booleans(),
    dict: st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), list: st.lists(st.text(max_size=5)),
}  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> CallEvent:
    kind = draw(st.sampled_from(Kind))
    needed, allowed = FIELDS[kind]
    chosen = [*needed, *draw(st.sets(st.sampled_from(sorted(allowed))) if allowed else st.just(()))]
    fields = {name: draw(VALUES[(needed | allowed)[name]]) for name in chosen}
    wall = draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    seq = draw(st.integers(1, 10_000))
    return CallEvent("e1", CallId("c1"), AttemptId("a1"), CampaignId("spring"), NodeId("n1"), wall, seq, kind, fields)


@given(events())
def test_an_event_is_the_same_after_json(event: CallEvent):
    assert from_body(json.loads(json.dumps(to_body(event)))) == event


@given(events(), st.data())
def test_an_event_without_a_field_that_must_be_there_is_refused_on_both_sides_and_the_field_is_named(event, data):
    needed = sorted(FIELDS[event.kind][0])
    body = to_body(event)
    name = data.draw(st.sampled_from(needed))
    del body["fields"][name]
    with pytest.raises(RemoteProtocolError, match=f"{event.kind}: {name}|{name} is missing"):
        from_body(body)
    with pytest.raises(LocalProtocolError):
        to_body(replace(event, fields=body["fields"]))


def ringing(**changes: object) -> dict[str, Any]:
    body = {
        "event_id": "e1", "call_id": "c1", "attempt_id": "a1", "campaign_id": "", "node_id": "n1",
        "wall": "2026-03-03T10:00:00+01:00", "seq": 1, "kind": "call.ringing", "fields": {"after_ms": 812},
    }  # fmt: skip
    return body | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "call.sang"}, "kind"),
        ({"seq": 0}, "seq is below 1"),
        ({"seq": "1"}, "seq"),
        ({"wall": "2026-03-03T10:00:00"}, "wall has no offset"),
        ({"wall": "yesterday"}, "wall"),
        ({"fields": {}}, "after_ms is missing"),
        ({"fields": {"after_ms": "812"}}, "after_ms is no int"),
        ({"fields": {"after_ms": True}}, "after_ms is no int"),
        ({"fields": {"after_ms": [[1]]}}, "fields"),
        ({"fields": None}, "fields"),
        ({"event_id": None}, "event_id"),
    ],
)
def test_a_wrong_event_is_refused_with_the_name_of_the_field(changes: dict[str, Any], said: str):
    with pytest.raises(RemoteProtocolError, match=said):
        from_body(ringing(**changes))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=5), x, max_size=3),
        max_leaves=5,
    )
)
def test_no_json_raises_anything_but_a_remote_error(body):
    with pytest.raises(RemoteProtocolError):
        from_body(body)


def test_a_field_of_a_newer_edge_is_kept_and_one_of_our_own_making_is_refused():
    newer = ringing(fields={"after_ms": 812, "codec": "PCMU"})
    event = from_body(newer)
    assert event.fields["codec"] == "PCMU"
    with pytest.raises(LocalProtocolError, match="codec is not known"):
        to_body(event)


def test_a_whole_number_is_a_number():
    heard = {"turn": 1, "words": "yes", "confidence": 1, "count": 1}
    assert from_body(ringing(kind="turn.nomatch", fields=heard)).fields["confidence"] == 1


def test_every_kind_says_what_it_carries():
    assert FIELDS.keys() == set(Kind)
    for needed, allowed in FIELDS.values():
        assert not needed.keys() & allowed.keys()


def test_the_public_view_says_where_and_how_far_and_nothing_else():
    since = datetime(2026, 3, 3, 10, tzinfo=UTC)
    assert public_view(NodeId("n1"), CampaignId("spring"), Stage.RINGING, since) == {
        "node": "n1", "campaign": "spring", "state": "ringing", "since": "2026-03-03T10:00:00+00:00",
    }  # fmt: skip
