"""Where a process of a cluster is reached from other machines: over TCP, encrypted, by holders of the cluster's key.

What it does: says where, and binds there. What it does not: speak; that is the mesh's, which has a ROUTER for this
machine and another one for the others.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final, Self

import zmq

from nodes.config import Config, ConfigError
from nodes.links.errors import NoPortFree
from nodes.mesh.curve import ClusterKey

CURVE_KEY: Final = "curve.key"
"""The cluster's key, below `paths.cluster`."""
CONNECT_S: Final = 1.0
"""A try to connect is given up after this, and the next one begins: the kernel's own pauses grow to a minute, and who
was cut off shall be heard within a second of being back."""
HANDSHAKE_S: Final = 5.0
"""Who has connected and has not shown the key by then is let go: a stranger holds a file descriptor no longer."""


@dataclass(frozen=True, slots=True)
class Outside:
    """The cluster's key, and where we listen: `bind` empty says nowhere, as for a command, which only asks."""

    key: ClusterKey
    bind: str = ""
    ports: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, config: Config, is_guest: bool = False) -> Self | None:
        """Return what the configuration says; None on a node that is alone. Raises: `ConfigError` without the key."""
        if not config.cluster.is_joined:
            return None
        path = config.paths.cluster / CURVE_KEY
        try:
            key = ClusterKey.read(path)
        except OSError as error:
            reason = f"{path}: {error.strerror}; ringmaster cluster init makes it, cluster join brings it"
            raise ConfigError("configuration", "cluster.bind", reason) from error
        return cls(key, "" if is_guest else config.cluster.bind, config.cluster.ports)

    def reach(self, dealer: zmq.Socket[bytes]) -> None:
        """Prepare a socket that will connect to another machine."""
        self.key.secure(dealer, is_server=False)
        dealer.setsockopt(zmq.CONNECT_TIMEOUT, int(CONNECT_S * 1000))

    def listen(self, router: zmq.Socket[bytes]) -> str:
        """Bind the first port that is free, and return the endpoint. Raises: `NoPortFree`, `zmq.ZMQError`."""
        self.key.secure(router, is_server=True)
        router.setsockopt(zmq.HANDSHAKE_IVL, int(HANDSHAKE_S * 1000))
        first, last = self.ports
        for port in range(first, last + 1):
            try:
                router.bind(f"tcp://{self.bind}:{port or '*'}")
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return router.getsockopt_string(zmq.LAST_ENDPOINT)
        raise NoPortFree(self.bind, self.ports)


__all__ = ["CURVE_KEY", "Outside"]
