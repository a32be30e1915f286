"""`[sip]` and its trunks: who carries our calls, and where they may go."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

from nodes.tables import LAST_PORT, a_port, within

_HOST_OR_NETWORK: Final = re.compile(r"[A-Za-z0-9_.-]+(/\d{1,2})?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d{1,3})?")

REFUSED_NUMBERS: Final = (
    "+1900", "+1xxx976",  # pay-per-call of North America (47 CFR 64.1501; 976 is an exchange of each area)
    "+449", "+49900",  # premium rate (Ofcom, National Telephone Numbering Plan, part A1; BNetzA, 0900)
    "+979",  # international premium rate (ITU-T E.169.2)
    "+87x", "+881", "+882", "+883",  # satellites and international networks (ITU-T E.164 assigned country codes)
    "911", "112", "999", "000",  # emergency lines: no automated voice may call them (47 CFR 64.1200(a)(1)(i))
)  # fmt: skip
"""What a trunk refuses unless its own `refuse` says something else."""
_PROXY: Final = re.compile(r"[A-Za-z0-9_.-]+(:\d{1,5})?")
_PREFIX: Final = re.compile(r"\+[0-9x]{1,15}|[0-9x]{2,15}")


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP line to a carrier."""

    name: str
    host: str
    port: int = a_port(5060)
    proxy: str = ""
    """HOST or HOST:PORT of a proxy of yours, which has all that is for the carrier; who is called is still `host`."""
    user: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    realms: tuple[str, ...] = ()
    """Who may ask for the password, as the carrier's challenges say. Empty: whoever challenges at the carrier's address
    before a phone rings, which may be somebody behind it: say them."""
    without_qop: bool = False
    """Answer challenges in the old form without qop, too: some old servers know no other."""
    cps: float = within(5.0, 0.1, 1000)
    """Calls per second that the carrier takes."""
    zone: str = ""
    """The zone from which it is reached best: calls stay there while a node there has room."""
    strict_rtp: bool = False
    """Hear callees from the address in their SDP only, which is right where nobody translates addresses on the way."""
    allow: tuple[str, ...] = ()
    """How numbers begin that may be dialled (`+1202`; `x`: any digit); without `+` a whole one. Empty: any with `+`."""
    refuse: tuple[str, ...] = REFUSED_NUMBERS
    """How numbers begin that may not, whatever is allowed."""
    prices: dict[str, float] = field(default_factory=dict)
    """What a minute costs, by how the number begins; the longest that fits counts."""
    spend_per_day: float = within(0.0, 0, 1e9)
    """What campaigns may cost in a day, by `prices`; beyond that none of their calls begins (`held: spend`). 0: any."""

    def __post_init__(self) -> None:
        if self.proxy and not (_PROXY.fullmatch(self.proxy) and 0 < self.first_hop[1] <= LAST_PORT):
            raise ValueError(f"proxy: {self.proxy!r} is not HOST or HOST:PORT")
        for each in (*self.allow, *self.refuse, *self.prices):
            if not _PREFIX.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no beginning of a number such as +1900 or +1xxx976, and no number such as 911"
                )
        for prefix, price in self.prices.items():
            if not 0 <= price < math.inf:
                raise ValueError(f"prices: {price} is no price of a minute to {prefix}")

    @property
    def first_hop(self) -> tuple[str, int]:
        """Where requests for the carrier go: to the proxy, where there is one."""
        if not self.proxy:
            return self.host, self.port
        host, _, port = self.proxy.partition(":")
        return host, int(port or 5060)


@dataclass(frozen=True, slots=True)
class Sip:
    """Signalling. `bind` is the address the far end answers to."""

    bind: str = "127.0.0.1"
    port: int = a_port(5060)
    further_ports: tuple[int, ...] = ()
    """Of the second and further edges of this machine, where it has several (`edge.processes`); empty: every second one
    above `port`. Each edge sends from its own port, and Via and Contact say so: a carrier sees as many source ports,
    and its answers and requests come to all of them, so a firewall lets them all in. One that takes calls from one
    port only wants `edge.processes = 1`."""
    trunks: tuple[Trunk, ...] = ()
    allow: tuple[str, ...] = ()
    """Hosts, addresses and networks that are not public, and may be called all the same; trunks need not be here."""

    def __post_init__(self) -> None:
        check_hosts(self.allow)
        for port in self.further_ports:
            if not 0 <= port <= LAST_PORT:
                raise ValueError(f"further_ports: {port} is not between 0 and {LAST_PORT}")


def check_hosts(allow: tuple[str, ...]) -> None:
    for each in allow:
        if not _HOST_OR_NETWORK.fullmatch(each):
            raise ValueError(f"allow: {each!r} is no host, address or network such as 10.1.0.0/16")


__all__ = ["REFUSED_NUMBERS", "Sip", "Trunk", "check_hosts"]
