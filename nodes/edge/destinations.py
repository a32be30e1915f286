"""Where a script's `fetch` may go: public addresses, and what `fetch.allow` names; never where machines keep secrets.

A script is written by people who write conversations, and runs beside NATS, the desk and a cloud's metadata service. So
what is judged is the address that is connected to, after the name has been resolved: a name that points elsewhere a
moment later gets no further. Business APIs are usually private, so the refusal says which setting to change.
Sources: RFC 6890 (special-purpose addresses), RFC 6052 and 3056 (IPv4 inside IPv6), the clouds' own documentation.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NEVER_HOSTS: Final = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
NEVER: Final = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local: the metadata of AWS, Azure, Google, Oracle, OpenStack, and ECS' credentials
            "fe80::/10",
            "fd00:ec2::/32",  # AWS over IPv6
            "fd20:ce::254/128",  # Google over IPv6
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's wire server
            "192.0.0.192/32",  # Oracle's old one
            "0.0.0.0/8",  # "this host": Linux connects it to loopback
            "::/128",
        ),
    )
)
_NAT64: Final = ip_network("64:ff9b::/96")


class AddressRefused(OSError):
    """A fetch may not go there; the text says why, and which setting would change it."""


class Destinations:
    """What `fetch.allow` permits: hosts by name, addresses and networks."""

    def __init__(self, allow: Collection[str]) -> None:
        self._networks = tuple(network for network in map(_network, allow) if network)
        self._hosts = frozenset(each.lower().rstrip(".") for each in allow if _network(each) is None)

    def refusal(self, host: str, address: str = "") -> str:
        """Return why `host`, which is at `address`, must not be asked; empty when it may be.

        Without an address the host itself is judged: a name may only be one of those that are never asked.

        >>> Destinations(["10.0.0.0/8"]).refusal("billing", "10.1.2.3")
        ''
        >>> Destinations([]).refusal("billing", "10.1.2.3")
        'billing is at 10.1.2.3, which is not public: name one of the two in fetch.allow'
        >>> Destinations(["169.254.0.0/16"]).refusal("billing", "169.254.169.254")
        'billing is at 169.254.169.254, which no script may ask'
        """
        host = host.lower().rstrip(".")
        if host in NEVER_HOSTS:
            return f"{host} is a metadata service, which no script may ask"
        meant = _meant(address or host)
        if any(one.is_multicast or any(one in network for network in NEVER) for one in meant):
            return f"{host} is at {meant[-1]}, which no script may ask"
        is_allowed = host in self._hosts or any(one in network for one in meant for network in self._networks)
        if is_allowed or all(one.is_global for one in meant):
            return ""
        return f"{host} is at {meant[-1]}, which is not public: name one of the two in fetch.allow"


class JudgingResolver(AbstractResolver):
    """Resolves names for a connector and gives it only the addresses that may be asked."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return where `host` is. Raises: OSError when it is nowhere, AddressRefused when it is nowhere allowed."""
        found = await self._resolver.resolve(host, port, family)
        reasons = [self._destinations.refusal(host, each["host"]) for each in found]
        if all(reasons):
            raise AddressRefused(next(iter(reasons), f"{host} has no address"))
        return [each for each, reason in zip(found, reasons, strict=True) if not reason]

    async def close(self) -> None:
        """Nothing is open."""
        await self._resolver.close()


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _meant(text: str) -> tuple[Address, ...]:
    """Return the address, and the IPv4 one inside it (mapped, 6to4, Teredo, NAT64); nothing for a name."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ()
    if not isinstance(address, IPv6Address):
        return (address,)
    if address in _NAT64:
        return address, IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    return (address, inner) if inner else (address,)


__all__ = ["AddressRefused", "Address", "Destinations", "JudgingResolver"]
