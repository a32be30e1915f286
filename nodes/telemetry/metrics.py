"""Metrics as Prometheus reads them: what `catalogue` declares is counted here, and written as text for `/metrics`.

    ANSWERED = metrics()["ringmaster_calls_answered_total"]
    count(ANSWERED)

Counters and histograms of events and of code are counted as things happen, in this process (`count`). All other metrics
are worked out when somebody asks, and written at once (`text`). A label has few values: never a call id, a number, or
anything that grows with the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from nodes.telemetry.catalogue import Elsewhere, Metric, MetricKind, OfEvent, OfFigure, metrics

Sample: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A value now, with the values of its metric's labels."""

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()

# A second series for each, which only OpenMetrics has a use for.
disable_created_metrics()  # type: ignore[no-untyped-call]


def count(metric: Metric, labels: Sequence[str] = (), value: float = 1.0) -> None:
    """Add to a counter, or observe in a histogram. Raises: KeyError, for a metric that is not counted here."""
    counted = _COUNTED[metric.name]
    one = counted.labels(*labels) if metric.labels else counted
    if isinstance(one, Counter):
        one.inc(value)
    else:
        one.observe(value)


async def render() -> bytes:
    """Return all that was counted as Prometheus text (`CONTENT_TYPE`), made in a thread: 1,000 series take 100 ms."""
    return await asyncio.to_thread(generate_latest, REGISTRY)


def text(samples: Iterable[Sample]) -> bytes:
    """Return values as Prometheus text: each metric that is worked out when asked, also one without a value now.

    A series is told once: of two values with the same labels the last counts.
    """
    told: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _ASKED}
    for metric, labels, value in samples:
        told[metric.name][labels] = value
    registry = CollectorRegistry()
    registry.register(_Once([_family(_ASKED[name], values) for name, values in told.items()]))
    return generate_latest(registry)


class _Once(Collector):
    """Families that have been made already."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """Return them."""
        return self._families


def _family(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Family:
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is MetricKind.COUNTER:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _is_asked(metric: Metric) -> bool:
    is_gauge = metric.kind is MetricKind.GAUGE
    return isinstance(metric.source, OfFigure) or (metric.source is Elsewhere.CODE and is_gauge)


def _is_counted(metric: Metric) -> bool:
    is_gauge = metric.kind is MetricKind.GAUGE
    return isinstance(metric.source, OfEvent) or (metric.source is Elsewhere.CODE and not is_gauge)


def _counted(metric: Metric) -> Counter | Histogram:
    if metric.kind is MetricKind.COUNTER:
        return Counter(metric.name, metric.help, metric.labels, registry=REGISTRY)
    return Histogram(metric.name, metric.help, metric.labels, registry=REGISTRY, buckets=metric.bounds)


_ASKED: Final = {metric.name: metric for metric in metrics().values() if _is_asked(metric)}
_COUNTED: Final = {metric.name: _counted(metric) for metric in metrics().values() if _is_counted(metric)}


__all__ = ["CONTENT_TYPE", "REGISTRY", "Sample", "count", "render", "text"]
