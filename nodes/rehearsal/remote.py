"""Commands in a test host: started by its init (`host_init.py`), and told of here as if they were ours.

Process ids are those of the host. What a command writes goes to a file that we have opened, or comes back as text.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from nodes.errors import NodeError
from nodes.rehearsal.host_init import PACKET

INIT: Final = (sys.executable, "-m", "nodes.rehearsal.host_init")
CREDENTIALS: Final = struct.Struct("3i")
"""unix(7), SCM_CREDENTIALS: process, user and group, as the receiver's namespaces have them."""
EVERYBODY: Final = 0
FULL_S: Final = 0.01
"""After so long an init whose socket was full is told again."""


class NotRun(NodeError):
    """A command cannot be run in a host, or the host is off."""


class Failed(NodeError):
    """A command in a host has ended with an error, which is its text."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended. `status`: negative for a signal."""

    status: int
    out: str
    err: str


class Running:
    """A command in a host."""

    def __init__(self, init: RemoteInit, argv: Sequence[str], pid: int, ended: asyncio.Future[int]) -> None:
        self.argv, self.pid = tuple(argv), pid
        self._init, self._ended = init, ended

    @property
    def status(self) -> int | None:
        """How it has ended; None: it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Return how it has ended, once it has; -9 where its host was switched off."""
        return await asyncio.shield(self._ended)

    def kill(self, which: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it alone."""
        if not self._ended.done():
            self._init.kill(self.pid, which)

    async def stop(self, within_s: float) -> int:
        """SIGTERM, and SIGKILL to it and its group after so long; return how it has ended."""
        self.kill(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                return await self.wait()
        except TimeoutError:
            self._init.kill(-self.pid, signal.SIGKILL)
            return await self.wait()


class RemoteInit:
    """The other end of an init's socket. `on_end`: called once when it, and so everything that it kept, is gone."""

    def __init__(self, sock: socket.socket, on_end: Callable[[], None] = lambda: None) -> None:
        self._socket, self._on_end = sock, on_end
        self._number = 0
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._running: dict[int, asyncio.Future[int]] = {}
        self._loop = asyncio.get_running_loop()
        self._here: asyncio.Future[int] = self._loop.create_future()
        self._is_gone = False
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._loop.add_reader(sock, self._readable)

    async def here(self) -> int:
        """Return its process id, as this process sees it, once it serves. Raises: NotRun."""
        return await asyncio.shield(self._here)

    async def start(
        self,
        argv: Sequence[str],
        cwd: Path,
        out: int | IO[Any],
        error: int | IO[Any],
        given: int | IO[Any] | None = None,
        env: Mapping[str, str] = {},
    ) -> Running:
        """Start a command with our environment and `env`; `given`: its standard input, else nothing. Raises: NotRun."""
        if self._is_gone:
            raise NotRun(f"{argv[0]}: the host is off")
        self._number += 1
        number = self._number
        body = {"run": number, "argv": [*map(str, argv)], "env": {**os.environ, **env}, "cwd": str(cwd)}
        asked = self._asked[number] = self._loop.create_future()
        ended = self._running[number] = self._loop.create_future()
        with open(os.devnull) as nothing:  # noqa: ASYNC230  no disk behind it
            fds = [each if isinstance(each, int) else each.fileno() for each in (given or nothing, out, error)]
            while not self._sent(json.dumps(body).encode(), fds):  # noqa: ASYNC110  the other end tells nobody
                await asyncio.sleep(FULL_S)
        return Running(self, argv, await asked, ended)

    async def run(self, argv: Sequence[str], cwd: Path, given: str = "", env: Mapping[str, str] = {}) -> Done:
        """Run a command to its end. Raises: NotRun."""
        with TemporaryFile("w+") as text, TemporaryFile("w+") as out, TemporaryFile("w+") as error:
            text.write(given)
            text.seek(0)
            running = await self.start(argv, cwd, out, error, text, env)
            status = await running.wait()
            out.seek(0)
            error.seek(0)
            return Done(status, out.read(), error.read())

    async def must(self, argv: Sequence[str], cwd: Path, given: str = "") -> None:
        """Run a command that has to succeed. Raises: NotRun, Failed."""
        done = await self.run(argv, cwd, given)
        if done.status:
            raise Failed(f"{' '.join(map(str, argv))}: {done.err.strip() or f'exit status {done.status}'}")

    def kill(self, pid: int, which: signal.Signals) -> None:
        """Send a signal to a process of the host, to all at once (EVERYBODY), or to a group (negative)."""
        self._tell({"kill": pid, "signal": int(which)})

    def end(self) -> None:
        """Have it, and everything that it keeps, end as with the power."""
        self._tell({"end": True})

    def _tell(self, body: Mapping[str, object]) -> None:
        """Say something to which there is no answer; whoever is gone needs it no more."""
        if not self._is_gone:
            with suppress(ConnectionError):
                self._socket.send(json.dumps(body).encode())

    def _sent(self, body: bytes, fds: Sequence[int]) -> bool:
        """Send a packet; False while the socket has no room."""
        try:
            socket.send_fds(self._socket, [body], fds)
        except BlockingIOError:
            return False
        except OSError:
            self._gone()
        return True

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(PACKET, socket.CMSG_SPACE(CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        match json.loads(data) if data else {}:
            case {"here": _} if not self._here.done():
                credentials = next(body for _, kind, body in ancillary if kind == socket.SCM_CREDENTIALS)
                self._here.set_result(CREDENTIALS.unpack(credentials)[0])
            case {"began": number, "pid": pid}:
                self._asked.pop(number).set_result(pid)
            case {"refused": number, "why": why}:
                del self._running[number]
                self._asked.pop(number).set_exception(NotRun(why))
            case {"ended": number, "status": status}:
                self._running.pop(number).set_result(status)
            case _:
                self._gone()

    def _gone(self) -> None:
        if self._is_gone:
            return
        self._is_gone = True
        self._loop.remove_reader(self._socket)
        self._socket.close()
        here = [] if self._here.done() else [self._here]
        for asked in (*self._asked.values(), *here):
            asked.set_exception(NotRun("the host has ended"))
            asked.exception()  # whether or not somebody still waits for it
        for running in self._running.values():
            running.set_result(-signal.SIGKILL)
        self._asked, self._running = {}, {}
        self._on_end()


def sockets() -> tuple[socket.socket, socket.socket]:
    """Return an init's socket: our end, and its standard input."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


__all__ = ["EVERYBODY", "INIT", "Done", "Failed", "NotRun", "RemoteInit", "Running", "sockets"]
