"""The embedded nats-server's configuration as text: where it listens, for whom, and with which other servers it is one.

Users are the last line, alone, so that a server that runs can be given others without anything else of it changing
(SIGHUP). Servers that are one ask each other for a password of the cluster's, and for a certificate where they have
one. They tell their clients nothing of each other: a process stays with the server of its own machine, or with the
addresses that it was given. Standard library only, because the launcher imports it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nodes.config import Config, ConfigError
from nodes.links.cluster_state import ClusterState

_TEXT: Final = """\
# Written at each start; changes here are lost.
server_name: {name}
listen: {listen}
pid_file: {pid}
max_payload: 1MB
jetstream {{
  store_dir: {store}
  max_file_store: {room}
  max_memory_store: 64MB
}}
"""
_CLUSTER: Final = """\
cluster {{
  name: {name}
  listen: {listen}
  no_advertise: true
  authorization {{ user: {user}, password: {password}, timeout: 5 }}
  routes: {routes}
}}
"""
_USERS: Final = "authorization: "
_ROUTER: Final = "ringmaster"
"""The servers' user among each other."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where this machine reaches a server of its own that listens everywhere."""


def text(config: Config, cluster: ClusterState | None, *, port: int, store: Path, room: int, pid_file: Path) -> str:
    """Return all of it but the users. Raises: `ConfigError` for routes on a machine that is of no cluster."""
    nats = config.nats
    made = _TEXT.format(
        name=config.node.id,
        listen=_quoted(_at(nats.bind, port)),
        pid=_quoted(pid_file),
        store=_quoted(store),
        room=room,
    )
    made += _tls(config)
    if not nats.routes:
        return made
    if cluster is None:
        reason = "servers that are one need the cluster's secret: ringmaster cluster init, or join"
        raise ConfigError("configuration", "nats.routes", reason)
    password = cluster.routes()
    made += _CLUSTER.format(
        name=_quoted(f"ringmaster-{cluster.id}"), listen=_quoted(_at(nats.bind, nats.route_port)), user=_ROUTER,
        password=_quoted(password), routes=json.dumps([f"nats://{_ROUTER}:{password}@{each}" for each in nats.routes]),
    )  # fmt: skip
    return made.removesuffix("}\n") + _tls(config) + "}\n"


def users_line(users: Sequence[object]) -> str:
    """Return the last line."""
    return f"{_USERS}{json.dumps({'users': users})}\n"


def with_users(text: str, users: Sequence[object]) -> str:
    """Return a configuration with other users."""
    before, found, _ = text.rpartition(f"\n{_USERS}")
    return f"{before}\n{users_line(users)}" if found else text + users_line(users)


def local_url(config: Config, port: int) -> str:
    """Return where the processes of this node reach the server.

    >>> local_url(Config(), 4222)
    'nats://127.0.0.1:4222'
    """
    bind = config.nats.bind
    return f"{scheme(config)}://{_at(_ANY.get(bind, bind), port)}"


def scheme(config: Config) -> str:
    """Return how the server is spoken to."""
    return "tls" if config.nats.cert else "nats"


def _tls(config: Config) -> str:
    nats = config.nats
    if not nats.cert:
        return ""
    files = {"cert_file": nats.cert, "key_file": nats.key, **({"ca_file": nats.ca} if nats.ca else {})}
    return f"tls {{ {', '.join(f'{key}: {_quoted(file)}' for key, file in files.items())} }}\n"


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _quoted(what: object) -> str:
    return json.dumps(str(what))


__all__ = ["local_url", "scheme", "text", "users_line", "with_users"]
