"""`ringmaster bench cluster`: what is counted, and how an outage is told."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from nodes.commands.sessions import Moment, Seen, after_ms, recorded, takeovers
from nodes.recorder.rows import row_of
from nodes.recorder.store import Store
from protocols.wire.events import CallEvent, Kind, Value, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.subjects import Stream

BEGAN = datetime(2026, 3, 3, 10, tzinfo=UTC)


def event(n: int, kind: Kind, at_s: float, call: str = "c1", **fields: Value) -> CallEvent:
    wall = BEGAN + timedelta(seconds=at_s)
    return CallEvent(f"e{n}", CallId(call), AttemptId(call), CampaignId("b"), NodeId("n1"), wall, n, kind, fields)


def at(seconds: float, node: str = "n1", n_calls: int = 1) -> Moment:
    return Moment(node, BEGAN + timedelta(seconds=seconds), n_calls)


def test_an_event_that_is_told_twice_counts_once() -> None:
    seen = Seen()
    for _ in range(2):
        seen.take(event(1, Kind.ANSWERED, 0.0))
        seen.take(event(2, Kind.HEARD, 1.0))
        seen.take(event(3, Kind.RECOVERED, 2.0, what="call"))
        seen.take(event(4, Kind.ENDED, 3.0, disposition="completed"))
    assert (seen.most_up, seen.n_up, seen.turns[CallId("c1")], len(seen.recovered)) == (1, 0, 1, 1)
    assert seen.lived_s(CallId("c1")) == 3.0
    assert seen.lost() == []


def test_who_did_not_come_to_the_end_of_the_script_is_lost() -> None:
    seen = Seen()
    seen.take(event(1, Kind.ANSWERED, 0.0, "c1"))
    seen.take(event(2, Kind.ANSWERED, 0.0, "c2"))
    seen.take(event(3, Kind.ENDED, 3.0, "c2", disposition="failed"))
    assert seen.lost() == ["c1", "c2"]


def test_an_engine_that_died_is_no_outage_of_a_call() -> None:
    seen = Seen()
    seen.take(event(1, Kind.RECOVERED, 2.0, what="engine"))
    assert seen.recovered == []


def test_a_takeover_takes_from_the_last_death_of_an_edge_of_its_node() -> None:
    deaths = [at(0.0), at(9.9, "n2"), at(10.0)]
    assert after_ms([at(0.25, n_calls=7), at(10.5, n_calls=8)], deaths) == [(250.0, 7), (500.0, 8)]
    assert after_ms([at(-1.0), at(1.0, "n3")], deaths) == []


def test_when_a_successor_had_the_calls_is_read_from_the_nodes_log() -> None:
    """The first of each name follows nobody: a node may have several."""

    def active(edge: str, calls: int, seconds: float) -> str:
        told = {"event": "edge.active", "node_id": "n1", "process": edge, "calls": calls, "wall": at(seconds).wall}
        return json.dumps(told, default=str)

    log = [active("edge-0", 0, 0.0), active("edge-1", 0, 0.1), "garbage", active("edge-0", 7, 0.25), "{}"]
    assert takeovers(log) == [at(0.25, n_calls=7)]


def test_a_number_that_no_event_bears_is_an_event_that_was_lost(tmp_path: Path) -> None:
    rang: dict[str, Value] = {"after_ms": 9}
    told = [event(n, Kind.RINGING, n, **rang) for n in (1, 2, 4)]
    told += [replace(event(1, Kind.RINGING, 0.0, "c2", **rang), event_id="other")]
    rows = [row_of(Stream.EVENTS, n, msgspec.json.encode(to_body(one))) for n, one in enumerate(told, 1)]
    with closing(Store(tmp_path / "events.duckdb")) as store:
        store.write([row for row in rows if row])
    found = recorded(tmp_path / "events.duckdb", {"e1", "e2", "never stored"})
    assert (found.ids, found.n_missing) == ({"e1", "e2", "e4", "other"}, 1)


def test_what_the_listener_has_missed_is_known_from_the_recorder(tmp_path: Path) -> None:
    """Events are told once, and not at all while NATS is away: a call whose end nobody heard was not lost."""
    ended = event(2, Kind.ENDED, 3.0, disposition="completed", cause="script", duration_s=3.0, by="us")
    row = row_of(Stream.EVENTS, 1, msgspec.json.encode(to_body(ended)))
    assert row
    with closing(Store(tmp_path / "events.duckdb")) as store:
        store.write([row])
    seen = Seen()
    seen.take(event(1, Kind.ANSWERED, 0.0))
    for one in recorded(tmp_path / "events.duckdb", seen.ids).unheard:
        seen.take(one)
    assert (seen.lost(), seen.n_up, seen.lived_s(CallId("c1"))) == ([], 0, 3.0)
