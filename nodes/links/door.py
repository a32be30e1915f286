"""Whether another machine's launcher lives, seen from here: a connection to its door (`nodes.doorway`).

The kernel over there resets the connection in the moment in which the launcher dies, and refuses the next. That is
proof: its children die with it (PR_SET_PDEATHSIG). Silence is none: a machine that is off, a network that is cut and a
door that is full look all the same, so what times out is tried again every `RETRY_S`. Nor is a reset alone, which any
firewall on the way may send; nor is a refusal where nobody was ever met, because then it may be the address that is
wrong.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

RETRY_S: Final = 0.2
CONNECT_S: Final = 1.0
"""So long may the kernel over there take to answer."""
AT_ONCE: Final = 3
"""So often the next try comes at once after a connection that was cut; then it pauses, like any other."""
KEEPALIVE_S: Final = 1
"""Between two looks of the kernel's at a connection on which nothing is said (tcp(7)): it finds the machine that was
started again, and knows nothing of it."""
KEEPALIVES: Final = 3
"""Without an answer to so many of them the connection is given up, and made anew. That is no proof."""


def is_address(text: str) -> bool:
    """Return whether this can be a door's address: IPv4 and a port, as another node has said it."""
    host, _, port = text.rpartition(":")
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, ValueError):
        return False
    return port.isdecimal() and port.isascii() and 0 < int(port) <= 65535


class Door:
    """One launcher's door. `is_met`: a connection is up, or was when last tried."""

    def __init__(self, address: str, is_dead: Callable[[], None]) -> None:
        """`address`: as its node's word has it, `10.0.0.2:7400` (`is_address`). `is_dead()` is called at the proof."""
        host, _, port = address.rpartition(":")
        self._where = (host, int(port))
        self._is_dead = is_dead
        self.is_met = False

    async def watch(self) -> None:
        """Hold a connection until there is proof, or until cancelled."""
        loop, has_been_met, at_once = asyncio.get_running_loop(), False, AT_ONCE
        while True:
            began, is_cut = loop.time(), False
            try:
                await self._hold()
                has_been_met = is_cut = True
            except ConnectionRefusedError:
                if has_been_met:
                    return self._is_dead()
            except ConnectionError:
                is_cut = True  # it ended while we knocked: its socket goes a moment after its connections
            except OSError:
                pass  # TimeoutError, too: silence
            finally:
                self.is_met = False
            at_once = AT_ONCE if is_cut and loop.time() - began > RETRY_S else at_once - is_cut
            if not is_cut or at_once < 0:
                await asyncio.sleep(RETRY_S)

    async def _hold(self) -> None:
        """Connect, and return when the connection has ended, however. Raises: OSError when there is none."""
        loop = asyncio.get_running_loop()
        with socket.socket() as ours:
            ours.setblocking(False)
            _keep_alive(ours)
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(ours, self._where)
            self.is_met = True
            try:
                await loop.sock_recv(ours, 1)
            except OSError:
                pass


def _keep_alive(ours: socket.socket) -> None:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVES)


__all__ = ["Door", "is_address"]
