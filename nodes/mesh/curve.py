"""Encrypted and authenticated connections between machines: CURVE (ZeroMQ RFC 26), with one key pair for the cluster.

Whoever has the cluster's secret key is one of us, and nobody else gets past the handshake (the ZAP handler, RFC 27,
knows one public key). The key is a file of mode 0600 that set-up brings to every machine, like the contact key. On one
machine the mesh goes over Unix sockets that belong to us, and needs none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from nodes.mesh.line import Context, PeerLine
from nodes.tables import ConfigError

_ZAP: Final = "inproc://zeromq.zap.01"


@dataclass(frozen=True, slots=True)
class ClusterKey:
    """The key pair of a cluster, in ZeroMQ's Z85 text."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def make(cls) -> ClusterKey:
        """Return a new one."""
        return cls(*zmq.curve_keypair())

    @classmethod
    def read(cls, path: Path) -> ClusterKey:
        """Read it from a file that holds the secret key. Raises: `OSError`, `ConfigError` when it is no key."""
        return cls.of(path.read_bytes().strip(), str(path))

    @classmethod
    def of(cls, secret: bytes, file: str) -> ClusterKey:
        """Return the pair of a secret key from `file`. Raises: `ConfigError` when it is no key."""
        try:
            return cls(zmq.curve_public(secret), secret)
        except (ValueError, zmq.ZMQError) as error:
            raise ConfigError(file, "", "is no CURVE secret key of 40 characters") from error

    def secure(self, socket: zmq.Socket[bytes], is_server: bool) -> None:
        """Have a socket that is not yet bound or connected speak with this cluster only."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        if is_server:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
        else:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.public)

    def guard(self, context: Context) -> PeerLine:
        """Answer the handshakes of a context's servers: yes to this cluster, no to everybody else. Before they bind."""
        known = z85.decode(self.public)

        def judge(parts: list[bytes]) -> int:
            version, request, _domain, _address, _identity, mechanism, *credentials = parts
            is_ours = mechanism == b"CURVE" and credentials == [known]
            line.send([version, request, *((b"200", b"OK") if is_ours else (b"400", b"not of this cluster")), b"", b""])
            return 1

        line = PeerLine(context, zmq.REP, judge)
        line.socket.bind(_ZAP)
        return line


__all__ = ["ClusterKey"]
