"""Figures for Prometheus: declared once beside the code that counts, rendered for `/metrics`.

    CALLS = metrics.counter("calls_total", "Calls by disposition.", "disposition")
    CALLS.labels("busy").inc()

Names get the prefix `ringmaster_`; a unit is part of the name (`_seconds`, `_bytes`, `_total`). A label has few values:
never a call id, a number, or anything that grows with the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY: Final = CollectorRegistry(auto_describe=True)
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
LATENCY_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0)
"""Buckets from one tick of the loop to a lost caller; 0.05 (handover), 0.1 (takeover) and 0.35 (turn) are promises."""


def counter(name: str, what: str, *labels: str) -> Counter:
    """Return a count that only grows."""
    return Counter(name, what, labels, namespace="ringmaster", registry=REGISTRY)


def histogram(name: str, what: str, *labels: str, buckets: Sequence[float] = LATENCY_S) -> Histogram:
    """Return a distribution, in seconds unless the name says otherwise."""
    return Histogram(name, what, labels, namespace="ringmaster", registry=REGISTRY, buckets=buckets)


async def render() -> bytes:
    """Return all figures as Prometheus text (`CONTENT_TYPE`), made in a thread: 1,000 series take up to 100 ms."""
    return await asyncio.to_thread(generate_latest, REGISTRY)


__all__ = ["CONTENT_TYPE", "REGISTRY", "counter", "histogram", "render"]
