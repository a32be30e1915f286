"""The one adapter to OpenTelemetry's SDK: spans that are over, sent to a collector by OTLP over HTTP.

They wait in a buffer of `MOST`; when it is full the oldest is dropped. A thread of the SDK's sends them every half
second, and gives a collector ten seconds for each batch. Whatever it has to complain of is one line a minute here.

The SDK makes up ids where a span begins. Ours are known before, so it is given them, one span at a time: all spans are
told from one thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from nodes.telemetry import logs
from nodes.telemetry.spans import Span

log = logs.get(__name__)

PATH: Final = "/v1/traces"
"""Below the address of a collector (OTLP/HTTP, "OTLP/HTTP request")."""
MOST: Final = 2048
"""Spans that wait: of some 100 calls' last turns, in 4 MB."""
SENT_MS: Final = 500
"""Between two batches: what a killed process has not told."""
ANSWERS_S: Final = 10.0
"""In all, with the tries after the first (the SDK's own default): only its thread waits."""
CLOSE_S: Final = 0.3
"""At the end of a process: a node ends its processes one after the other, and a collector nearby answers at once."""
TOLD_S: Final = 60.0
"""Between two lines about what is wrong with the collector."""


class _Given(IdGenerator):
    """Hands out the ids of the span that is told at this moment."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Complaints(logging.Handler):
    """What the SDK logs: one line of ours a minute, and how many others there were."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._n_others, self._told_s = 0, float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._told_s < TOLD_S:
            self._n_others += 1
            return
        log.warning("spans.not_sent", reason=record.getMessage()[:200], others=self._n_others)
        self._n_others, self._told_s = 0, now


class Otlp:
    """Sends what it is told to the collector at `address`. `about`: the node, the process and which life of it."""

    def __init__(self, address: str, about: Mapping[str, str]) -> None:
        self._complaints, logger = _Complaints(), logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self._complaints], False
        self._ids = _Given()
        whose = {
            "service.name": "ringmaster",
            "service.version": version("ringmaster"),
            "service.instance.id": about["instance"],
            "ringmaster.node": about["node"],
            "ringmaster.process": about["process"],
        }
        self._provider = TracerProvider(ALWAYS_ON, Resource(whose), shutdown_on_exit=False, id_generator=self._ids)
        self._sends = OTLPSpanExporter(address.rstrip("/") + PATH, timeout=ANSWERS_S)
        waits = BatchSpanProcessor(self._sends, MOST, SENT_MS, max_export_batch_size=MOST // 4)
        self._provider.add_span_processor(waits)
        self._tracer = self._provider.get_tracer("ringmaster")

    def tell(self, span: Span) -> None:
        """Take one span; it is sent later."""
        self._ids.trace_id, self._ids.span_id = int(span.at.trace_id, 16), int(span.at.span_id, 16)
        around = Context()
        if span.parent:
            parent = SpanContext(self._ids.trace_id, int(span.parent, 16), False, TraceFlags(TraceFlags.SAMPLED))
            around = set_span_in_context(NonRecordingSpan(parent), around)
        named = {f"ringmaster.{name}": value for name, value in span.attributes.items()}
        begun = self._tracer.start_span(span.name, around, attributes=named, start_time=_ns(span.began_s))
        begun.end(_ns(max(span.began_s, span.ended_s)))

    def close(self) -> None:
        """Send what waits, and take no more. A collector that does not answer soon is not waited for."""
        self._complaints.setLevel(logging.CRITICAL + 1)  # nobody is to mend it any more
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)
        if ending.is_alive():
            self._sends.shutdown()  # type: ignore[no-untyped-call]  # what has not been taken is not tried again


def _ns(wall_s: float) -> int:
    return round(wall_s * 1e9)


__all__ = ["Otlp"]
