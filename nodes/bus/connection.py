"""A connection to NATS that never gives up: it comes up when the server does, and comes back when it does.

What nats-py does: reconnect to a server that went away, and subscribe again. What is added: a start without a server, a
new client where nats-py closes the old one for good (a refused login, a protocol error), one word for all of its
errors, `BusAway`, and a look at a server that takes connections and greets nobody. Settings: five seconds to notice a
silent server twice, 0.2 s between tries, for ever.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from nodes.bus.login import Login, StrictClient
from nodes.bus.writes import Writes
from nodes.links.errors import BusAway
from nodes.telemetry import logs

Attach: TypeAlias = Callable[[Client], Awaitable[None]]

REOPEN_S: Final = 1.0
"""Pause before a new client, where the server has closed the old one for good."""
REQUEST_S: Final = 5.0
"""Time-out of a JetStream request: longer than most elections of a leader (4 to 7 s) is not worth waiting."""
CLOSE_S: Final = 2.0
HUNG_UP: Final = (ConnectionResetError, BrokenPipeError, nats.errors.UnexpectedEOF)
"""How a server ends a connection, for whatever reason."""
PING_S: Final = 5.0
"""Between two questions whether a server is there; it is gone when two have no answer."""
GREETING_S: Final = 2.0
"""So long may a server take for its first word (nats-py's own limit)."""
GREETING: Final = "greeting"
"""What a server that greets nobody does not give, among the names of `writes`."""

log = logs.get(__name__)


@contextmanager
def away_for_errors() -> Iterator[None]:
    """Raise `BusAway` for whatever nats-py raises about its connection or the server, unless the task is to end."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        obey_cancellation()  # else who tries again for as long as the bus is away would do so for ever
        raise BusAway(f"{type(error).__name__}: {error}") from error
    obey_cancellation()


def obey_cancellation() -> None:
    """Raise the cancellation that `asyncio.wait_for` has swallowed, because it came together with a result or an error.

    nats-py waits by it everywhere, and before Python 3.12 it does so (cpython issue 86296): a task that is told to end
    but once would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Connection:
    """One client at a time, kept by `run`. `up` is set while it is connected; `generation`: how often it came up.

    `trouble`: what is wrong while it is not, in words.
    """

    def __init__(self, login: Login, name: str) -> None:
        self.up = asyncio.Event()
        self.generation = 0
        self.came_up: set[Callable[[], None]] = set()
        """Called each time it has come up."""
        self.writes = Writes()
        self._login, self._name = login, name
        self._client: Client | None = None
        self._standing: list[Attach] = []
        self.trouble = self._said = ""

    @property
    def client(self) -> Client:
        """The connected client. Raises: `BusAway` when there is none now."""
        if self._client is None or not self._client.is_connected:
            raise BusAway("not connected")
        return self._client

    @property
    def is_live(self) -> bool:
        """Whether nats-py has a server just now."""
        return self._client is not None and self._client.is_connected

    async def look_for_greeting(self) -> None:
        """Note among `writes` whether a server takes a connection and says nothing: it is stopped, and will not end.

        A server that refuses, or hangs up, is starting or ending. Beside nats-py, which may wait for ever for a server
        that reads nothing to take what was written before it closes a connection.
        """
        where = urlsplit(self._login.url)
        with suppress(BusAway), self.writes.of(GREETING) as took:
            try:
                async with asyncio.timeout(GREETING_S):
                    reader, writer = await asyncio.open_connection(where.hostname, where.port)
                    try:
                        await reader.read(1)
                    finally:
                        writer.close()
            except TimeoutError as error:
                raise BusAway("no greeting") from error
            except OSError:
                pass
            took()

    @property
    def jetstream(self) -> JetStreamContext:
        """The connected client's JetStream. Raises: `BusAway`."""
        return self.client.jetstream(timeout=REQUEST_S)

    async def attach(self, attach: Attach) -> None:
        """Have something stand on every client (a subscription, a service), now and on each one to come."""
        self._standing.append(attach)
        if self._client is not None and self.up.is_set():
            with away_for_errors():
                await attach(self._client)

    async def run(self) -> None:
        """Connect, and stay connected, until cancelled."""
        while True:
            closed = asyncio.Event()
            client = StrictClient(self._login.is_encrypted)
            try:
                await self._connect(client, closed)
                await closed.wait()
            except nats.errors.Error as error:
                await self._on_error(error)
            finally:
                self.up.clear()
                await _close(client)
            await asyncio.sleep(REOPEN_S)

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        await client.connect(
            self._login.urls,
            name=self._name,
            inbox_prefix=self._login.inbox,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # declared int; seconds as a float are passed to sleep
            ping_interval=PING_S,  # type: ignore[arg-type]  # as above
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_up,
            closed_cb=on_closed,
            **self._login.options,
        )
        self._client = client
        for attach in list(self._standing):
            await attach(client)
        await self._on_up()

    async def _on_up(self) -> None:
        self.generation += 1
        self.trouble = self._said = ""
        self.up.set()
        for called in tuple(self.came_up):
            called()
        log.info("bus.up", generation=self.generation)

    async def _on_disconnected(self) -> None:
        if self.up.is_set():
            self.up.clear()
            self.writes.forget()
            log.warning("bus.away")

    async def _on_error(self, error: Exception) -> None:
        """Log an error once, not at each of five tries in a second."""
        text = f"{type(error).__name__}: {error}{_advice(error)}"
        if not (self.trouble and isinstance(error, HUNG_UP)):  # what a server has said holds over how it hung up
            self.trouble = text
        if text != self._said:
            self._said = text
            log.warning("bus.error", error=text)


def _advice(error: Exception) -> str:
    """Return which setting an error is about."""
    match error:
        case ssl.SSLCertVerificationError():
            return " (nats.ca: the authority that has signed the server's certificate)"
        case ssl.SSLError():
            return " (nats.cert, nats.key: our certificate)"
        case nats.errors.Error() if "authorization violation" in str(error).lower():  # of two classes
            return (
                " (the server does not know this login: nats.nkey or nats.creds; in a cluster: ringmaster cluster keys)"
            )
        case _:
            return ""


async def _close(client: StrictClient) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await client.end()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        log.warning("bus.close_failed", error=str(error))


__all__ = ["GREETING", "Attach", "Connection", "away_for_errors", "obey_cancellation"]
