"""The desk process: seats on the mesh, pages on the HTTP server, and the routes of `nodes/admin` beside them."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from aiohttp import web

import grammars
from nodes.admin import audit, sessions, users
from nodes.admin.access import Access, own_token
from nodes.admin.api import Api
from nodes.admin.do_not_call import ListApi
from nodes.admin.figures import Events
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
from nodes.bus.login import login
from nodes.config import Config
from nodes.desk import web as pages
from nodes.desk.agent import AgentSeat
from nodes.desk.browser import Browser
from nodes.desk.control import Hello
from nodes.desk.phone import PhoneSeat
from nodes.desk.seat import Seat
from nodes.desk.seats import Seats
from nodes.files import write_private
from nodes.links import trees
from nodes.links.cluster_view import ClusterView
from nodes.links.contact_key import contact_key
from nodes.links.errors import LinkError
from nodes.links.members import Members
from nodes.links.recordings import Recordings
from nodes.links.roster import NOBODY, Roster
from nodes.links.spokesman import Spokesman
from nodes.links.tasks import Tasks, closing
from nodes.links.view import View
from nodes.links.work import Begin, working
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.mesh.pieces import Shelves
from protocols.agent import Seat as State
from protocols.errors import LocalProtocolError
from protocols.wire.ids import AttemptId, Identity, NodeId
from protocols.wire.messages import GetStatus, PlaceCall, Status
from protocols.wire.roles import COUNTED, Role
from protocols.wire.subjects import Bucket, agent_beat, events_of, part
from supervisors.parent import Parent, Told

URL_FILE: Final = "desk.url"
SCRIPTS: Final = Path(grammars.__file__).parent / "scripts"


class Desk:
    """The seats of this process, and how the cluster sees them."""

    def __init__(self, mesh: Mesh, bus: Bus, node_id: NodeId, node: Node, tasks: Tasks) -> None:
        self._mesh, self._bus, self._node_id, self._node, self._tasks = mesh, bus, node_id, node, tasks
        self._view = View(bus, Bucket.AGENTS)
        self._states: dict[str, State] = {}
        self.seats = Seats(mesh, tasks, self._changed, node.lives)

    def open(self) -> None:
        """Answer from now on."""
        self.seats.serve()
        self._mesh.serve(GetStatus, self.status)

    async def show(self) -> None:
        """Bring what everybody sees of our agents up to date, for ever."""
        await self._view.run(lambda body: body.get("node") == self._node_id)

    def status(self, _: GetStatus, sender: Identity) -> Status:
        """How this desk is: its agents by state."""
        states = [seat.state for seat in self.seats.agents]
        figures = {f"agents_{state}": float(states.count(state)) for state in State if state is not State.OFFLINE}
        return Status("desk", os.getpid(), figures | self._bus.figures())

    def arrive(self, hello: Hello, browser: Browser) -> Seat | str:
        """Give a page its seat; a word why not."""
        try:
            name = part(hello.agent) if hello.agent else f"phone-{secrets.token_hex(4)}"
        except LocalProtocolError:
            return "bad_name"
        if not hello.agent:
            phone = PhoneSeat(name, browser, self._mesh, self._call_me)
            self.seats.add(phone)
            browser.say("welcome", seat=name)
            return phone
        agent = AgentSeat(hello, browser, self._mesh, self.seats.seat_changed)
        self.seats.add(agent)
        browser.say("welcome", seat=name)
        agent.sign_in()
        return agent

    def _changed(self, seat: AgentSeat) -> None:
        """An agent's seat has changed, or its page has beaten: let everybody see it."""
        before, state = self._states.pop(seat.name, State.OFFLINE), seat.state
        if state is State.OFFLINE:
            self._view.hide(seat.name)
            return
        self._states[seat.name] = state
        body = {"node": self._node_id, "state": state.value}
        self._bus.publish(agent_beat(seat.name), body)
        if state is not before:
            shown = {**body, "skills": sorted(seat.skills), "since": datetime.now(UTC).isoformat()}
            self._view.show(seat.name, shown)

    def _call_me(self, seat: PhoneSeat, script: str, slots: dict[str, str]) -> None:
        self._tasks.spawn(self.seats.alone(seat, self._place(seat, script, slots)))

    async def _place(self, seat: PhoneSeat, script: str, slots: dict[str, str]) -> None:
        """Have the edge call this browser, as it would call a telephone."""
        call_id = self._node.new_call()
        seat.expect(call_id)
        try:
            text = (SCRIPTS / f"{part(script)}.yaml").read_text(encoding="utf-8")
            target = f"browser:{self._mesh.identity}/{seat.name}"
            await self._node.place(PlaceCall(AttemptId(call_id), call_id, target, await self._node.packed(text), slots))
        except (LinkError, LocalProtocolError, OSError) as error:
            seat.browser.say("refused", reason=str(error))
            seat.orphaned()


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be a desk process until the launcher says stop. Raises: PortTaken."""
    me = login(config, Role.DESK)
    async with (  # in this order and no other: a watch cannot end after its connection
        closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
        closing(await Bus.connect(me, name=identity, node_id=config.node.id, spool=config.paths.spool)) as bus,
        Tasks() as tasks,
    ):
        await _run(parent, config, mesh, bus, tasks)


async def _run(parent: Parent, config: Config, mesh: Mesh, bus: Bus, tasks: Tasks) -> None:
    members = Members(mesh, config)
    node, cluster, access = Node(mesh, members, config), ClusterView(bus), _access(config)
    desk = Desk(mesh, bus, config.node.id, node, tasks)
    desk.open()
    cluster.open(tasks)
    events = Events(config.node.id)
    for kinds in COUNTED:
        await bus.subscribe(events_of(kinds), events.take)
    website = pages.Web(access, desk.arrive, desk.seats.remove)
    members.on_change(lambda _: desk.seats.follow())
    shelves = Shelves.of(config)
    shelves.serve(mesh)
    recordings = Recordings(shelves)
    recordings.serve(mesh)
    info: dict[str, object] = {**mesh.whereabouts()}
    startup = Startup(node, config, lambda: bus.connected, lambda took: parent.ready(info | took))
    key = contact_key(config.paths.state)
    apis = (
        Api(node, cluster, startup), ListApi(node, key), ForgetApi(node, key, access.audit), SpeechApi(node, config),
        RecordingsApi(mesh, recordings, shelves, node.holders, node.parts, node.keepers),
    )  # fmt: skip
    works: dict[str, Begin] = {"agents": desk.show, "audit": access.audit.run, "sessions": website.watch}
    async with working(works) as system, served(_app(*apis, website, access), config.desk) as address:
        trees.serve(mesh, system.census)
        write_private(config.paths.run / URL_FILE, address.encode())
        presence = Presence(bus, config.node.id, node, cluster, address, version("ringmaster"))
        tasks.spawn(presence.run())
        speaker = Spokesman(mesh, bus, config, members, tasks)
        tasks.spawn(speaker.run())
        info["url"] = address
        await parent.ready(info)
        tasks.spawn(startup.run())
        async for order in parent.orders:
            if isinstance(order, Told) and "roster" in order.body:
                roster = Roster.of(order.body["roster"])
                mesh.roster(roster)
                if node.roster is NOBODY:
                    tasks.spawn(node.recall())
                node.follow(roster)
                speaker.follow(roster)
                desk.seats.follow()


def _access(config: Config) -> Access:
    state = config.paths.state
    known = users.Users(state / users.FILE)
    begun = sessions.Sessions(state / sessions.FILE, known, config.desk.session_h * 3600)
    token = own_token(state, config.paths.run)
    return Access(token, known, begun, audit.Audit(state / audit.FILE), cookie=f"ringmaster_{config.node.id}")


def _app(
    api: Api, listing: ListApi, forgetting: ForgetApi, hearing: SpeechApi, recorded: RecordingsApi, website: pages.Web,
    access: Access,
) -> web.Application:  # fmt: skip
    tables = (one.table() for one in (api, listing, forgetting, hearing, recorded, SignIn(access)))
    table = tuple(route for one in tables for route in one)
    api.document = document(table, version("ringmaster"), access.cookie)
    app = web.Application(middlewares=[guard(access, table, pages.OPEN)], client_max_size=MAX_BODY)
    app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in table])
    app.add_routes(website.routes())
    app.on_shutdown.append(website.close)
    return app


__all__ = ["Desk", "run"]
