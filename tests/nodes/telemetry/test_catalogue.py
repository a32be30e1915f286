"""The table of metrics: it fits what feeds it, and Prometheus's conventions."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from grammars.tables import table
from nodes.telemetry.catalogue import PREFIX, Elsewhere, Metric, MetricKind, OfEvent, OfFigure, metrics, of_figure
from protocols.agent import Seat
from protocols.wire.events import FIELDS
from protocols.wire.roles import COUNTED

ROOT = Path(__file__).parents[3]
ROWS = list(metrics().values())
EVENTS = [(row, row.source) for row in ROWS if isinstance(row.source, OfEvent)]
FIGURES = [(row, row.source) for row in ROWS if isinstance(row.source, OfFigure)]


def named(given: object) -> str:
    return given.name.removeprefix(PREFIX) if isinstance(given, Metric) else ""


def test_a_metric_has_one_row() -> None:
    assert len(ROWS) == len(table("nodes.telemetry", "metrics"))


def test_the_whole_table_is_clean_by_prometheuss_own_linter() -> None:
    registry, kinds = CollectorRegistry(), {"counter": Counter, "gauge": Gauge}
    for row in ROWS:
        more = {"buckets": row.bounds} if row.kind is MetricKind.HISTOGRAM else {}
        made = kinds.get(row.kind, Histogram)(row.name, row.help, row.labels, registry=registry, **more)
        one = made.labels(*row.labels) if row.labels else made
        one.observe(1) if isinstance(one, Histogram) else one.inc()
    text = generate_latest(registry)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_a_row_says_what_it_counts_and_what_that_means(row: Metric) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", row.help)
    assert re.fullmatch(r"[A-Z0-9`].*\.", row.means)
    assert (row.kind is MetricKind.COUNTER) == row.name.endswith("_total")
    assert (row.kind is MetricKind.HISTOGRAM) == bool(row.bounds)
    assert list(row.bounds) == sorted(set(row.bounds))


@pytest.mark.parametrize("name", ["ringmaster_turn_seconds", "ringmaster_handover_seconds"])
def test_the_bounds_of_what_callers_wait_for_fit_and_have_what_is_promised_and_what_alerts(name: str) -> None:
    bounds = metrics()[name].bounds
    assert (bounds[0], bounds[-1]) == (0.02, 10.0)
    assert {0.05, 0.1, 0.35, 0.5, 0.8} <= set(bounds)


@pytest.mark.parametrize(("row", "source"), EVENTS, ids=named)
def test_what_events_are_counted_by_is_in_them_and_the_desk_hears_them(row: Metric, source: OfEvent) -> None:
    needed, allowed = FIELDS[source.kind]
    assert all(needed[label] is str for label in row.labels)
    assert not source.field or {**needed, **allowed}[source.field] in (int, float)
    assert (row.kind is MetricKind.HISTOGRAM) == bool(source.field)
    assert any(fnmatch(source.kind, counted) for counted in COUNTED)


@pytest.mark.parametrize(("row", "source"), FIGURES, ids=named)
def test_a_figures_labels_are_its_process_and_what_its_word_has(row: Metric, source: OfFigure) -> None:
    assert row.labels[0] == "process"
    assert len(row.labels) == 1 + source.word.groups
    assert row.kind is not MetricKind.HISTOGRAM, "a figure is one number"


def test_time_is_in_seconds_whatever_the_source_counts_in() -> None:
    for row in ROWS:
        match row.source:
            case OfFigure(word=word):
                unit = word.pattern.rpartition("_")[2]
            case OfEvent(field=field):
                unit = field.rpartition("_")[2]
            case _:
                continue
        assert row.name.endswith("_seconds") == (unit in ("s", "ms")), row.name
        assert row.divisor == (1000 if unit == "ms" else 1), row.name


def test_a_table_that_names_labels_by_their_values_has_them_all() -> None:
    for seat in Seat:
        assert (of_figure("desk", f"agents_{seat}") is None) == (seat is Seat.OFFLINE)


# ---- what is counted somewhere has a row --------------------------------------------------------------------------

COUNTS = {"media": ("nodes/media", "protocols/rtp"), "speech": ("nodes/speech",), "recorder": ("nodes/recorder",)}
"""Roles whose status has all that their code counts by word, and that code."""


def counted(places: tuple[str, ...]) -> Iterator[str]:
    """Yield the words of `counts["word"]`, and of what a packet is refused with, which media counts."""
    for path in (path for place in places for path in (ROOT / place).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Subscript(value=ast.Attribute(attr="counts" | "_counts"), slice=given):
                    yield from (one.value for one in ast.walk(given) if isinstance(one, ast.Constant))
                case ast.Call(func=ast.Name(id="RemoteProtocolError"), args=[ast.Constant(value=str(what)), *_]):
                    yield what


@pytest.mark.parametrize("role", COUNTS)
def test_all_that_code_counts_has_a_row(role: str) -> None:
    words = {word.strip("_") for word in counted(COUNTS[role])} - {"failed"}
    assert len(words) > 3, "the test looks in the wrong place"
    assert {word for word in words if of_figure(role, word) is None} == set()


def test_a_figure_of_a_newer_version_is_not_shown() -> None:
    assert of_figure("edge", "of_tomorrow") is None
    assert of_figure("media", "late_p75_ms") is None


def test_what_has_no_source_yet_can_be_named() -> None:
    later = {row.name for row in ROWS if row.source is Elsewhere.LATER}
    assert later == {"ringmaster_agent_satisfaction_score"}
