"""The node's own nats-server: which one, with what configuration, at what address, for which users.

The launcher starts it as a child like any other; in production NATS runs under systemd and `nats.url` names it. It
knows a user for each role (`protocols.wire.roles`) and nobody else. Their passwords are made once, in
`<state>/nats/users`, for the node's owner only; on a machine of a cluster it knows the users of all nodes, whose
passwords are worked out from the cluster's secret (`cluster_state`). For people there are contexts of the NATS CLI:

    XDG_CONFIG_HOME=<state> nats --context operator kv ls
    XDG_CONFIG_HOME=<state> nats --context viewer kv watch rm_calls

Standard library only, because the launcher imports it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nodes import ports
from nodes.bus import server_settings
from nodes.config import Config, ConfigError
from nodes.files import make_private, write_private
from nodes.links import cluster_state
from nodes.links.cluster_state import ClusterState
from nodes.links.errors import ServerTooOld
from protocols.wire.ids import NodeId
from protocols.wire.roles import PEOPLE, Role, inbox, user_of, users

OLDEST: Final = (2, 9, 0)
VERSION_S: Final = 20.0
"""It takes 5 ms, and longer where the disk or all processors are busy, as they are when everything starts."""
_SBIN: Final = "/usr/local/sbin:/usr/sbin"
"""Where Debian puts it, which is on the PATH of few."""
MB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """What to run, and where it will listen."""

    argv: tuple[str, ...]
    url: str


def embedded(config: Config) -> Server:
    """Write the server's configuration below the state directory and return how to start it.

    A port of 0 becomes one of this process's, so that clients find the server there again after each of its restarts.
    Raises: `ConfigError` when there is no nats-server or its port is taken, `ServerTooOld`, `BadClusterState`,
    `NoPorts`.
    """
    program = find(config.nats.server)
    check(program)
    bind = config.nats.bind
    port = config.nats.port or ports.take()
    _check_port(bind, port)
    config.paths.nats.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster, store, file = cluster_state.read(config.paths.state), config.paths.nats / "store", settings(config)
    check_store(config, store)
    check_company(config, cluster.urls if cluster else ())
    room = room_on_disk(config, store)
    text = server_settings.text(config, cluster, port=port, store=store, room=room, pid_file=pid_file(file))
    _write(file, text + server_settings.users_line(_users(config, cluster)))
    _write(_room(config), str(room))
    server = Server((str(program), "--config", str(file)), server_settings.local_url(config, port))
    _write(_address(config), server.url)
    for role in PEOPLE:
        told = _context(config, server.url, role, password(config, role))
        _write(context(config, role), json.dumps(told, indent=1))
    return server


def let_in(config: Config) -> bool:
    """Have the server that runs know the users of all nodes of the cluster as they are now; False: none runs.

    What else may have changed on this machine since its start stays as it was. Raises: `OSError`.
    """
    file = settings(config)
    with cluster_state.alone(config.paths.state):  # or whoever read the nodes first would write them last
        if (pid := pid_of(file)) is None:
            return False
        users = _users(config, cluster_state.read(config.paths.state))
        _write(file, server_settings.with_users(file.read_text(encoding="utf-8"), users))
        os.kill(pid, signal.SIGHUP)
    return True


def check_reach(config: Config) -> None:
    """Refuse to start a node that finds no NATS, or that has joined a cluster in which nobody would find it.

    Raises: `ConfigError`, `BadClusterState`, `OSError`.
    """
    cluster = cluster_state.read(config.paths.state)
    if cluster and cluster.urls and not config.cluster.is_joined:
        reason = f"is missing: this machine has joined cluster {cluster.name}, and no other node would find it"
        raise ConfigError("configuration", "cluster.bind", reason)
    if not config.has_server:
        url(config)


def check_company(config: Config, urls: Sequence[str]) -> None:
    """Refuse to start a server that would be alone beside those of the cluster that this machine has joined.

    `urls`: where its keys say that NATS is; the server here may be that one. Raises: `ConfigError`.
    """
    ours, port = {config.nats.bind, config.cluster.bind}, config.nats.port
    is_one_of_them = any((where.hostname, where.port) in {(one, port) for one in ours} for where in map(urlsplit, urls))
    if config.has_server and urls and not config.nats.routes and not is_one_of_them:
        reason = f"has nats, and the server here would be alone: the cluster's is at {', '.join(urls)}"
        mend = "leave nats out of node.roles, or name the other servers in nats.routes"
        raise ConfigError("configuration", "node.roles", f"{reason}; {mend}")


def _users(config: Config, cluster: ClusterState | None) -> list[dict[str, object]]:
    nodes = dict.fromkeys([config.node.id, *(cluster_state.known(config.paths.state) if cluster else ())])

    def proof(node: NodeId, role: Role) -> dict[str, str]:
        secret = cluster.password(node, role) if cluster else _password(config, role)
        return {"user": user_of(node, role), "password": secret}

    return users(nodes, proof)


def url(config: Config) -> str:
    """Return where NATS is: the configured addresses, else the embedded server's, as `embedded` has left it; on a node
    without one, those that it has joined with.

    Raises: `OSError` when `embedded` was never called, `ConfigError` when nobody has told an address.
    """
    if config.nats.url or config.has_server:
        return config.nats.url or _address(config).read_text(encoding="utf-8")
    cluster = cluster_state.read(config.paths.state)
    if cluster is None or not cluster.urls:
        reason = (
            "is missing: no nats-server is started here, and this machine has joined no cluster (ringmaster cluster)"
        )
        raise ConfigError("configuration", "nats.url", reason)
    return ",".join(cluster.urls)


def settings(config: Config) -> Path:
    """Return where the embedded server's configuration is."""
    return config.paths.nats / "nats-server.conf"


def pid_file(settings: Path) -> Path:
    """Return where a server with this configuration leaves its process id."""
    return settings.with_suffix(".pid")


def room(config: Config) -> int:
    """Return the bytes that streams may take in all, as `embedded` has found; of a server elsewhere, `store_mb`."""
    if not config.has_server:  # what an embedded one had in an earlier life of this node says nothing
        return config.nats.store_mb * MB
    try:
        return int(_room(config).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return config.nats.store_mb * MB


def check_store(config: Config, store: Path) -> None:
    """Refuse to have a server that was alone become one of several with the streams that it has.

    JetStream takes none of them over, and deletes what the others do not know half a minute after its start. Raises:
    `ConfigError`.
    """
    own = store / "jetstream" / "$G" / "streams"
    if config.nats.routes and own.is_dir() and any(own.iterdir()) and not _was_one_of_several(store):
        reason = f"the server here was alone, and its streams in {store} would be lost: see 'From one machine to five'"
        raise ConfigError("configuration", "nats.routes", reason)


def _was_one_of_several(store: Path) -> bool:
    return (store / "jetstream" / "$SYS" / "_js_" / "_meta_").exists()


def room_on_disk(config: Config, store: Path) -> int:
    """Return `store_mb`, or less where the disk has less: nine tenths of what is free and what the store has."""
    has = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    free = shutil.disk_usage(config.paths.nats).free
    return min(config.nats.store_mb * MB, (free + has) * 9 // 10)


def _room(config: Config) -> Path:
    return config.paths.nats / "room"


def password(config: Config, role: Role) -> str:
    """Return a role's password at the servers of the cluster; of a node that is of none, at the embedded server, as
    `embedded` has left it. Raises: `OSError`, `BadClusterState`.
    """
    if cluster := cluster_state.read(config.paths.state):
        return cluster.password(config.node.id, role)
    return _password_file(config, role).read_text(encoding="utf-8")


def context(config: Config, role: Role) -> Path:
    """Return where the NATS CLI finds a role's context when `XDG_CONFIG_HOME` is the state directory."""
    return config.paths.nats / "context" / f"{role}.json"


def _context(config: Config, url: str, role: Role, password: str) -> dict[str, str]:
    """Return a context as the CLI reads it (github.com/nats-io/jsm.go, natscontext)."""
    node = config.node.id
    return {
        "description": f"Ringmaster node {node}, {role}",
        "url": url,
        "user": user_of(node, role),
        "password": password,
        "inbox_prefix": inbox(node, role),
    }


def pid_of(settings: Path) -> int | None:
    """Return the process that serves with this configuration, if it lives."""
    try:
        pid = int(pid_file(settings).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(settings) in command else None


def _password(config: Config, role: Role) -> str:
    """Return a role's password, made now if there is none."""
    path = _password_file(config, role)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return make_private(path, secrets.token_hex(24).encode()).decode()


def _password_file(config: Config, role: Role) -> Path:
    return config.paths.nats / "users" / role


def _address(config: Config) -> Path:
    return config.paths.nats / "url"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, text.encode())


def find(configured: Path | None = None) -> Path:
    """Return the nats-server that is configured, else the one beside this Python, else the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    on_path = shutil.which("nats-server") or shutil.which("nats-server", path=_SBIN)
    for program in (configured,) if configured else (beside, Path(on_path or "")):
        if program.is_file():
            return program
    raise ConfigError("configuration", "nats.server", f"there is no nats-server {configured or 'on PATH'}")


def check(program: Path) -> tuple[int, int, int]:
    """Return a nats-server's version. Raises: `ServerTooOld`."""
    try:
        said = subprocess.check_output([program, "--version"], text=True, timeout=VERSION_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError("configuration", "nats.server", f"{program} --version: {_short(error)}") from error
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
    if version < OLDEST:
        told = ".".join(map(str, version)) if found else f"of unknown version ({said.strip()[:100]!r})"
        raise ServerTooOld(f"{told} ({program})", "2.9")
    return version


def _short(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"exit status {error.returncode}"
    return "no answer" if isinstance(error, subprocess.TimeoutExpired) else getattr(error, "strerror", "") or str(error)


def _check_port(bind: str, port: int) -> None:
    """Refuse to start a server whose port is taken. Raises: `ConfigError`."""
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: connections may linger
        try:
            probe.bind((bind, port))
        except OSError as error:
            raise ConfigError("configuration", "nats.port", f"TCP {bind}:{port}: {error.strerror}") from error


__all__ = [
    "Server",
    "check",
    "check_company",
    "check_reach",
    "context",
    "embedded",
    "find",
    "let_in",
    "password",
    "pid_file",
    "pid_of",
    "room",
    "settings",
    "url",
]
