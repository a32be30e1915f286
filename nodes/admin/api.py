"""The HTTP API: its routes as one table, and what they answer.

Answers and orders are frozen dataclasses, so that the document (`openapi.py`) is made from what is really sent. An
error is `{"error": reason}`: 400 for a body that is wrong, 401 and 403 from `access.py`, 409 for a refusal, 503 for a
process that is not there.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from nodes.admin import figures
from nodes.admin.access import refusal
from nodes.admin.cluster import Cluster
from nodes.admin.node import Node, Process
from nodes.admin.readiness import Readiness, readiness
from nodes.links.bus import Bus
from nodes.links.errors import LinkError, Refused
from nodes.telemetry import metrics
from protocols.wire.campaigns import Campaigns
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import PlaceCall
from protocols.wire.subjects import Bucket

T = TypeVar("T")

OPEN: Final = ("/healthz", "/readyz")
"""What a load balancer asks needs no token."""


@dataclass(frozen=True, slots=True)
class Health:
    """The process lives."""

    ok: bool = True


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as everybody may see it. `since`: when it came to its state."""

    call_id: str
    node: str
    campaign: str
    state: str
    since: str


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of the cluster that are not over."""

    calls: tuple[CallRow, ...]


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent's seat. `since`: when it came to its state."""

    agent_id: str
    node: str
    state: str
    skills: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class Agents:
    """All agents of the cluster who have signed in."""

    agents: tuple[AgentRow, ...]


@dataclass(frozen=True, slots=True)
class NodeTree:
    """This node's processes, in the launcher's order, with the supervision trees of those that have one.

    The first is the launcher itself: a row for each name that its processes bear, also one that is not up, with how
    often it has come back, and how and with what last words the last one failed.
    """

    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class NewCall:
    """An order for one call. `script`: its text, YAML. `target`: a SIP URI, or a number with `+` where a trunk is."""

    target: str
    script: str
    slots: dict[str, str] = field(default_factory=dict)
    caller_id: str = ""
    ring_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Placed:
    """The edge has the call; what becomes of it are its events (`rm.ev.>`, with the call's id in each)."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `answer` is None for what is no JSON; `order` is the type of the body that is taken."""

    method: str
    path: str
    what: str
    handler: Callable[[web.Request], Awaitable[object]]
    answer: type | None = None
    order: type | None = None


class Api:
    """The handlers. `document()` describes them."""

    def __init__(self, node: Node, cluster: Cluster, bus: Bus, document: Callable[[], Mapping[str, Any]]) -> None:
        self._node, self._cluster, self._bus, self._document = node, cluster, bus, document

    def table(self) -> tuple[Route, ...]:
        """Return all routes."""
        return (
            Route("GET", "/healthz", "The process lives.", self.health, Health),
            Route("GET", "/readyz", "Calls can be placed here; 503 when not.", self.ready, Readiness),
            Route("GET", "/metrics", "Figures for Prometheus.", self.metrics),
            Route("GET", "/api/openapi.json", "This document.", self.openapi),
            Route("GET", "/api/calls", "Calls that are not over.", self.calls, Calls),
            Route("POST", "/api/calls", "Place a call.", self.place, Placed, NewCall),
            Route("GET", "/api/campaigns", "How all campaigns are going.", self.campaigns, Campaigns),
            Route("GET", "/api/agents", "Agents who have signed in.", self.agents, Agents),
            Route("GET", "/api/tree", "This node's trees, with rates over a second.", self.tree, NodeTree),
        )

    async def health(self, _: web.Request) -> Health:
        """The process lives: it answers."""
        return Health()

    async def ready(self, _: web.Request) -> object:
        """Whether calls can be placed here."""
        told = readiness(await self._node.processes_lately(), self._bus.connected)
        return answer(told, 200 if told.ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Everything that is counted on this node, as Prometheus text."""
        body = await metrics.render() + figures.of_processes(await self._node.processes())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def openapi(self, _: web.Request) -> web.Response:
        """The document."""
        return web.json_response(self._document())

    async def calls(self, _: web.Request) -> Calls:
        """The view of the bucket `rm_calls`."""
        return Calls(tuple(_rows(CallRow, "call_id", self._cluster.things(Bucket.CALLS))))

    async def agents(self, _: web.Request) -> Agents:
        """The view of the bucket `rm_agents`."""
        return Agents(tuple(_rows(AgentRow, "agent_id", self._cluster.things(Bucket.AGENTS))))

    async def campaigns(self, _: web.Request) -> Campaigns:
        """Central's own word."""
        return await self._node.campaigns()

    async def tree(self, _: web.Request) -> NodeTree:
        """Each process's own word."""
        return NodeTree(tuple(await self._node.tree()))

    async def place(self, request: web.Request) -> Placed:
        """Hand the order to the edge."""
        wanted = msgspec.json.decode(await request.read(), type=NewCall)
        name = uuid.uuid4().hex
        order = PlaceCall(
            AttemptId(name), CallId(name), wanted.target, await self._node.packed(wanted.script), wanted.slots,
            caller_id=wanted.caller_id, ring_s=wanted.ring_s,
        )  # fmt: skip
        return Placed((await self._node.place(order)).call_id)


def handler_of(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the route's handler as the server wants it: dataclasses become JSON, errors their status."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            given = await route.handler(request)
        except msgspec.DecodeError as error:
            return refusal(400, str(error))
        except Refused as error:
            return refusal(409, error.reason)
        except LinkError as error:
            return refusal(503, f"{type(error).__name__}: {error}")
        return given if isinstance(given, web.StreamResponse) else answer(given)

    return handle


def answer(given: object, status: int = 200) -> web.Response:
    """Return a dataclass as a JSON response."""
    return web.Response(body=msgspec.json.encode(given), status=status, content_type="application/json")


def _rows(row: type[T], key: str, things: Mapping[str, Mapping[str, Any]]) -> list[T]:
    """Return a bucket's entries as rows; an entry of another version that is none is left out."""
    rows = []
    for name, body in sorted(things.items()):
        try:
            rows.append(msgspec.convert({key: name, **body}, row))
        except msgspec.ValidationError:
            continue
    return rows


__all__ = ["OPEN", "Api", "NewCall", "Route", "answer", "handler_of"]
