"""`ringmaster bench cluster`: what is counted, and how an outage is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nodes.commands.bench_cluster import Seen, after_ms, takeovers
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

BEGAN = datetime(2026, 3, 3, 10, tzinfo=UTC)


def event(n: int, kind: Kind, at_s: float, call: str = "c1", **fields: Value) -> CallEvent:
    wall = BEGAN + timedelta(seconds=at_s)
    return CallEvent(f"e{n}", CallId(call), AttemptId(call), CampaignId("b"), NodeId("n1"), wall, n, kind, fields)


def test_an_event_that_is_told_twice_counts_once() -> None:
    seen = Seen()
    for _ in range(2):
        seen.take(event(1, Kind.ANSWERED, 0.0))
        seen.take(event(2, Kind.HEARD, 1.0))
        seen.take(event(3, Kind.RECOVERED, 2.0, what="call"))
        seen.take(event(4, Kind.ENDED, 3.0, disposition="completed"))
    assert (seen.most_up, seen.n_up, seen.turns[CallId("c1")], len(seen.recovered)) == (1, 0, 1, 1)
    assert seen.lived_s(CallId("c1")) == 3.0


def test_an_engine_that_died_is_no_outage_of_a_call() -> None:
    seen = Seen()
    seen.take(event(1, Kind.RECOVERED, 2.0, what="engine"))
    assert seen.recovered == []


def test_a_takeover_takes_from_the_last_death_of_an_edge() -> None:
    deaths = [BEGAN, BEGAN + timedelta(seconds=10)]
    went_on = [BEGAN + timedelta(seconds=0.25), BEGAN + timedelta(seconds=10.5)]
    assert after_ms(went_on, deaths) == [250.0, 500.0]
    assert after_ms([BEGAN - timedelta(seconds=1)], deaths) == []


def test_when_a_successor_had_the_calls_is_read_from_the_node_s_log() -> None:
    log = ["garbage", '{"event": "edge.active", "calls": 7, "wall": "2026-03-03T10:00:00.250000Z"}', "{}"]
    assert takeovers(log) == [(BEGAN + timedelta(seconds=0.25), 7)]
