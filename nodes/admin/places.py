"""Places at the HTTP server: how many connections there may be, from one origin and in all, and who gives way.

A plain object without sockets. A connection waits until its request is there, and works until it is answered. When
there is no place, the one that has kept us waiting longest gives way to the new one: who sends nothing, or a header
every few seconds, shuts nobody out. Only where all are at work is a new one refused.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_NETWORK: Final = 64
"""Bits of an IPv6 address that are one customer's: the rest they choose freely (RFC 6177)."""


def origin_of(address: object) -> str:
    """Return whom a peer's address stands for: an IPv4 address, or the network of an IPv6 one.

    >>> origin_of("192.0.2.7"), origin_of("2001:db8::1:2"), origin_of("::ffff:192.0.2.7"), origin_of("")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7', '')
    """
    try:
        known = ipaddress.ip_address(str(address))
    except ValueError:
        return ""
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known.packed, _NETWORK), strict=False))


class Full(Exception):
    """There is no place, and everybody who has one is at work."""


class Places(Generic[T]):
    """Who is connected. `in_all`, `per_origin`: the limits.

    >>> places = Places(in_all=2, per_origin=2)
    >>> places.enter("a", "192.0.2.1"), places.enter("b", "192.0.2.2"), places.enter("c", "192.0.2.3")
    (None, None, 'a')
    """

    def __init__(self, in_all: int, per_origin: int) -> None:
        self._in_all, self._per_origin = in_all, per_origin
        self._origins: dict[T, str] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[str, dict[T, None]] = {}
        """Those who wait, by origin; each in the order in which they began to."""
        self._order: dict[T, None] = {}
        """The same, of all origins."""

    def enter(self, who: T, origin: str) -> T | None:
        """Give a place to a connection, which waits; return the one that has to go for it. Raises: Full."""
        goes: T | None = None
        if self._counts[origin] >= self._per_origin:
            goes = next(iter(self._waiting.get(origin, ())), None)
        elif len(self._origins) >= self._in_all:
            goes = next(iter(self._order), None)
        else:
            self._take(who, origin)
            return None
        if goes is None:
            raise Full
        self.leave(goes)
        self._take(who, origin)
        return goes

    def works(self, who: T) -> None:
        """Its request is there."""
        if who in self._origins:
            self._order.pop(who, None)
            self._forget(who)

    def waits(self, who: T) -> None:
        """It has its answer, and may ask again."""
        if who in self._origins:
            self._order[who] = None
            self._waiting.setdefault(self._origins[who], {})[who] = None

    def leave(self, who: T) -> None:
        """It has gone."""
        if who in self._origins:
            self.works(who)
            origin = self._origins.pop(who)
            self._counts[origin] -= 1
            if not self._counts[origin]:
                del self._counts[origin]

    def __len__(self) -> int:
        return len(self._origins)

    def _take(self, who: T, origin: str) -> None:
        self._origins[who] = origin
        self._counts[origin] += 1
        self.waits(who)

    def _forget(self, who: T) -> None:
        waiting = self._waiting.get(origin := self._origins[who], {})
        waiting.pop(who, None)
        if not waiting:
            self._waiting.pop(origin, None)


__all__ = ["Full", "Places", "origin_of"]
