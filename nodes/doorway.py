"""The launcher's door: a TCP socket to which other machines hold a connection, to know at once when the launcher dies.

What it does: takes connections and holds them; nothing is said on them. The kernel answers for a launcher that lives,
also for one that is paused, and resets every connection in the moment in which it dies; whoever tries again then is
refused. `nodes.links.door` is the other end. What it does not: anything else, for the launcher has nothing in it that
can fail. Who says something is a stranger and is let go, and so is who comes too often; both try again and are not
refused, so they take nobody for dead. A part of the launcher: the standard library.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from typing import Final

from nodes.errors import NodeError

BACKLOG: Final = 4096
"""Connections that the kernel answers for a launcher that is paused (listen(2): it may hold fewer)."""
MOST: Final = 512
"""Held at once: a cluster of as many nodes has one from each."""
MOST_FROM_ONE: Final = 64
"""Held at once from one address: no single machine takes the places of all the others."""
AGAIN_S: Final = 1.0
"""After this a connection is taken again, when there was no file descriptor for it."""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for no time: what is closed is reset, by whomever (socket(7))."""


class DoorTaken(NodeError):
    """`cluster.port` is in use, or `cluster.bind` is no address of this machine."""


class Doorway:
    """Bound and listening from the beginning; `open` begins to take connections, `close` ends all of it."""

    def __init__(self, bind: str, port: int, backlog: int = BACKLOG) -> None:
        """Raises: DoorTaken."""
        self._held: dict[socket.socket, str] = {}
        self._from: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = socket.socket()  # not inherited: a child must not hold its parent's sign of life
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((bind, port))
            self._socket.listen(backlog)
        except OSError as error:
            self._socket.close()
            raise DoorTaken(f"cluster.port: TCP {bind}:{port}: {error.strerror}") from error
        self._socket.setblocking(False)
        host, found = self._socket.getsockname()
        self.address = f"{host}:{found}"

    @property
    def n_held(self) -> int:
        """How many are connected."""
        return len(self._held)

    def open(self) -> None:
        """Take connections from now on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._take)

    def close(self) -> None:
        """Let everybody go, and be closed."""
        for held in list(self._held):
            self._drop(held)
        if self._loop:
            self._loop.remove_reader(self._socket)
        self._loop = None
        self._socket.close()

    def _take(self) -> None:
        assert self._loop is not None
        try:
            taken, (host, *_) = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # no file descriptor is left
            return self._pause()
        taken.setblocking(False)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self._from[host] >= MOST_FROM_ONE:
            taken.close()
            return
        self._held[taken] = host
        self._from[host] += 1
        self._loop.add_reader(taken, self._drop, taken)
        if len(self._held) >= MOST:
            self._loop.remove_reader(self._socket)  # who comes now waits in the kernel, until somebody leaves

    def _pause(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._socket)
        self._loop.call_later(AGAIN_S, self._resume)

    def _resume(self) -> None:
        if self._loop and len(self._held) < MOST:
            self._loop.add_reader(self._socket, self._take)

    def _drop(self, held: socket.socket) -> None:
        """Its other end has closed, or has said something: there is nothing that anybody of ours would say."""
        assert self._loop is not None
        self._loop.remove_reader(held)
        host = self._held.pop(held)
        self._from[host] -= 1
        if not self._from[host]:
            del self._from[host]
        held.close()
        self._resume()


__all__ = ["BACKLOG", "DoorTaken", "Doorway"]
