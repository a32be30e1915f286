"""What `bench takeover` makes of what callees have lived through, without a node; and what it refuses."""

from __future__ import annotations

import pytest

from nodes.commands.bench_takeover import PROMISES_MS, SCRIPT, NoSuchKind, broken_promises, takeover
from nodes.commands.scripts import check_script
from nodes.commands.takeover import ECHO_S, Hit, figures, gaps, lost
from protocols.wire.ids import CallId

HITS = [Hit("edge_node_ms", "n1", 100.0), Hit("mass", "n2", 200.0)]


def report(call: str, began_s: float, ended_s: float, *longest: tuple[float, float]) -> dict[str, object]:
    return {
        "call_id": call, "answered": True, "cause": "remote_hangup", "first_packet_s": began_s, "ended_s": ended_s,
        "last_packet_s": ended_s - 0.02, "longest": [*longest],
    }  # fmt: skip


def test_a_gap_counts_for_the_fault_in_whose_echo_it_was_over() -> None:
    heard = report("a", 90.0, 300.0, (99.9, 500.0), (100.4, 180.0), (101.5, 21.0), (200.3, 420.0), (230.0, 900.0))
    assert gaps([heard], HITS, "edge_node_ms") == [180.0]
    assert gaps([heard], HITS, "mass") == [420.0]


def test_a_call_that_was_not_up_at_a_fault_says_nothing_about_it() -> None:
    before, after = report("a", 10.0, 99.0, (98.0, 20.0)), report("b", 101.0, 150.0, (102.0, 20.0))
    never = report("c", 0.0, 150.0)
    assert gaps([before, after, never], HITS, "edge_node_ms") == []


def test_a_call_that_nobody_goes_on_with_has_the_longest_gap_there_is() -> None:
    assert gaps([report("a", 90.0, 300.0, (106.5, 6400.0))], HITS, "edge_node_ms") == [ECHO_S * 1000]


def test_an_upgrade_is_heard_as_long_as_it_lasts() -> None:
    upgrade = Hit("upgrade_ms", "n1", 100.0, lasts_s=30.0)
    assert gaps([report("a", 90.0, 300.0, (125.0, 60.0), (131.0, 900.0))], [upgrade], "upgrade_ms") == [60.0]
    assert lost([report("a", 90.0, 129.0)], [upgrade], [CallId("a")], 200.0) == ["a"]


def test_who_hung_up_after_a_fault_has_lost_the_call_and_who_did_at_the_end_has_not() -> None:
    calls = [report("early", 90.0, 102.0), report("late", 90.0, 205.0), report("done", 90.0, 150.0)]
    placed = [CallId("early"), CallId("late"), CallId("done"), CallId("unknown")]
    assert lost(calls, HITS, placed, left_s=204.0) == ["early", "unknown"]
    assert lost([*calls, report("unknown", 1.0, 2.0) | {"answered": False}], HITS, placed, 204.0) == ["early"]


def test_promises_are_those_of_the_design_and_nothing_measured_keeps_none() -> None:
    assert list(PROMISES_MS.values()) == [100, 100, 250, 3250, 500, 100, 100]
    nothing = figures([])
    assert broken_promises({"edge_node_ms": nothing, "lost": 0}) == ["edge_node_ms"]
    assert broken_promises({"mass": {"max_ms": 499.0, "n": 100}, "lost": 2}) == ["lost"]


def test_its_script_can_be_rehearsed() -> None:
    assert "code" in check_script(str(SCRIPT)).script.slots


def test_a_kind_that_is_not_measured_is_named() -> None:
    with pytest.raises(NoSuchKind, match="--kinds dragons: there are edge_process_ms"):
        takeover("dragons", SCRIPT.parent, as_json=True)
