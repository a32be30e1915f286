"""A collector for tests: takes spans by OTLP over HTTP, and reads them with the protobuf types of OpenTelemetry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATIENCE_S = 100.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """One span as a collector has it; ids in hex, `parent` empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, object]
    about: dict[str, object]
    """Of the process that has told it."""

    @property
    def process(self) -> str:
        """Which process has told it; its successor has the same name."""
        return str(self.about["ringmaster.process"])

    @property
    def life(self) -> str:
        """Which life of it."""
        return str(self.about["service.instance.id"])


@dataclass(slots=True)
class Collector:
    """What has come to `url`, and what it answers: `status`, when `answers` is set."""

    url: str = ""
    spans: list[Told] = field(default_factory=list)
    status: int = 200
    n_asked: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Take a batch."""
        self.n_asked += 1
        body = await request.read()
        await self.answers.wait()
        if self.status == 200:
            self.spans += _read(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status)

    async def until(self, what: Callable[[], object]) -> None:
        """Return once `what()` holds of what has come."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not what():
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError([(one.name, one.process, one.parent) for one in self.spans]) from None

    def of(self, trace_id: str) -> list[Told]:
        """Return the spans of a trace."""
        return [one for one in self.spans if one.trace_id == trace_id]


@asynccontextmanager
async def collector(*more: web.RouteDef) -> AsyncIterator[Collector]:
    """Listen on loopback; `more`: what the same server answers beside."""
    made = Collector()
    made.answers.set()
    app = web.Application()
    app.add_routes([web.post("/v1/traces", made.take), *more])
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        made.url = f"http://{host}:{port}"
        yield made
    finally:
        made.answers.set()
        await runner.cleanup()


def is_one_tree(spans: Iterable[Told]) -> bool:
    """Say whether these have one root, and every parent among them."""
    told = list(spans)
    ids, roots = {one.span_id for one in told}, {one.span_id for one in told if not one.parent}
    return len(roots) == 1 and all(one.parent in ids for one in told if one.parent)


def _read(request: ExportTraceServiceRequest) -> list[Told]:
    return [
        Told(
            span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.start_time_unix_nano,
            span.end_time_unix_nano, _values(span.attributes), _values(of_one.resource.attributes),
        )
        for of_one in request.resource_spans for scope in of_one.scope_spans for span in scope.spans
    ]  # fmt: skip


def _values(given: Iterable[KeyValue]) -> dict[str, object]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in given}


__all__ = ["Collector", "Told", "collector", "is_one_tree"]
