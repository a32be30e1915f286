"""Pages and sockets of the desk on the node's HTTP server.

    /signin  where a person signs in  /phone   one button, and the robot calls
    /agent   an agent's page          /socket  the WebSocket of the last two (`control.py`)
    /pages/  what the three load

The pages hold nothing that is secret and are open. The socket is whoever's who has a session, which the browser's
cookie shows, or knows the node's token, which the page has from its own address (`/agent#TOKEN`): a fragment stays in
the browser. A session that ends closes its sockets; one that is merely over waits for the end of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from nodes.admin.access import Access, Denied
from nodes.admin.places import origin_of
from nodes.admin.roles import Who, may_sit
from nodes.desk import control
from nodes.desk.browser import SIGN_IN, STAY_AWAY, Browser
from nodes.desk.seat import Seat
from nodes.telemetry import logs

PAGES: Final = Path(__file__).parent / "pages"
OPEN: Final = ("/", "/signin", "/agent", "/phone", "/pages/{name}", "/socket")
"""The socket finds out itself who is there."""
LOOK_S: Final = 1.0
"""So often it is looked whether a socket's session has ended."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KINDS: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FILES: Final = {file.name: file.read_text(encoding="utf-8") for file in PAGES.iterdir() if file.suffix in _KINDS}
"""All that can be asked for, read once: no name that a stranger sends becomes a path."""

log = logs.get(__name__)


class Web:
    """The routes. `arrive(hello, browser)` gives a page its seat, or a word why not; `leave(seat)`: it has gone."""

    def __init__(
        self,
        access: Access,
        arrive: Callable[[control.Hello, Browser], Seat | str],
        leave: Callable[[Seat], object],
    ) -> None:
        self._access, self._arrive, self._leave = access, arrive, leave
        self._sockets: set[web.WebSocketResponse] = set()
        self._seated: dict[Seat, tuple[str, str]] = {}
        """Session and agent's name of those who came by a session."""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the desk."""
        return [
            web.get("/", self.index),
            web.get("/signin", self.signin),
            web.get("/agent", self.agent),
            web.get("/phone", self.phone),
            web.get("/pages/{name}", self.page),
            web.get("/socket", self.socket),
        ]

    async def watch(self) -> None:
        """Close the sockets of sessions that end, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            for seat, (session, agent) in list(self._seated.items()):
                who = self._access.sessions.known(session, is_busy=bool(seat.call))
                if who is None or not may_sit(who, agent):
                    seat.browser.drop("sign in again", SIGN_IN)

    async def close(self, _: web.Application) -> None:
        """The desk ends: every page is told."""
        for socket in list(self._sockets):
            await socket.close(code=1001, message=b"the desk is closing")

    async def index(self, _: web.Request) -> web.StreamResponse:
        """The door."""
        raise web.HTTPFound("/signin")

    async def signin(self, _: web.Request) -> web.Response:
        """The sign-in page."""
        return _file("signin.html")

    async def agent(self, _: web.Request) -> web.Response:
        """The agent's page."""
        return _file("agent.html")

    async def phone(self, _: web.Request) -> web.Response:
        """The phone."""
        return _file("phone.html")

    async def page(self, request: web.Request) -> web.Response:
        """What a page loads."""
        return _file(request.match_info["name"])

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """One page, for as long as it is there."""
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=control.MAX_TEXT)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._serve(socket, request)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _serve(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        browser, origin = Browser(socket), origin_of(request.remote)
        at_work = getattr(request.protocol, "at_work", None)
        if at_work:
            at_work(False)  # until we know who it is, it keeps us waiting like any other
        hello = await browser.hello()
        who = self._known(request, hello.token) if hello else None
        if at_work:
            at_work(True)
        if hello is None or who is None:
            reason = "sign in" if hello and not hello.token else "the token is wrong"
            await socket.close(code=SIGN_IN, message=reason.encode())
            return
        seat = self._arrive(hello, browser) if may_sit(who, hello.agent) else "not_yours"
        if isinstance(seat, str):
            self._access.audit.refused("seat.refused", origin, name=who.name, seat=hello.agent[:64], reason=seat)
            await socket.close(code=STAY_AWAY, message=seat.encode())
            return
        self._access.audit.note("seat.taken", who, origin, seat=seat.name)
        log.info("seat.arrived", seat=seat.name)
        if who.session:
            self._seated[seat] = who.session, hello.agent
        try:
            await browser.listen(seat)
        finally:
            self._seated.pop(seat, None)
            log.info("seat.left", seat=seat.name)
            self._leave(seat)

    def _known(self, request: web.Request, token: str) -> Who | None:
        try:
            return self._access.at_socket(request, token)
        except Denied:
            return None


def _file(name: str) -> web.Response:
    """Return a file of the pages."""
    if name not in _FILES:
        raise web.HTTPNotFound
    return web.Response(text=_FILES[name], content_type=_KINDS[Path(name).suffix], headers=_HEADERS)


__all__ = ["OPEN", "Web"]
