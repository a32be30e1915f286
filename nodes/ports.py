"""Ports that nobody else is given while this process lives: chosen here, bound later, and by another process.

Who sets up a node names its ports in a file, and a nats-server is told its own: they are bound a second later. To look
which are free is not enough: whoever looks meanwhile finds the same ones, and so does the kernel, for whoever asks it
for any. So ports come from where the kernel gives none (`ip_local_port_range`), and by the hundred: each hundred is
held by one process, and who finds it held takes another one. A hold is a Unix socket with an abstract name (unix(7)):
it belongs to the network namespace, as ports do, ends with its process, and is no file that could be left behind.

Ports of a process that asks nobody are seen where they are bound by the time of the choice. Standard library only,
because the launcher imports it.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nodes.errors import NodeError

FIRST: Final = 10_000
"""Below it are the ports that programs are known by."""
LAST: Final = 65_535
ENOUGH: Final = 2_000
"""So many ports that the kernel does not give are worth to be content with them."""
HUNDRED: Final = 100
"""A hold costs a file descriptor, so it is for more than one port; and a process holds more than it takes."""
_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED: Final = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")


class NoPorts(NodeError):
    """There are not so many ports in one piece that are free, and that nobody holds."""

    def __init__(self, n: int, among: range) -> None:
        super().__init__(f"no {n} free ports in one piece between {among.start} and {among.stop - 1}")
        self.n, self.among = n, among


def take(n: int = 1) -> int:
    """Return the first of `n` ports, an even one: they are this process's until it ends, and given once.

    Free for UDP and TCP at all IPv4 addresses of this machine. Raises: NoPorts.
    """
    return _ours.take(n)


@contextmanager
def held(n: int) -> Iterator[int]:
    """The same for the length of the block: for many ports, or often."""
    with _ours.held(n) as first:
        yield first


def not_given(low: int, high: int) -> range:
    """Return the ports to choose from, where the kernel gives those from `low` to `high` to whoever asks for any.

    >>> not_given(32768, 60999), not_given(1024, 60999)
    (range(10000, 32768), range(61000, 65536))

    All of them where it gives nearly all: then they are held against our own kind only.

    >>> not_given(1024, 65535)
    range(10000, 65536)
    """
    most = max(range(FIRST, low), range(high + 1, LAST + 1), key=len)
    return most if len(most) >= ENOUGH else range(FIRST, LAST + 1)


def is_given(ports: Collection[int]) -> bool:
    """Say whether the kernel gives one of these to whoever asks for any: it may be another's when it is wanted."""
    low, high = map(int, _GIVEN.read_text(encoding="ascii").split())
    kept = reserved(_RESERVED.read_text(encoding="ascii"))
    return any(low <= port <= high and port not in kept for port in ports)


def reserved(text: str) -> set[int]:
    """Return the ports of `ip_local_reserved_ports`, which the kernel gives to nobody.

    >>> sorted(reserved("5060,40000-40002")), reserved("")
    ([5060, 40000, 40001, 40002], set())
    """
    ends = [one.partition("-") for one in text.strip().split(",") if one]
    return {port for low, _, high in ends for port in range(int(low), int(high or low) + 1)}


class Ports:
    """The ports of one process, out of some."""

    def __init__(self, among: range | None = None) -> None:
        """`among`: from here; None: where the kernel gives none, as it says when the first port is taken."""
        self._among = among
        self._holds: set[int] = set()
        """File descriptors."""
        self._left = range(0)
        """What has not been taken of the hundreds that were held last."""
        self._lock = threading.Lock()

    def take(self, n: int = 1) -> int:
        """See `take`."""
        with self._lock:
            first = _piece(self._left, n)
            if first is None:
                first, self._left, _ = self._hold(n)
            self._left = self._left[first + n + n % 2 - self._left.start :]
            return first

    @contextmanager
    def held(self, n: int) -> Iterator[int]:
        """See `held`."""
        first, _, holds = self._hold(n)
        try:
            yield first
        finally:
            self._let_go(holds)

    def forget(self) -> None:
        """Be without ports: in a fork they are still its parent's, and nobody's when that has ended."""
        self._lock = threading.Lock()
        self._left = range(0)
        self._let_go({*self._holds})

    def _hold(self, n: int) -> tuple[int, range, set[int]]:
        """Hold as many hundreds as it takes for `n` ports; return the first port, all ports, and the holds."""
        if self._among is None:
            low, high = map(int, _GIVEN.read_text(encoding="ascii").split())
            self._among = not_given(low, high)
        size = -(-n // HUNDRED) * HUNDRED
        firsts = range(-(-self._among.start // HUNDRED) * HUNDRED, self._among.stop - size + 1, HUNDRED)
        for start in random.sample(firsts, len(firsts)):  # what ended last is seldom disturbed by what it is still sent
            ports, holds = range(start, start + size), set[int]()
            first = _piece(ports, n) if _holds_all(ports, holds) else None
            self._holds |= holds
            if first is not None:
                return first, ports, holds
            self._let_go(holds)
        raise NoPorts(n, self._among)

    def _let_go(self, holds: set[int]) -> None:
        for number in holds & self._holds:
            os.close(number)
        self._holds -= holds


def _holds_all(ports: range, holds: set[int]) -> bool:
    """Hold the hundreds of `ports` until one is another's; say whether none is."""
    for first in ports[::HUNDRED]:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.bind(f"\0ringmaster-ports-{first}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
            holds.add(sock.detach())
    return True


def _piece(ports: range, n: int) -> int | None:
    """Return the first of `n` free ones in a row, an even one; None: there are none."""
    first = ports.start + ports.start % 2
    for port in ports:
        if not _is_free(port):
            first = port + 1 + (port + 1) % 2
        elif port - first + 1 == n:
            return first
    return None


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


_ours = Ports()
os.register_at_fork(after_in_child=_ours.forget)

__all__ = ["NoPorts", "Ports", "held", "is_given", "reserved", "take"]
