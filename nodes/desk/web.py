"""Pages and sockets of the desk on the node's HTTP server.

    /agent   an agent's page            /phone   one button, and the robot calls
    /pages/  what the two load          /socket  the WebSocket of both (`control.py`)

The pages hold nothing that is secret and are open; the socket is whoever's who knows the token, which the page has
from its own address (`/agent#TOKEN`): a fragment stays in the browser.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from nodes.admin.access import is_token
from nodes.desk import control
from nodes.desk.browser import HEARTBEAT_S, STAY_AWAY, Browser
from nodes.desk.seat import Seat
from nodes.telemetry import logs

PAGES: Final = Path(__file__).parent / "pages"
OPEN: Final = ("/", "/agent", "/phone", "/pages/{name}", "/socket")
"""The socket asks for the token itself."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
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
        token: str,
        arrive: Callable[[control.Hello, Browser], Seat | str],
        leave: Callable[[Seat], object],
    ) -> None:
        self._token, self._arrive, self._leave = token, arrive, leave
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the desk."""
        return [
            web.get("/", self.index),
            web.get("/agent", self.agent),
            web.get("/phone", self.phone),
            web.get("/pages/{name}", self.page),
            web.get("/socket", self.socket),
        ]

    async def close(self, _: web.Application) -> None:
        """The desk ends: every page is told."""
        for socket in list(self._sockets):
            await socket.close(code=1001, message=b"the desk is closing")

    async def index(self, _: web.Request) -> web.StreamResponse:
        """The door is the phone."""
        raise web.HTTPFound("/phone")

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
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=control.MAX_TEXT)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await self._serve(socket)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        browser = Browser(socket)
        hello = await browser.hello()
        if hello is None or not is_token(hello.token, self._token):
            await socket.close(code=STAY_AWAY, message=b"the token is wrong")
            return
        seat = self._arrive(hello, browser)
        if isinstance(seat, str):
            await socket.close(code=STAY_AWAY, message=seat.encode())
            return
        log.info("seat.arrived", seat=seat.name)
        try:
            await browser.listen(seat)
        finally:
            log.info("seat.left", seat=seat.name)
            self._leave(seat)


def _file(name: str) -> web.Response:
    """Return a file of the pages."""
    if name not in _FILES:
        raise web.HTTPNotFound
    return web.Response(text=_FILES[name], content_type=_KINDS[Path(name).suffix], headers=_HEADERS)


__all__ = ["OPEN", "Web"]
