"""What a node holds as long as it is up: its UDP sockets, and a directory of its own for those of the mesh.

Held by the launcher alone; all else that a node has on disk outlives it. Standard library only.
"""

from __future__ import annotations

import errno
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from nodes import lock
from nodes.config import Config, Paths
from nodes.errors import NodeError, in_words
from nodes.files import write_private


class PortTaken(NodeError):
    """A port that the configuration names is in use, or its address is not this machine's."""


class NoState(NodeError):
    """The state directory cannot be had: it cannot be written, or what would be emptied in it is not a node's."""


@contextmanager
def udp_sockets(config: Config) -> Iterator[dict[str, socket.socket]]:
    """Bind what the configuration names: `sip`, and as `rtp-N` the even RTP ports (RFC 3550 s.11: odd ones are RTCP's).

    Nothing on a node that has no telephone. Raises: PortTaken, with the key.
    """
    if "edge" not in config.node.roles:
        yield {}
        return
    first, last = config.rtp.ports
    enough = config.media.processes * config.media.channels
    with ExitStack() as stack:
        bound = {"sip": stack.enter_context(_bound("sip.port", "sip.bind", config.sip.bind, config.sip.port))}
        for port in [port for port in range(first, last + 1) if port % 2 == 0][:enough]:
            bound[f"rtp-{port}"] = stack.enter_context(_bound("rtp.ports", "rtp.bind", config.rtp.bind, port))
        yield bound


def _bound(port_key: str, bind_key: str, host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        key = port_key if error.errno in (errno.EADDRINUSE, errno.EACCES) else bind_key
        raise PortTaken(f"{key}: UDP {host}:{port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


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


__all__ = ["NoState", "PortTaken", "epoch", "run_directory", "udp_sockets"]
