"""What a node holds as long as it is up: its UDP sockets, and a directory of its own for those of the mesh.

Held by the launcher alone; all else that a node has on disk outlives it, and so do the UDP sockets where a service
manager keeps them. Never a TCP one: that is closed with the launcher is how others know that it has died (`doorway`).
Standard library only.
"""

from __future__ import annotations

import errno
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from nodes import lock
from nodes.config import FIRST_EDGE, Config, Paths
from nodes.edge_names import sip_ports
from nodes.errors import NodeError, in_words
from nodes.files import write_private
from nodes.service_manager import NOBODY, ServiceManager

MOST_WAITING: Final = 10_000
"""Datagrams that are thrown away at one socket: thirty times what its buffer holds, and no flood lasts longer."""


class PortTaken(NodeError):
    """A port that the configuration names is in use, or its address is not this machine's."""


class NoState(NodeError):
    """The state directory cannot be had: it cannot be written, or what would be emptied in it is not a node's."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a UDP socket is to be, and the keys of the configuration that say so. `port` 0: any."""

    host: str
    port: int
    bind_key: str
    port_key: str

    def has(self, sock: socket.socket) -> bool:
        """Return whether a socket is there."""
        if (sock.family, sock.type) != (socket.AF_INET, socket.SOCK_DGRAM):
            return False
        host, port = sock.getsockname()
        return bool(host == self.host and self.port in (0, port))


@contextmanager
def udp_sockets(config: Config, manager: ServiceManager = NOBODY) -> Iterator[dict[str, socket.socket]]:
    """Have what the configuration names: `sip-N` of each edge, and as `rtp-N` the even RTP ports (RFC 3550 s.11: odd
    ones are RTCP's). What the manager has kept and is still wanted is taken from it, the rest bound and given to it.

    A BYE may wait in a SIP socket that was kept, and is heard. Audio that waits in an RTP socket is nobody's any more.

    Nothing on a node that has no telephone. Raises: PortTaken, with the key; ConfigError.
    """
    wanted = _wanted(config)
    kept = {name: sock for name, sock in manager.kept.items() if name in wanted and wanted[name].has(sock)}
    manager.drop(manager.kept.keys() - kept.keys())
    with ExitStack() as stack:
        for name, sock in kept.items():
            stack.enter_context(sock)
            sock.setblocking(False)
            if name.startswith("rtp-"):
                _empty(sock)
        bound = {name: kept.get(name) or stack.enter_context(_bound(place)) for name, place in wanted.items()}
        manager.keep(bound)
        yield bound


def _wanted(config: Config) -> dict[str, _Place]:
    """Return name -> place of a node's sockets. Raises: ConfigError."""
    if "edge" not in config.node.roles:
        return {}
    found = {}
    for edge, port in sip_ports(config).items():
        key = "sip.port" if edge == FIRST_EDGE else "sip.further_ports"
        found[sip_of(edge)] = _Place(config.sip.bind, port, "sip.bind", key)
    first, last = config.rtp.ports
    enough = config.media.processes * config.media.channels
    for port in [port for port in range(first, last + 1) if port % 2 == 0][:enough]:
        found[f"rtp-{port}"] = _Place(config.rtp.bind, port, "rtp.bind", "rtp.ports")
    return found


def sip_of(edge: str) -> str:
    """Return by which name the SIP socket of this edge is held.

    >>> sip_of("edge-1")
    'sip-1'
    """
    return f"sip-{edge.rpartition('-')[2]}"


def _bound(place: _Place) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((place.host, place.port))
    except OSError as error:
        sock.close()
        key = place.port_key if error.errno in (errno.EADDRINUSE, errno.EACCES) else place.bind_key
        raise PortTaken(f"{key}: UDP {place.host}:{place.port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def _empty(sock: socket.socket) -> None:
    """Throw away what waits in it."""
    with suppress(BlockingIOError):
        for _ in range(MOST_WAITING):
            sock.recv(1)


@contextmanager
def run_directory(paths: Paths) -> Iterator[None]:
    """Hold the directory of sockets and roster: empty at the start, gone at the end, ours alone in between.

    Raises: AlreadyUp, NoState.
    """
    with ExitStack() as stack:
        try:
            paths.state.mkdir(parents=True, exist_ok=True)
            _check_ours(paths)
            stack.enter_context(lock.held(paths.state))
            if paths.run.exists():
                shutil.rmtree(paths.run)  # what a killed node has left
            paths.run.mkdir(mode=0o700)
        except OSError as error:
            raise NoState(f"paths.state: {in_words(error)}") from error
        stack.callback(shutil.rmtree, paths.run, ignore_errors=True)
        yield


def epoch(paths: Paths) -> int:
    """Return when this node is started, in nanoseconds of the wall clock: later than every time before.

    Also when that clock was put back meanwhile, for who says something with an earlier one is not heard any more. It is
    kept on disk; where that is full, only the clock is believed.
    """
    file = paths.cluster / "epoch"
    try:
        before = int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = 0
    now = max(time.time_ns(), before + 1)
    with suppress(OSError):
        write_private(file, str(now).encode())
    return now


def _check_ours(paths: Paths) -> None:
    """Refuse to empty what no node has put there: `/` would be a bad state directory, for `/run` is another's."""
    if not lock.is_known(paths.state) and paths.run.exists() and any(paths.run.iterdir()):
        raise NoState(f"paths.state: {paths.run} exists and is not a node's: name another state directory")


__all__ = ["NoState", "PortTaken", "epoch", "run_directory", "sip_of", "udp_sockets"]
