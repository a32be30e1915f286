"""The admin routes on a real HTTP server, beside a real nats-server and processes that answer on a real mesh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from nodes import config as configuration
from nodes.admin.api import Api
from nodes.admin.audit import Audit
from nodes.admin.do_not_call import ListApi
from nodes.admin.forgetting import ForgetApi
from nodes.admin.guard import MAX_BODY, guard
from nodes.admin.listener import served
from nodes.admin.node import Node
from nodes.admin.openapi import document
from nodes.admin.presence import Presence
from nodes.admin.recordings import RecordingsApi
from nodes.admin.routes import handler_of
from nodes.admin.signin import SignIn
from nodes.admin.speech import SpeechApi
from nodes.admin.startup import Startup
from nodes.bus.bus import Bus
from nodes.config import Desk
from nodes.links import trees
from nodes.links.cluster_view import ClusterView
from nodes.links.errors import Refused
from nodes.links.members import Members
from nodes.links.recordings import Recordings
from nodes.links.roster import History, Launcher, Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import Shelves
from protocols.wire import messages as wire
from protocols.wire.desk import Drain
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.inspection import Failure
from protocols.wire.pieces import Shelf
from supervisors import Child, Ref, Supervisor, running
from supervisors.testing import Echo
from tests.conftest import NatsServer
from tests.nodes.admin.people import door

NODE = NodeId("n1")
ROLES = ("edge", "media", "speech", "desk")


class Rig:
    """A node whose edge is the test's. `orders`: what it was asked to place. `echo`: its only actor."""

    def __init__(
        self, node: Node, mesh: Mesh, presence: Presence, bus: Bus, run: Path, address: str, echo: Ref[Echo]
    ) -> None:
        self.mesh, self.echo = mesh, echo
        self.node, self.presence, self.bus, self.address = node, presence, bus, address
        self.token = (run / "token").read_text()
        self.run = run
        self.roster: Roster = node.roster
        self.orders: list[wire.PlaceCall] = []
        self.is_draining = False
        self.figures: dict[str, float] = {}
        """That the edge tells beside its own."""
        self.startup: Startup
        self.told: list[dict[str, float]]
        self.state: Path
        self.edge: Mesh
        self.audit: Audit

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Ask without a token but for what is in `headers`."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.address}{path}", headers=headers) as reply:
            return reply.status, await reply.text()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask with the token; return status and parsed body."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = body if isinstance(body, str | None) else json.dumps(body)
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.address}{path}", data=data) as reply,
        ):
            text = await reply.text()
            return reply.status, json.loads(text) if "json" in reply.content_type else text

    def place(self, order: wire.PlaceCall, sender: Identity) -> wire.CallAccepted:
        if self.is_draining:
            raise Refused("draining")
        self.orders.append(order)
        return wire.CallAccepted(CallId("c1"))

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        return wire.Status(
            "edge", 7, {"calls": 2.0, "late p99": 1.5, "draining": float(self.is_draining), **self.figures}
        )

    def drain(self, order: Drain, sender: Identity) -> wire.Done:
        self.is_draining = order.is_draining
        return wire.Done()


@pytest.fixture
async def rig(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """All of it, with everything that a call needs."""
    meshes = {role: await Mesh.start(Identity(f"n1.{role}-0:1"), f"ipc://{tmp_path}/{role}") for role in ROLES}
    peers = [
        Peer(role, f"{role}-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE) for role, mesh in meshes.items()
    ]  # fmt: skip
    ended = History("recorder-0", "OsProcess", "restarting", None, 4, (), Failure("ended with signal 9", "", ("bye",)))
    roster = Roster(1, tuple(peers), Launcher(6, 0.0, 60.0, (ended,)))
    for role, mesh in meshes.items():
        mesh.roster(roster)
        mesh.serve(wire.GetStatus, lambda _, sender, role=role: wire.Status(role, 7, {"calls": 2.0, "late p99": 1.5}))
    bus = await Bus.connect(nats_server.url, name="n1.desk-0:1", node_id=NODE)
    await bus.ensure_layout()
    tasks = Tasks()
    await tasks.open()
    config = configuration.parse("[paths]\nstate = '.'\n[[speech.engines]]\nname = 'other'", "test", tmp_path)
    node, cluster = Node(meshes["desk"], Members(meshes["desk"], config), config), ClusterView(bus)
    node.follow(roster)
    cluster.open(tasks)
    state = tmp_path / "state"
    (state / "run").mkdir(parents=True)
    told: list[dict[str, float]] = []

    async def tell(took: dict[str, float]) -> None:
        told.append(took)

    startup = Startup(node, config, lambda: bus.connected, tell)
    access, api = door(state), Api(node, cluster, startup)
    shelves = Shelves({Shelf.RECORDINGS: tmp_path / "recordings"})
    recorded = RecordingsApi(meshes["desk"], Recordings(shelves), shelves, node.holders, node.parts)
    hearing = SpeechApi(node, config)
    apis = (api, ListApi(node, bytes(32)), ForgetApi(node, bytes(32), access.audit), hearing, recorded, SignIn(access))
    table = tuple(route for one in apis for route in one.table())
    api.document = document(table, "0.1.0", access.cookie)
    app = web.Application(middlewares=[guard(access, table, ())], client_max_size=MAX_BODY)
    app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in table])
    serving = AsyncExitStack()
    address = (await serving.enter_async_context(served(app, Desk(port=0)))).rstrip("/")
    presence = Presence(bus, NODE, node, cluster, address, "0.1.0")
    tasks.spawn(presence.run())
    async with running(Supervisor([Child(Echo, id="a")])) as system:
        made = Rig(node, meshes["desk"], presence, bus, state / "run", address, system.ref("a", Echo))
        meshes["edge"].serve(wire.PlaceCall, made.place)
        meshes["edge"].serve(Drain, made.drain)
        meshes["edge"].serve(wire.GetStatus, made.status)
        trees.serve(meshes["edge"], system.census)
        made.startup, made.told, made.state = startup, told, config.paths.state
        made.edge, made.audit = meshes["edge"], access.audit
        yield made
    await serving.aclose()
    await tasks.close()
    await bus.close()
    for mesh in meshes.values():
        await mesh.close()
