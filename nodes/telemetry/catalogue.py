"""The table of metrics as data: what each is called, where it comes from, and what it means (`metrics.tsv` beside).

What it does: reads the table, and finds the metric of an event, or of a figure of a process. What it does not: count,
or write text for Prometheus (`metrics`). Names follow https://prometheus.io/docs/practices/naming. What the table does
not have is not shown, so that all that is shown can be looked up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final, TypeAlias

from grammars.tables import table
from protocols.wire.events import Kind

PREFIX: Final = "ringmaster_"
NONE: Final = "-"
"""Stands in the table where there is nothing."""
_LABEL: Final = re.compile(r"\{(\w+)(?:=([\w|]+))?\}")
"""A part of a figure's word that becomes a label: `{phase}`, or of these values only, `{at=p50|p99}`."""
_WORDS: Final = 4096
"""So many words of figures are remembered with their metric; there are some hundred."""


class MetricKind(StrEnum):
    """What Prometheus may do with it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class OfEvent:
    """Events of this kind are counted; with a `field`, what that says is observed."""

    kind: Kind
    field: str


@dataclass(frozen=True, slots=True)
class OfFigure:
    """A figure of the processes of this role, None for any. `word` finds its name, and the values of labels in it."""

    role: str | None
    word: re.Pattern[str]


class Elsewhere(StrEnum):
    """Not to be found by the table alone."""

    CODE = "code"
    """Worked out by `nodes/admin/figures.py`."""
    LATER = "later"
    """Declared, so that rules may name it; nothing feeds it yet, so it is not shown."""


Source: TypeAlias = OfEvent | OfFigure | Elsewhere


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. `divisor`: so many of the source's units are one of ours. `bounds`: of a histogram's buckets, upwards.

    `help` goes to Prometheus; `means` is for the page that explains it.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    source: Source
    divisor: float
    bounds: tuple[float, ...]
    help: str
    means: str


@cache
def metrics() -> Mapping[str, Metric]:
    """Return all rows by their full names, in the table's order.

    >>> row = metrics()["ringmaster_turn_seconds"]
    >>> row.kind.value, row.source, row.divisor
    ('histogram', OfEvent(kind=<Kind.PROMPT_STARTED: 'prompt.started'>, field='answer_ms'), 1000.0)
    """
    rows = [_metric(*row) for row in table(__package__, "metrics")]
    return {row.name: row for row in rows}


def of_event(kind: Kind) -> tuple[Metric, ...]:
    """Return what events of a kind are counted in.

    >>> [row.name for row in of_event(Kind.HANDOVER_FAILED)]
    ['ringmaster_handovers_failed_total']
    """
    return _by_event().get(kind, ())


@lru_cache(_WORDS)
def of_figure(role: str, word: str) -> tuple[Metric, tuple[str, ...]] | None:
    """Return what a figure is shown as, and the values of the labels that its word has; None for one that is not shown.

    Whole words go before those with labels: `calls_without_heir` is no phase.

    >>> metric, labels = of_figure("edge", "calls_ringing")
    >>> metric.name, metric.labels, labels
    ('ringmaster_edge_phase_calls', ('process', 'phase'), ('ringing',))
    >>> of_figure("edge", "calls_without_heir")[0].name
    'ringmaster_edge_calls_without_heir'
    >>> of_figure("edge", "of a newer version")
    """
    for metric, source in _of_figures():
        if source.role in (None, role) and (found := source.word.fullmatch(word)):
            return metric, found.groups()
    return None


@cache
def _by_event() -> Mapping[Kind, tuple[Metric, ...]]:
    found: defaultdict[Kind, tuple[Metric, ...]] = defaultdict(tuple)
    for metric in metrics().values():
        if isinstance(metric.source, OfEvent):
            found[metric.source.kind] += (metric,)
    return dict(found)


@cache
def _of_figures() -> tuple[tuple[Metric, OfFigure], ...]:
    rows = [(row, row.source) for row in metrics().values() if isinstance(row.source, OfFigure)]
    return tuple(sorted(rows, key=lambda row: row[1].word.groups))  # the sort is stable: else as in the table


def _metric(
    name: str, kind: str, labels: str, source: str, divisor: str, bounds: str, help_: str, means: str
) -> Metric:  # fmt: skip
    return Metric(
        f"{PREFIX}{name}", MetricKind(kind), () if labels == NONE else tuple(labels.split(",")), _source(source),
        float(divisor), () if bounds == NONE else tuple(map(float, bounds.split())), help_, means,
    )  # fmt: skip


def _source(text: str) -> Source:
    """Read a source.

    >>> _source("event:handover.done.ms"), _source("code")
    (OfEvent(kind=<Kind.HANDOVER_DONE: 'handover.done'>, field='ms'), <Elsewhere.CODE: 'code'>)
    >>> _source("figure:*.late_{at=p50|p99}_ms")
    OfFigure(role=None, word=re.compile('late_(p50|p99)_ms'))
    """
    what, _, rest = text.partition(":")
    match what:
        case "event":
            kind, _, field = (rest, "", "") if rest in set(Kind) else rest.rpartition(".")
            return OfEvent(Kind(kind), field)
        case "figure":
            role, _, word = rest.partition(".")
            return OfFigure(None if role == "*" else role, re.compile(_LABEL.sub(_group, word)))
        case _:
            return Elsewhere(text)


def _group(label: re.Match[str]) -> str:
    return f"({label[2] or '[a-z0-9_]+'})"


__all__ = [
    "Elsewhere", "Metric", "MetricKind", "OfEvent", "OfFigure", "PREFIX", "Source", "metrics", "of_event", "of_figure",
]  # fmt: skip
