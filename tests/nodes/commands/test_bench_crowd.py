"""What `bench crowd` makes of what it has seen, without a node."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nodes.commands.bench_crowd import NOMATCH, TURN_MS, has_collapsed
from nodes.commands.crowd import Row, Window, mean_up, row_of
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


def event(call: str, kind: Kind, at_s: float) -> CallEvent:
    wall = NOON + timedelta(seconds=at_s)
    return CallEvent(f"{call}{kind}{at_s}", CallId(call), AttemptId(call), CampaignId(""), NodeId("n1"), wall, 1, kind)


WINDOW = Window(
    wanted=3, refused=1, capacity=2.0, began_s=1000.0, ended_s=1010.0, began=NOON, ended=NOON + timedelta(seconds=10),
    cpu_s={"edge-0": 1.0, "speech-0": 2.0, "callees": 5.0, "bench": 0.5}, load=1.0, scheduler="SCHED_RR",
)  # fmt: skip
EVENTS = [
    event("a", Kind.ANSWERED, -5), event("b", Kind.ANSWERED, 5), event("a", Kind.HEARD, 1), event("a", Kind.HEARD, 2),
    event("b", Kind.HEARD, 9), event("a", Kind.NOMATCH, 3), event("a", Kind.NOMATCH, 11), event("a", Kind.ENDED, 11),
]  # fmt: skip
LIVED = [
    {"answered_s": [995.0, 1001.0, 1002.0, 1011.0], "answers_ms": [9000, 200, 300, 9000], "gaps": [(1001.0, 80.0)]},
    {"answered_s": [1009.0], "answers_ms": [9000], "gaps": [(1012.0, 900.0)]},
]


def test_calls_are_up_from_their_answer_to_their_end() -> None:
    assert mean_up(EVENTS, WINDOW.began, WINDOW.ended) == pytest.approx(1.5)
    assert mean_up(EVENTS, NOON + timedelta(seconds=10), NOON + timedelta(seconds=12)) == pytest.approx(1.5)


def test_a_row_is_of_what_happened_in_its_window_without_the_first_answer_of_a_call() -> None:
    row = row_of(WINDOW, EVENTS, LIVED)
    assert (row.turns, row.nomatch_share, row.gap_max_ms) == (4, 0.25, 80.0)
    assert (row.turn_p50_ms, row.turn_p95_ms) == (250.0, 295.0)


def test_what_a_call_costs_is_the_nodes_processes_without_the_callees_and_the_bench() -> None:
    row = row_of(WINDOW, EVENTS, LIVED)
    assert row.cpu_s_per_call_min == pytest.approx(3.0 / (1.5 * 10 / 60))
    assert row.by_process["callees"] == pytest.approx(5.0 / (1.5 * 10 / 60))


def test_a_row_collapses_by_late_answers_or_by_words_that_are_understood_less_than_in_the_best_row() -> None:
    row: Row = replace(row_of(WINDOW, EVENTS, LIVED), nomatch_share=0.05)
    late, deaf = replace(row, turn_p95_ms=TURN_MS + 1), replace(row, nomatch_share=0.05 + NOMATCH * 1.1)
    silent = replace(row, turn_p95_ms=None)
    rows = [row, late, deaf, silent]
    assert [has_collapsed(each, rows) for each in rows] == [False, True, True, True]
