"""The nats-server of a development machine: which one, with what configuration, at what address, for which users.

The launcher starts it as a child like any other; in production NATS runs under systemd and `nats.url` names it. It
listens on the loopback only, and knows a user for each role (`protocols.wire.roles`) and nobody else. Their passwords
are made once, in `<state>/nats/users`, for the node's owner only; for people there are contexts of the NATS CLI:

    XDG_CONFIG_HOME=<state> nats --context operator kv ls
    XDG_CONFIG_HOME=<state> nats --context viewer kv watch rm_calls

Standard library only, because the launcher imports it.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.config import Config, ConfigError
from nodes.files import make_private, write_private
from nodes.links.errors import ServerTooOld
from protocols.wire.roles import Role, inbox, user_of, users

OLDEST: Final = (2, 9, 0)
VERSION_S: Final = 5.0
_SBIN: Final = "/usr/local/sbin:/usr/sbin"
"""Where Debian puts it, which is on the PATH of few."""
_SETTINGS: Final = """\
# Written at each start; changes here are lost.
server_name: {name}
listen: "127.0.0.1:{port}"
pid_file: {pid}
max_payload: 1MB
jetstream {{
  store_dir: {store}
  max_file_store: {room}
  max_memory_store: 64MB
}}
authorization: {{ "users": {users} }}
"""
MB: Final = 1024 * 1024
PEOPLE: Final = (Role.OPERATOR, Role.VIEWER)
"""Roles with a context of the NATS CLI."""


@dataclass(frozen=True, slots=True)
class Server:
    """What to run, and where it will listen."""

    argv: tuple[str, ...]
    url: str


def embedded(config: Config) -> Server:
    """Write the server's configuration below the state directory and return how to start it.

    A port of 0 becomes a free one now, so that clients find the server there again after each of its restarts.
    Raises: `ConfigError` when there is no nats-server or its port is taken, `ServerTooOld`.
    """
    program = find(config.nats.server)
    check(program)
    port = _free_port(config.nats.port)
    config.paths.nats.mkdir(parents=True, exist_ok=True, mode=0o700)
    passwords = {role: _password(config, role) for role in Role}
    known = users([config.node.id], lambda node, role: {"user": user_of(node, role), "password": passwords[role]})
    store, file = config.paths.nats / "store", settings(config)
    room = room_on_disk(config, store)
    text = _SETTINGS.format(
        name=config.node.id, port=port, pid=json.dumps(str(pid_file(file))), store=json.dumps(str(store)),
        room=room, users=json.dumps(known),
    )  # fmt: skip
    _write(file, text)
    _write(_room(config), str(room))
    server = Server((str(program), "--config", str(file)), f"nats://127.0.0.1:{port}")
    _write(_address(config), server.url)
    for role in PEOPLE:
        _write(context(config, role), json.dumps(_context(config, server.url, role, passwords[role]), indent=1))
    return server


def url(config: Config) -> str:
    """Return where NATS is: the configured address, else the embedded server's, as `embedded` has left it.

    Raises: `OSError` when there is none configured and `embedded` was never called.
    """
    return config.nats.url or _address(config).read_text(encoding="utf-8")


def settings(config: Config) -> Path:
    """Return where the embedded server's configuration is."""
    return config.paths.nats / "nats-server.conf"


def pid_file(settings: Path) -> Path:
    """Return where a server with this configuration leaves its process id."""
    return settings.with_suffix(".pid")


def room(config: Config) -> int:
    """Return the bytes that streams may take in all, as `embedded` has found; of a server elsewhere, `store_mb`."""
    if config.nats.url:  # what an embedded one had in an earlier life of this node says nothing
        return config.nats.store_mb * MB
    try:
        return int(_room(config).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return config.nats.store_mb * MB


def room_on_disk(config: Config, store: Path) -> int:
    """Return `store_mb`, or less where the disk has less: nine tenths of what is free and what the store has."""
    has = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    free = shutil.disk_usage(config.paths.nats).free
    return min(config.nats.store_mb * MB, (free + has) * 9 // 10)


def _room(config: Config) -> Path:
    return config.paths.nats / "room"


def password(config: Config, role: Role) -> str:
    """Return a role's password at the embedded server, as `embedded` has left it. Raises: `OSError`."""
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


def _free_port(wanted: int) -> int:
    """Return this port, or for 0 any that is free now. Raises: `ConfigError` when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: connections may linger
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            reason = f"TCP 127.0.0.1:{wanted}: {error.strerror}"
            raise ConfigError("configuration", "nats.port", reason) from error
        port: int = probe.getsockname()[1]
        return port


__all__ = [
    "PEOPLE",
    "Server",
    "check",
    "context",
    "embedded",
    "find",
    "password",
    "pid_file",
    "room",
    "settings",
    "url",
]
