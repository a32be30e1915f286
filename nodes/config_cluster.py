"""`[cluster]` and `[nats]`: how the machines of one cluster reach each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nodes.tables import a_port, several, within

_ROUTE: Final = re.compile(r"[^\s:@/]+:\d{1,5}")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where other machines reach this one. Without `bind` the node is alone, and nothing of this listens."""

    bind: str = ""
    """The IPv4 address that others connect to."""
    port: int = a_port(7400)
    """The launcher's door: whether it lives is seen there. 0: any."""
    ports: tuple[int, int] = (7401, 7460)
    """One for each process: it takes the first that is free. `[0, 0]`: any."""

    def __post_init__(self) -> None:
        if self.bind and not _is_an_address(self.bind):
            raise ValueError(f"bind: {self.bind!r} is no IPv4 address that other machines could connect to")
        first, last = self.ports
        if (first, last) != (0, 0) and not 1024 <= first <= last <= 65535:
            raise ValueError("ports: first and last, between 1024 and 65535, or [0, 0] for any")

    @property
    def is_joined(self) -> bool:
        """Whether this node is one of several."""
        return bool(self.bind)


def _is_an_address(text: str) -> bool:
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_multicast)


@dataclass(frozen=True, slots=True)
class Nats:
    """The cluster's bus. Without `url` a nats-server is started here, on `port` (0: any free one).

    With one, `nkey` or `creds` says who we are there: a file for all processes, or a directory with one a role
    (`edge.nk`, `edge.creds`; the roles are those of `protocols.wire.roles`); without either, a node that has the
    cluster's keys has its passwords from them. `tls://` is encrypted or refused.
    """

    url: str = several()
    """Where NATS is; of several addresses, in a list or with commas, any one will do."""
    nkey: Path | None = None
    """An nkey's seed."""
    creds: Path | None = None
    """A JWT and its seed, as `nsc` writes them."""
    ca: Path | None = None
    """Who has signed the server's certificate; None: whom this machine trusts."""
    cert: Path | None = None
    key: Path | None = None
    """Our own certificate and its key, where the server wants one; without `url` the embedded server's own."""
    bind: str = "127.0.0.1"
    """Where the embedded server listens. It knows the users of all nodes of the cluster."""
    port: int = a_port(4222)
    routes: tuple[str, ...] = ()
    """Other embedded servers (`10.0.0.1:6222`): together they are one."""
    route_port: int = a_port(6222)
    """Where the embedded server hears the others."""
    insecure: bool = False
    """Have the embedded server be reached from beyond this machine without TLS: where a private network has it."""
    server: Path | None = None
    """The nats-server to start; None: the one beside this Python, then the one on PATH."""
    replicas: int = within(1, 1, 5)
    store_mb: int = within(8192, 1, 100_000_000)
    """What all streams may take on its disk; less where the disk has less."""
    events_share: float = within(0.7, 0.05, 0.9)
    """Of that, for the events of calls: beyond it the oldest go. The rest is kept for the journal, the leases and the
    do-not-call list, without which nobody is dialled."""

    def __post_init__(self) -> None:
        for each in self.urls:
            if not (_host(each) and urlsplit(each).scheme in ("nats", "tls")):
                raise ValueError(f"url: {each!r} is not nats://HOST:PORT or tls://HOST:PORT")
        schemes = {urlsplit(each).scheme for each in self.urls}
        if len(schemes) > 1:
            raise ValueError("url: all of them are nats://, or all are tls://")
        for each in self.routes:
            if not _ROUTE.fullmatch(each):
                raise ValueError(f"routes: {each!r} is not HOST:PORT")
        if self.routes and self.url:
            raise ValueError("routes: are for the embedded server, and url names another")
        if self.nkey and self.creds:
            raise ValueError("creds: there is nkey, too, and one login is enough")
        if (self.cert is None) != (self.key is None):
            raise ValueError(f"{'key' if self.cert else 'cert'}: is missing, and one is of no use without the other")
        for name in ("nkey", "creds"):
            if getattr(self, name) and not self.url:
                raise ValueError(f"{name}: is for a server that url names")
        if self.url and (self.ca or self.cert) and schemes != {"tls"}:
            raise ValueError(f"{'ca' if self.ca else 'cert'}: is for tls://, and url is {min(schemes)}://")
        if not (self.url or self.cert or self.insecure or is_loopback(self.bind)):
            raise ValueError(
                f"bind: {self.bind} is reached from beyond this machine, and secrets would travel in the clear: "
                "set cert and key, or insecure = true"
            )

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of `url`, one by one."""
        return tuple(filter(None, (each.strip() for each in self.url.split(","))))


def _host(url: str) -> str | None:
    try:
        where = urlsplit(url)
        _ = where.port  # a ValueError of its own
        return where.hostname
    except ValueError:
        return None


__all__ = ["Cluster", "Nats", "is_loopback"]
