"""How a process of ours logs in to NATS: where, as whom, and what must be encrypted.

Every role has a login of its own. The embedded server's are made by `server.embedded`; a configured server's are files
that `nats.nkey` or `nats.creds` names, or what this machine has joined its cluster with: nkeys, where it was given any,
else passwords that follow from the cluster's secret.
What is wrong with a file is told before anything is connected, with its key.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error

from nodes.bus import server
from nodes.config import Config, ConfigError
from nodes.links import cluster_state
from nodes.links.cluster_state import ClusterState
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role, inbox, user_of

_SUFFIX: Final = {"nkey": ".nk", "creds": ".creds"}
AGAIN_S: Final = 0.2
"""How long a reconnecting that was cancelled may take to end before it is told again."""
TELLS: Final = 10
"""So often it is told: one that has not ended by then never does, and whoever ends does not wait for it."""


class NotEncrypted(Error):
    """nats.url says tls://, and the server there does not encrypt: nothing was sent to it."""

    def __init__(self) -> None:
        super().__init__("nats.url says tls://, and the server there does not offer it")


@dataclass(frozen=True, slots=True)
class Login:
    """Where NATS is and who we are. `options`: what else nats-py's `connect` is given.

    `url`: one address, or several with commas, of which any one will do.
    """

    url: str
    inbox: str
    embedded: Path | None = None
    """The configuration of the node's own server; None when it is somebody else's."""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    has_others: bool = False
    """Whether the node's own server is one of several."""

    @property
    def urls(self) -> list[str]:
        """The addresses of `url`, one by one."""
        return [each.strip() for each in self.url.split(",")]

    @property
    def is_encrypted(self) -> bool:
        """Whether a server that does not encrypt is refused."""
        return urlsplit(self.urls[0]).scheme == "tls"


class StrictClient(Client):
    """A client that sends no login in the clear where tls:// was said.

    nats-py goes on without encryption when a server does not ask for it. The server's first word comes before ours, on
    each connection: here it is read.
    """

    def __init__(self, is_encrypted: bool) -> None:
        super().__init__()
        self._is_encrypted = is_encrypted

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._is_encrypted and not info.get("tls_required"):
            raise NotEncrypted
        await super()._process_info(info, initial_connection)

    async def end(self) -> None:
        """Close it, and have nothing of it go on.

        nats-py cancels its reconnecting once, which may go by (`asyncio.wait_for` before Python 3.12); a client that
        had been closed, as one whose login is taken from it, then went on for ever, and was nobody's.
        """
        for _ in range(TELLS):
            if (task := self._reconnection_task) is None or task.done():
                break
            task.cancel()
            await asyncio.wait([task], timeout=AGAIN_S)
        await self.close()


def login(config: Config, role: Role) -> Login:
    """Return how this role logs in.

    Raises: `ConfigError`, which names the key of a file that cannot be used, or an address that is missing;
    `BadClusterState`; `OSError` when the embedded server was never started.
    """
    nats, url = config.nats, server.url(config)
    if config.has_server:
        options = _password(config, role, server.password(config, role)) | _encryption(config, url, is_own=True)
        return Login(url, inbox(config.node.id, role), server.settings(config), options, bool(nats.routes))
    is_told = nats.nkey or nats.creds or "@" in url
    return of_cluster(config, role, None if is_told else cluster_state.read(config.paths.state), url)


def of_cluster(config: Config, role: Role, cluster: ClusterState | None, url: str) -> Login:
    """Return how a role of this node logs in at a server of the cluster, also before it has joined.

    `cluster`: with what, when the configuration does not say. Raises: `ConfigError`.
    """
    proof = _proof(config, role, cluster, url) | _encryption(config, url)
    return Login(url, inbox(config.node.id, role), options=proof)


def _proof(config: Config, role: Role, cluster: ClusterState | None, url: str) -> dict[str, Any]:
    nats = config.nats
    if nats.nkey:
        return {"nkeys_seed": str(_file("nkey", nats.nkey, role))}
    if nats.creds:
        return {"user_credentials": str(_file("creds", nats.creds, role))}
    if cluster is None or "@" in url:
        return {}
    if role in cluster.nkeys:
        return {"nkeys_seed_str": cluster.nkeys[role]}
    if cluster.nkeys:
        reason = f"this machine has joined with nkeys, and has none for {role}: ringmaster cluster keys, then join"
        raise ConfigError("configuration", "nats.nkey", reason)
    return _password(config, role, cluster.password(config.node.id, role))


def _password(config: Config, role: Role, password: str) -> dict[str, Any]:
    return {"user": user_of(config.node.id, role), "password": password}


def _encryption(config: Config, url: str, *, is_own: bool = False) -> dict[str, Any]:
    """Return whom to believe, and who we are. Raises: `ConfigError`.

    `is_own`: this machine's own server, at an address that its certificate need not name, and which wants none of us.
    """
    if urlsplit(url).scheme != "tls":
        return {}
    nats = config.nats
    made = _trust(nats.ca, None, None) if is_own else _trust(nats.ca, nats.cert, nats.key)
    made.check_hostname = not is_own
    return {"tls": made}


def plain(url: str, node: NodeId) -> Login:
    """Return a login with nothing but an address, which may hold user and password."""
    return Login(url, f"_INBOX.{node}")


def _file(key: str, path: Path, role: Role) -> Path:
    """Return the role's file. Raises: `ConfigError`."""
    file = path / f"{role}{_SUFFIX[key]}" if path.is_dir() else path
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigError("configuration", f"nats.{key}", f"{file}: {error.strerror}") from error
    return file


def _trust(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return whom we believe and who we are. Raises: `ConfigError`."""
    try:
        made = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("configuration", "nats.ca", f"{ca}: {_reason(error)}") from error
    if cert:
        try:
            made.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("configuration", "nats.cert", f"{cert}, {key}: {_reason(error)}") from error
    return made


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


__all__ = ["Login", "NotEncrypted", "StrictClient", "login", "of_cluster", "plain"]
