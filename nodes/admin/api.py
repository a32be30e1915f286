"""The HTTP API: its routes as one table, and what they answer; errors are `routes.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from nodes.admin import figures
from nodes.admin.node import Node, Process
from nodes.admin.readiness import Readiness
from nodes.admin.roles import Role
from nodes.admin.routes import Route, answer
from nodes.admin.startup import Startup
from nodes.links.cluster_view import ClusterView
from nodes.reading import read_json
from nodes.telemetry import metrics
from protocols.wire.campaigns import Campaigns
from protocols.wire.cluster import Member, NodeState
from protocols.wire.ids import AttemptId
from protocols.wire.messages import PlaceCall
from protocols.wire.scale import ScaleAdvice
from protocols.wire.subjects import Bucket

T = TypeVar("T")


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
    """All calls of the cluster that are not over. `stale_s`: for how long nobody could tell this node of changes."""

    calls: tuple[CallRow, ...]
    stale_s: float = 0.0


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
    """All agents of the cluster who have signed in. `stale_s`: as of `Calls`."""

    agents: tuple[AgentRow, ...]
    stale_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of the cluster. `state`: `up`, `incomplete`, `draining`, `silent` or `gone`; `desk`: where its API is."""

    node_id: str
    state: str
    zone: str = ""
    roles: tuple[str, ...] = ()
    version: str = ""
    desk: str = ""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of the cluster, this one among them. `alone`: why this one is not in it; `stale_s`: as of `Calls`."""

    nodes: tuple[NodeRow, ...]
    alone: str = ""
    stale_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeTree:
    """This node's processes, in the launcher's order, with the supervision trees of those that have one.

    The first is the launcher itself: a row for each name that its processes bear, also one that is not up, with how
    often it has come back, and how and with what last words the last one failed.
    """

    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class NewCall:
    """An order for one call. `script`: its text, YAML. `target`: a SIP URI, or a number with `+` where a trunk is.

    `is_recorded`: with the callee's consent, which is the caller's to have.
    """

    target: str
    script: str
    slots: dict[str, str] = field(default_factory=dict)
    caller_id: str = ""
    ring_s: float = 30.0
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """The edge has the call; what becomes of it are its events (`rm.ev.>`, with the call's id in each)."""

    call_id: str


class Api:
    """The handlers. `document` describes all routes of the server."""

    def __init__(self, node: Node, cluster: ClusterView, startup: Startup) -> None:
        self._node, self._cluster, self._startup = node, cluster, startup
        self.document: Mapping[str, Any] = {}

    def table(self) -> tuple[Route, ...]:
        """Return all routes."""
        return (
            Route("GET", "/healthz", "The process lives.", None, self.health, Health),
            Route("GET", "/readyz", "Calls can be placed here; 503 when not.", None, self.ready, Readiness),
            Route("GET", "/metrics", "Figures for Prometheus.", Role.VIEWER, self.metrics),
            Route("GET", "/api/openapi.json", "This document.", Role.VIEWER, self.openapi),
            Route("GET", "/api/calls", "Calls that are not over.", Role.VIEWER, self.calls, Calls),
            Route("POST", "/api/calls", "Place a call.", Role.MACHINE, self.place, Placed, NewCall),
            Route("GET", "/api/campaigns", "How all campaigns are going.", Role.VIEWER, self.campaigns, Campaigns),
            Route("GET", "/api/agents", "Agents who have signed in.", Role.VIEWER, self.agents, Agents),
            Route("GET", "/api/nodes", "The nodes of the cluster.", Role.VIEWER, self.nodes, Nodes),
            Route("GET", "/api/scale", "How many machines should take calls.", Role.VIEWER, self.scale, ScaleAdvice),
            Route("GET", "/api/tree", "This node's trees, with rates over a second.", Role.VIEWER, self.tree, NodeTree),
        )

    async def health(self, _: web.Request) -> Health:
        """The process lives: it answers."""
        return Health()

    async def ready(self, _: web.Request) -> object:
        """Whether calls can be placed here."""
        told = await self._startup.judge()
        return answer(told, 200 if told.ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Everything that is counted on this node, as Prometheus text."""
        body = await metrics.render() + figures.of_processes(await self._node.processes(), self._startup.figures())
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def openapi(self, _: web.Request) -> web.Response:
        """The document."""
        return web.json_response(self.document)

    async def calls(self, _: web.Request) -> Calls:
        """The view of the bucket `rm_calls`."""
        return Calls(tuple(_rows(CallRow, "call_id", self._cluster.things(Bucket.CALLS))), self._stale_s)

    async def agents(self, _: web.Request) -> Agents:
        """The view of the bucket `rm_agents`."""
        return Agents(tuple(_rows(AgentRow, "agent_id", self._cluster.things(Bucket.AGENTS))), self._stale_s)

    async def nodes(self, _: web.Request) -> Nodes:
        """Who there is, by the spokesman's word; how each is, by its own."""
        shown = {row.node_id: row for row in _rows(NodeRow, "node_id", self._cluster.things(Bucket.NODES))}
        others = {str(one.word.node): _node_row(one, shown) for one in self._node.others()}
        rows = {**shown, **others}
        return Nodes(tuple(row for _, row in sorted(rows.items())), self._node.bar or "", self._stale_s)

    @property
    def _stale_s(self) -> float:
        return round(self._cluster.stale_s, 1)

    async def campaigns(self, _: web.Request) -> Campaigns:
        """Central's own word."""
        return await self._node.campaigns()

    async def scale(self, _: web.Request) -> ScaleAdvice:
        """Central's own word."""
        return await self._node.scale()

    async def tree(self, _: web.Request) -> NodeTree:
        """Each process's own word."""
        return NodeTree(tuple(await self._node.tree()))

    async def place(self, request: web.Request) -> Placed:
        """Hand the order to the edge."""
        wanted = read_json(await request.read(), NewCall)
        name = self._node.new_call()
        order = PlaceCall(
            AttemptId(name), name, wanted.target, await self._node.packed(wanted.script), wanted.slots,
            caller_id=wanted.caller_id, ring_s=wanted.ring_s, is_recorded=wanted.is_recorded,
        )  # fmt: skip
        return Placed((await self._node.place(order)).call_id)


def _node_row(one: Member, shown: Mapping[str, NodeRow]) -> NodeRow:
    word = one.word
    row = shown.get(word.node, NodeRow(word.node, "up"))
    state = {NodeState.SILENT: "silent", NodeState.DEAD: "gone"}.get(one.state, row.state)
    return replace(row, state=state, zone=word.zone, roles=word.roles, version=word.version)


def _rows(row: type[T], key: str, things: Mapping[str, Mapping[str, Any]]) -> list[T]:
    """Return a bucket's entries as rows; an entry of another version that is none is left out."""
    rows = []
    for name, body in sorted(things.items()):
        try:
            rows.append(msgspec.convert({key: name, **body}, row))
        except msgspec.ValidationError:
            continue
    return rows


__all__ = ["Api", "NewCall"]
