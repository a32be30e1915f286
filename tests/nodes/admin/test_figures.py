"""What processes and calls of a node come to, as Prometheus text."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nodes.admin.figures import Events, of_processes
from nodes.admin.node import Process
from nodes.telemetry import metrics
from protocols.wire.events import CallEvent, Kind, Value, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

NODE = NodeId("n1")
WORDS = [
    "calls",
    "calls_ringing",
    "bus_up",
    "late_ms",
    "late_p99_ms",
    "mesh_late",
    "trunk_breakers_open",
    "of tomorrow",
]


def process(name: str, state: str = "active", answers: bool = True, **figures: float) -> Process:
    return Process(name, name.rpartition("-")[0], state, 1, answers, figures)


def series(*processes: Process) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what is told; fails where a series is told twice."""
    samples = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(of_processes(processes).decode())
        for sample in family.samples
    ]
    assert max(Counter(key for key, _ in samples).values(), default=1) == 1
    return dict(samples)


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


def test_figures_are_told_by_process_in_base_units_and_with_the_labels_of_their_words() -> None:
    told = series(process("edge-0", late_ms=350.0, calls=3.0, calls_ringing=2.0, fetch_breakers_opened=1.0))
    assert told["ringmaster_edge_late_seconds", labels(process="edge-0")] == 0.35
    assert told["ringmaster_edge_calls", labels(process="edge-0")] == 3
    assert told["ringmaster_edge_phase_calls", labels(process="edge-0", phase="ringing")] == 2
    assert told["ringmaster_breakers_opened_total", labels(process="edge-0", what="fetch")] == 1


def test_spares_that_bear_the_name_of_the_active_one_are_counted_and_not_told_as_the_same_series() -> None:
    spares = [process("edge-0", "spare", answers, bus_up=0.0) for answers in (True, False)]
    told = series(process("edge-0", bus_up=1.0), *spares)
    assert told["ringmaster_bus_up", labels(process="edge-0")] == 1
    for state, there, silent in (("active", 1, 0), ("spare", 2, 1)):
        assert told["ringmaster_processes", labels(process="edge-0", state=state)] == there
        assert told["ringmaster_processes_silent", labels(process="edge-0", state=state)] == silent


def test_the_machines_run_queue_is_told_beside_its_cores() -> None:
    told = series()
    assert told["ringmaster_machine_run_queue", labels()] >= 1, "we run"
    assert told["ringmaster_machine_cores", labels()] == os.cpu_count()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.builds(
            Process, st.sampled_from(["edge-0", "edge-1", "media-0"]), st.sampled_from(["edge", "media", "new"]),
            st.sampled_from(["active", "spare"]), st.just(1), st.booleans(),
            st.dictionaries(st.sampled_from(WORDS) | st.text(), st.floats(allow_nan=False)),
        )
    )
)  # fmt: skip
def test_whatever_processes_say_is_text_with_no_series_twice(processes: list[Process]) -> None:
    assert all(name.startswith("ringmaster_") for name, _ in series(*processes))


@pytest.mark.parametrize(
    ("duration_s", "by", "cause", "answered", "lost"),
    [
        (0.0, "us", "busy", 0, 0),
        (12.5, "them", "bye", 1, 0),
        (12.5, "us", "script", 1, 0),
        (12.5, "us", "node_lost", 1, 1),
    ],
)
def test_an_answered_call_whose_end_nobody_wanted_is_lost(
    duration_s: float, by: str, cause: str, answered: int, lost: int
) -> None:
    def counts() -> tuple[float, ...]:
        names = ("calls_answered_total", "calls_lost_total")
        return tuple(metrics.REGISTRY.get_sample_value(f"ringmaster_{name}") or 0.0 for name in names)

    fields: dict[str, Value] = {"disposition": "human", "cause": cause, "duration_s": duration_s, "by": by}
    before = counts()
    Events(NODE).take(to_body(CallEvent(
        "e1", CallId("c1"), AttemptId("a1"), CampaignId(""), NODE, datetime.now(UTC), 1, Kind.ENDED, fields,
    )))  # fmt: skip
    assert counts() == (before[0] + answered, before[1] + lost)
