"""A desk with its seats behind a real HTTP server and a real mesh; edges and media that say what a test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from nodes import config as configuration
from nodes.admin.access import Access
from nodes.admin.guard import guard
from nodes.admin.listener import served
from nodes.admin.routes import handler_of
from nodes.admin.signin import SignIn
from nodes.desk.agent import AgentSeat
from nodes.desk.browser import Browser
from nodes.desk.control import Hello
from nodes.desk.phone import PhoneSeat
from nodes.desk.seat import Seat
from nodes.desk.seats import Seats
from nodes.desk.web import OPEN, Web
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.wire import desk as wire
from protocols.wire.context import (
    HandoverContext,
    HandoverReason,
    SessionMeta,
    Speaker,
    Turn,
    Urgency,
    UserProfile,
)
from protocols.wire.ids import CallId, CampaignId, ChannelId, Identity, ScriptHash
from tests.nodes.admin.people import door
from tests.nodes.desk.page import Page, page

EDGE, HEIR, MEDIA, DESK = (Identity(f"n1.{name}:1") for name in ("edge-0", "edge-0-heir", "media-0", "desk-0"))
TOKEN = "t" * 32
MOST = 24
"""Connections from here."""
CONTEXT = HandoverContext(
    SessionMeta(CallId("c1"), CampaignId(""), ScriptHash("5"), "desk", "2026-03-03T10:00:00+00:00"),
    (Turn(Speaker.BOT, "hello"), Turn(Speaker.CALLER, "a person please", "human")),
    UserProfile({"name": "Alex"}),
    HandoverReason("wants to talk", Urgency.HIGH, "service"),
)
CALL = CallId("c1")


class Side:
    """One end of the mesh beside the desk, and what it has been told, in order."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.news: asyncio.Queue[object] = asyncio.Queue()
        for kind in (*wire.SEAT_NEWS, wire.LinkAudio):
            mesh.serve(kind, lambda message, sender: self.news.put_nowait(message))

    async def told(self) -> object:
        async with asyncio.timeout(60):
            return await self.news.get()


class Rig:
    """All of it."""

    def __init__(self, seats: Seats, address: str, meshes: dict[Identity, Mesh]) -> None:
        sides = {name: Side(mesh) for name, mesh in meshes.items() if name != DESK}
        self.seats, self.address, self.meshes = seats, address, meshes
        self.edge, self.heir, self.media = (sides[name] for name in (EDGE, HEIR, MEDIA))
        self.called: asyncio.Queue[str] = asyncio.Queue()
        self.state = Path()
        self.access: Access
        self._peers = [
            Peer(name.split(".")[1].split("-")[0], name, name, mesh.endpoint, 1, State.ACTIVE)
            for name, mesh in meshes.items()
        ]

    def follow(self, *gone: Identity) -> None:
        """Tell everybody who lives: all but these."""
        for mesh in self.meshes.values():
            mesh.roster(Roster(1, tuple(peer for peer in self._peers if peer.identity not in gone)))
        self.seats.follow()

    def page(self, hello: dict[str, object] | None = None) -> AbstractAsyncContextManager[Page]:
        return page(self.address, **({} if hello is None else {"token": TOKEN, **hello}))

    @asynccontextmanager
    async def agent(self, name: str = "ann", **fields: object) -> AsyncIterator[Page]:
        """An agent who is ready, and answers probes."""
        async with self.page({"agent": name, "ready": True, **fields}) as made:
            await made.told("state", state="ready")
            yield made

    async def call_browser(self, page: Page, script: str = "hello") -> None:
        """Have the page ask to be called, and the edge call it."""
        await page.say("call_me", script=script)
        assert await self.called.get() == script
        self.edge.mesh.tell(DESK, wire.OfferCall(CALL, "phone", ChannelId("link")))
        await page.told("offer", call=CALL)

    async def reserve(self, page: Page, call: CallId = CALL, skill: str = "") -> str:
        """Have the edge reserve a seat; the page answers the probe."""
        asked = asyncio.ensure_future(self.edge.mesh.ask(DESK, wire.ReserveSeat(call, skill)))
        await page.probed(call)
        return (await asked).seat

    async def bridge(self, page: Page, call: CallId = CALL) -> str:
        """Bring a call to an agent's ear; return the seat."""
        seat = await self.reserve(page, call)
        shown = asyncio.ensure_future(self.edge.mesh.ask(DESK, wire.ShowContext(call, seat, CONTEXT)))
        offered = asyncio.ensure_future(page.is_offered(call))
        await shown
        self.edge.mesh.tell(DESK, wire.OfferCall(call, seat, ChannelId("link")))
        await offered
        await page.say("accept", call=call)
        assert await self.edge.told() == wire.SeatAccepted(call, seat)
        self.say_to_the_seat(b"\x01" * 160)
        assert await self.edge.told() == wire.SeatHears(call, seat)
        return seat

    def release(self, call: CallId, seat: str) -> None:
        self.edge.mesh.tell(DESK, wire.ReleaseSeat(call, seat))

    def end_sessions(self) -> None:
        """The time of all sessions is over."""
        known = self.access.sessions._sessions
        known.update({name: replace(one, ends_s=time.monotonic()) for name, one in known.items()})

    def say_to_the_seat(self, payload: bytes, n: int = 0, side: Side | None = None) -> None:
        link = wire.LinkFrame(ChannelId("link"), n, payload)
        (side or self.media).mesh.tell(DESK, wire.LinkAudio((link,)))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A desk, and everybody it speaks with."""
    names = (EDGE, HEIR, MEDIA, DESK)
    meshes = {name: await Mesh.start(name, f"ipc://{tmp_path}/{name}") for name in names}
    tasks = Tasks()
    await tasks.open()
    changed: list[AgentSeat] = []
    seats = Seats(meshes[DESK], tasks, changed.append, meshes[DESK].knows)
    seats.serve()
    called: asyncio.Queue[str] = asyncio.Queue()

    def call_me(seat: PhoneSeat, script: str, slots: dict[str, str]) -> None:
        seat.expect(CALL)
        called.put_nowait(script)

    def arrive(hello: Hello, browser: Browser) -> Seat | str:
        if not hello.agent:
            phone = PhoneSeat("phone", browser, meshes[DESK], call_me)
            seats.add(phone)
            return phone
        agent = AgentSeat(hello, browser, meshes[DESK], seats.seat_changed)
        seats.add(agent)
        agent.sign_in()
        return agent

    state = tmp_path / "state"
    state.mkdir()
    (state / "token").write_text(TOKEN)
    access = door(state)
    website = Web(access, arrive, seats.remove)
    table = SignIn(access).table()
    app = web.Application(middlewares=[guard(access, table, OPEN)])
    app.add_routes([web.route(one.method, one.path, handler_of(one)) for one in table])
    app.add_routes(website.routes())
    app.on_shutdown.append(website.close)
    tasks.spawn(website.watch())
    serving = AsyncExitStack()
    address = await serving.enter_async_context(served(app, configuration.Desk(port=0, connections_per_address=MOST)))
    made = Rig(seats, address, meshes)
    made.called, made.state, made.access = called, state, access
    made.follow()
    yield made
    await serving.aclose()
    await tasks.close()
    for mesh in meshes.values():
        await mesh.close()
