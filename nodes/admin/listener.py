"""The HTTP server as strangers meet it: who may connect, how long a request may take to arrive, and what is never read.

aiohttp parses and answers; this module accepts the connections and sets its limits:

- A request's head has to be there `HEAD_S` after the connection or the last answer, or the connection ends.
- Nothing is unpacked: a body with a `Content-Encoding` is refused by `guard.py`, as it came.
- So many connections in all and from one address (`places.py`), and file descriptors are left for the mesh: a desk that
  strangers have filled still has its calls.
- What is no HTTP is answered with 400 as the API tells errors, and logged by nobody.
- When the system has no file descriptor, memory or buffer for a connection, the listener waits a second, says so in the
  log once, and tries again.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nodes.admin.certificate import Certificate
from nodes.admin.places import Full, Places, origin_of
from nodes.admin.refusals import refusal
from nodes.config import Desk
from nodes.errors import NodeError
from nodes.links.tasks import Tasks
from nodes.telemetry import logs

HEAD_S: Final = 10.0
HANDSHAKE_S: Final = 5.0
LINGER_S: Final = 1.0
"""So long is a body that nobody wanted read and thrown away, so that its sender can read the refusal."""
RETRY_S: Final = 1.0
CLOSE_S: Final = 1.0
BACKLOG: Final = 128
RESERVE: Final = 128
"""File descriptors that no connection gets: the mesh, the bus and files need about forty."""

log = logs.get(__name__)


class PortTaken(NodeError):
    """The port that `desk.port` names is in use."""


class Connection(web.RequestHandler):
    """One connection. `at_work(True)` when its request is there, `at_work(False)` when it is answered."""

    def __init__(self, server: web.Server, at_work: Callable[[bool], object]) -> None:
        loop = asyncio.get_running_loop()
        limits: dict[str, Any] = {"keepalive_timeout": HEAD_S, "lingering_time": LINGER_S, "auto_decompress": False}
        super().__init__(server, loop=loop, access_log=None, **limits)  # type: ignore[arg-type]  # None: no such log
        self.at_work = at_work
        self.gone: asyncio.Future[None] = loop.create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has ended."""
        super().connection_lost(exc)
        if not self.gone.done():
            self.gone.set_result(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what aiohttp could not do."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("http.failed", error=f"{type(exc).__name__}: {exc}")
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is on its way")
        response = refusal(status, (message or HTTPStatus(status).phrase).partition("\n")[0][:200])
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Leave aiohttp's own lines unwritten: who sends nonsense does not fill our log."""


class Listener:
    """Accepts connections for a server. `tls`: None for plain HTTP."""

    def __init__(
        self, server: web.Server, tasks: Tasks, places: Places[asyncio.Task[None]], tls: Certificate | None
    ) -> None:
        self._server, self._tasks, self._places, self._tls = server, tasks, places, tls
        self._accepting: asyncio.Task[None] | None = None
        self._n_refused = 0

    async def run(self, sock: socket.socket) -> None:
        """Accept until `stop`."""
        self._accepting = asyncio.current_task()
        while True:
            await self._accept(sock)

    def stop(self) -> None:
        """Accept no more; those who are here stay."""
        if self._accepting:
            self._accepting.cancel()

    async def _accept(self, sock: socket.socket) -> None:
        try:
            given, peer = await asyncio.get_running_loop().sock_accept(sock)
        except OSError as error:
            log.error("http.cannot_accept", error=error.strerror, n_connections=len(self._places))
            await asyncio.sleep(RETRY_S)
            return
        self._tasks.spawn(self._hold(given, origin_of(peer[0])))

    async def _hold(self, sock: socket.socket, origin: str) -> None:
        """Be one connection, for as long as it lasts."""
        own = asyncio.current_task()
        assert own is not None
        try:
            goes = self._places.enter(own, origin)
        except Full:
            sock.close()
            return
        if goes:
            goes.cancel()
        connection = Connection(self._server, lambda works: (self._places.works if works else self._places.waits)(own))
        try:
            loop, tls = asyncio.get_running_loop(), self._tls.context() if self._tls else None
            wait_s = HANDSHAKE_S if tls else None
            await loop.connect_accepted_socket(lambda: connection, sock, ssl=tls, ssl_handshake_timeout=wait_s)
            await connection.gone
        except OSError:
            pass  # it has gone, or speaks no TLS
        except Exception as error:
            log.error("http.failed", error=f"{type(error).__name__}: {error}", exc_info=True)
        finally:
            self._places.leave(own)
            if connection.transport:
                connection.transport.abort()


@asynccontextmanager
async def served(app: web.Application, settings: Desk) -> AsyncIterator[str]:
    """Serve HTTP for the length of the block; yields the address. Raises: PortTaken, NoCertificate."""
    tls = Certificate(settings.certificate, settings.key) if settings.certificate and settings.key else None
    places: Places[asyncio.Task[None]] = Places(_room(settings.connections), settings.connections_per_address)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    assert runner.server is not None
    tasks = Tasks()
    with _bound(settings) as sock:
        await tasks.open()
        listener = Listener(runner.server, tasks, places, tls)
        try:
            tasks.spawn(listener.run(sock))
            yield _address(settings, sock.getsockname()[1])
        finally:
            listener.stop()
            await runner.cleanup()
            await tasks.close()


def _bound(settings: Desk) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    try:
        sock = socket.create_server((settings.bind, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortTaken(f"desk.port: {settings.bind}:{settings.port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def _address(settings: Desk, port: int) -> str:
    """Return where this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)
    return f"http{'s' if settings.certificate else ''}://{f'[{host}]' if ':' in host else host}:{port}/"


def _room(wanted: int) -> int:
    """Return how many connections there may be: as many as wanted, where the process may open enough files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + RESERVE
    if soft != resource.RLIM_INFINITY and soft < enough:
        soft = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, soft - RESERVE))
    if room < wanted:
        log.warning("http.few_files", wanted=wanted, room=room)
    return room


__all__ = ["Connection", "Listener", "PortTaken", "served"]
