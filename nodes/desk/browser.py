"""One page at the other end of a WebSocket: what is said to it leaves in order, audio is dropped when it lags.

What it does: control messages and frames both ways, bounded. What it does not: know what a seat is; what the page says
goes to whoever listens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from aiohttp import WSMsgType, web

from nodes.desk import control
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from supervisors.silence import Silence

HELLO_S: Final = 5.0
SILENT_S: Final = 15.0
"""A page that says nothing for so long, and answers no ping, is gone; it is pinged four times meanwhile."""
PING_S: Final = 0.5
"""How long a ping may wait for a connection that takes nothing."""
CLOSE_S: Final = 1.0
"""What a silent page may take to close; then the connection is cut."""
MAX_LAG: Final = 50
"""Frames that wait for the socket: a second. The oldest are dropped, a caller who is heard late is worse than a gap."""
MAX_SAID: Final = 256
"""Control messages that wait; a page that takes none of so many is closed."""

COME_BACK: Final = 4000
STAY_AWAY: Final = 4400
SIGN_IN: Final = 4401
"""Close codes (RFC 6455 s.7.4.2: 4000 to 4999 are an application's own): from `STAY_AWAY` on a page does not connect
anew by itself; `SIGN_IN`: there is no session, or none any more."""

log = logs.get(__name__)


class Listener(Protocol):
    """Who hears what a page says."""

    def said(self, given: control.Said) -> None: ...
    def spoke(self, frame: bytes) -> None: ...


class Browser:
    """One page."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._texts: deque[str] = deque()
        self._frames: deque[tuple[bytes, Callable[[], object] | None]] = deque(maxlen=MAX_LAG)
        self._more = asyncio.Event()
        self._end: tuple[int, str] | None = None
        self._loop = asyncio.get_running_loop()
        self._silence = Silence(SILENT_S, self._loop.time())

    def say(self, kind: str, **fields: Any) -> None:
        """Say something of the table in `control`; before any audio that waits."""
        if len(self._texts) < MAX_SAID:
            self._texts.append(control.write(kind, **fields))
        self._more.set()

    def play(self, frame: bytes, written: Callable[[], object] | None = None) -> None:
        """Send 20 ms of mu-law; `written` is called when the socket has taken it."""
        self._frames.append((frame, written))
        self._more.set()

    async def hello(self) -> control.Hello | None:
        """Return the page's first words; None when they are something else, or do not come."""
        try:
            async with asyncio.timeout(HELLO_S):
                said = control.read(await self._socket.receive_str())
        except (TimeoutError, TypeError, RemoteProtocolError):
            return None
        return said if isinstance(said, control.Hello) else None

    async def listen(self, listener: Listener) -> None:
        """Carry both ways until the page is gone."""
        beside = [asyncio.create_task(work) for work in (self._write(), self._judge())]
        try:
            async for message in self._socket:
                self._silence.heard(self._loop.time())
                if message.type is WSMsgType.BINARY:
                    if len(message.data) == control.FRAME_BYTES:
                        listener.spoke(message.data)
                elif message.type is WSMsgType.TEXT:
                    self._read(message.data, listener)
                elif message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
        finally:
            for task in beside:
                task.cancel()

    def drop(self, reason: str, code: int = COME_BACK) -> None:
        """End the connection after what has been said; a living page shows the reason and, asked to, comes back."""
        self._end = code, reason
        self._more.set()

    def _read(self, text: str, listener: Listener) -> None:
        try:
            said = control.read(text)
        except RemoteProtocolError as error:
            self.say("refused", reason=error.what)
        else:
            if isinstance(said, control.Beat):
                self.say("beat")
            listener.said(said)

    async def _judge(self) -> None:
        """Cut the connection when the page is silent. Our own pauses are not its silence (`supervisors.silence`)."""
        while (again_s := self._silence.look(self._loop.time())) is not None:
            await asyncio.sleep(again_s)
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._socket.ping()
        log.info("page.silent", for_s=SILENT_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code=COME_BACK, message=b"silent")

    async def _write(self) -> None:
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._texts or self._frames:
                    await self._write_one()
                if self._end:
                    await self._socket.close(code=self._end[0], message=self._end[1].encode())
        except ConnectionError:
            pass  # `listen` sees the end as well

    async def _write_one(self) -> None:
        if self._texts:
            await self._socket.send_str(self._texts.popleft())
            return
        frame, written = self._frames.popleft()
        await self._socket.send_bytes(frame)
        if written:
            written()


__all__ = ["COME_BACK", "SIGN_IN", "STAY_AWAY", "Browser", "Listener"]
