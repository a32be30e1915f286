"""Where calls may go: the numbers that each trunk may dial, and the hosts that may be dialled directly.

What it does: says why a target is not to be dialled; central asks before it imports and before it dials, the edge asks
of every order, whoever gives it. What it does not: say whether somebody may be called now (`central.may_call`).

A number is the user part of a target, however it is written there (`%2B1-900`, `00`, `011`). It is judged by the plan
of the trunk whose address the target names; at any other address by the plans of all trunks, because that address may
be a carrier's under another name. At a trunk a number has its country: 9005550100 is one thing to a carrier in Texas,
another to one in Turkey, and no plan could judge it. Such numbers may be named as they are dialled (`allow`: xxxxxxx).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Final, TypeAlias

from nodes.config import Sip, Trunk
from protocols.errors import RemoteProtocolError
from protocols.sip.callee import SHORT, dialled
from protocols.sip.syntax import Uri, uri

REFUSED: Final = "not_allowed"
"""The first word of every objection."""
Barred: TypeAlias = Callable[[str, str], str]
_NEVER: Final = tuple(map(ip_network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")))
"""This host, link-local (metadata services), multicast and broadcast (RFC 6890): no telephone is there."""
_keys = re.compile(r"[0-9*#][0-9*#+]*|\+[0-9]*[*#+][0-9*#+]*")
"""What is dialled as it stands (RFC 3966 s.3, local-number-digits); not a number with its country."""


def objection(target: str, sip: Sip) -> str:
    """Return why a SIP URI is not to be dialled, going by its number; empty when it may be.

    >>> sip = Sip(trunks=(Trunk("carrier", "sip.example.net"),))
    >>> objection("sip:+19005550100@sip.example.net:5060;user=phone", sip)
    'not_allowed: trunk carrier refuses numbers that begin with +1900'
    >>> objection("sip:+12025550100@sip.example.net:5060;user=phone", sip)
    ''
    >>> objection("sip:9005550100@sip.example.net", sip)[13:66]
    'a number at trunk carrier begins with + and its count'
    """
    try:
        wanted = uri(target)
    except RemoteProtocolError:
        return ""  # not a SIP URI, but a browser's seat
    number, ours = dialled(wanted.user), [trunk for trunk in sip.trunks if _is_at(wanted, trunk)]
    plans = ours or sip.trunks or (Trunk("none", ""),)
    reasons = (*(_refused(number, trunk) for trunk in plans), *(_without_country(number, trunk) for trunk in ours))
    reason = next(filter(None, reasons), "")
    return f"{REFUSED}: {reason}" if reason else ""


def barred_by(sip: Sip) -> Barred:
    """Return what says why a contact is not to be dialled: by their target, and the name of the trunk they go through.

    >>> barred_by(Sip(trunks=(Trunk("carrier", "sip.example.net"),)))("+881612345678", "carrier")
    'trunk carrier refuses numbers that begin with +881'
    """
    trunks = {trunk.name: trunk for trunk in sip.trunks}

    def barred(target: str, trunk: str) -> str:
        if not target.startswith("+"):
            return objection(target, sip).removeprefix(f"{REFUSED}: ")
        return _refused(target, trunks[trunk]) if trunk in trunks else ""

    return barred


def nothing_barred(target: str, trunk: str) -> str:
    """Return nothing: no plan is known."""
    return ""


def hop_objection(host: str, address: str, sip: Sip) -> str:
    """Return why no call may be sent to `host`, which is at this IPv4 address; empty when it may be.

    Trunks are named by the operator, and the proxies before them; so is what `sip.allow` names. What the node itself is
    bound to tells what it is for: on loopback it reaches loopback, in a private network that kind of network.

    >>> hop_objection("pbx", "10.1.2.3", Sip(bind="0.0.0.0"))
    'not_allowed: pbx is at 10.1.2.3, which is not public: name one of the two in sip.allow'
    >>> hop_objection("pbx", "10.1.2.3", Sip(bind="0.0.0.0", allow=("10.0.0.0/8",)))
    ''
    """
    at, bound = IPv4Address(address), _bound(sip.bind)
    if any(at in network for network in _NEVER):
        return f"{REFUSED}: {host} is at {address}, where no telephone is"
    is_named = host.lower() in {name.lower() for name in (*sip.allow, *(trunk.first_hop[0] for trunk in sip.trunks))}
    if at.is_global or is_named or any(at in network for network in _networks(sip.allow)):
        return ""
    is_ours = bound.is_loopback if at.is_loopback else _is_inside(bound) and _is_inside(at)
    return (
        "" if is_ours else f"{REFUSED}: {host} is at {address}, which is not public: name one of the two in sip.allow"
    )


def uri_at(number: str, trunk: Trunk) -> str:
    """Return the SIP URI of a number at a trunk (RFC 3261 s.19.1.6).

    >>> uri_at("+4930123456", Trunk("carrier", "sip.example.net"))
    'sip:+4930123456@sip.example.net:5060;user=phone'
    """
    return f"sip:{number}@{trunk.host}:{trunk.port};user=phone"


def trunk_of(target: str, sip: Sip) -> Trunk | None:
    """Return the trunk whose address a target names; None for a URI that is called directly."""
    try:
        wanted = uri(target)
    except RemoteProtocolError:
        return None
    return next((one for one in sip.trunks if _is_at(wanted, one)), None)


def number_in(target: str) -> str:
    """Return what a SIP URI dials; empty for what is none, or wants to be more."""
    try:
        wanted = uri(target)
    except RemoteProtocolError:
        return ""
    return "" if wanted.headers else dialled(wanted.user)


def price_of(number: str, trunk: Trunk) -> float:
    """Return what a minute to a number costs: the price of the longest prefix that fits; 0.0 where none does."""
    fitting = [prefix for prefix in trunk.prices if _begins(number, (prefix,))]
    return trunk.prices[max(fitting, key=len)] if fitting else 0.0


def _is_at(wanted: Uri, trunk: Trunk) -> bool:
    return (wanted.host.lower(), wanted.port or 5060) == (trunk.host.lower(), trunk.port)


def _refused(number: str, trunk: Trunk) -> str:
    if _begins(number, trunk.refuse):
        refused = next(prefix for prefix in trunk.refuse if _begins(number, (prefix,)))
        what = f"numbers that begin with {refused}" if refused.startswith("+") else refused
        return f"trunk {trunk.name} refuses {what}"
    if trunk.allow and not _begins(number, trunk.allow):
        return f"trunk {trunk.name} allows numbers that begin with {', '.join(trunk.allow)} only"
    return ""


def _without_country(number: str, trunk: Trunk) -> str:
    """Return why a number is not dialled whose country only the carrier knows; empty for a name, and for what is short.

    What a telephone's keys can write counts: `*67` before a number changes how it is dialled, and not what it costs.
    """
    is_local = _keys.fullmatch(number) is not None and sum(map(str.isdecimal, number)) >= SHORT
    if not is_local or _pattern(tuple(one for one in trunk.allow if not one.startswith("+"))).match(number):
        return ""
    return f"a number at trunk {trunk.name} begins with + and its country, unless `allow` names it as it is dialled"


def _begins(number: str, prefixes: tuple[str, ...]) -> bool:
    """Say whether a number begins so: `x` is any digit. Without `+` it is a whole number as it is dialled, 911, and may
    be one with its country.
    """
    readings = (number, f"+{number}") if number.isdecimal() and len(number) >= SHORT else (number,)
    return any(_pattern(prefixes).match(one) for one in readings)


@lru_cache(maxsize=1024)
def _pattern(prefixes: tuple[str, ...]) -> re.Pattern[str]:
    each = (re.escape(one).replace("x", "[0-9]") + ("" if one.startswith("+") else r"\Z") for one in prefixes)
    return re.compile("|".join(each) or r"(?!)")


@lru_cache(maxsize=64)
def _networks(allow: tuple[str, ...]) -> tuple[IPv4Network, ...]:
    found = []
    for each in allow:
        try:
            found.append(IPv4Network(each, strict=False))
        except ValueError:
            continue  # a name
    return tuple(found)


def _bound(host: str) -> IPv4Address:
    """Return the address that a node is bound to; a name is none that we would trust to be inside."""
    try:
        return IPv4Address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return IPv4Address(0)


def _is_inside(address: IPv4Address) -> bool:
    return address.is_private and not address.is_loopback and not address.is_unspecified


__all__ = [
    "REFUSED",
    "Barred",
    "barred_by",
    "dialled",
    "hop_objection",
    "nothing_barred",
    "number_in",
    "objection",
    "price_of",
    "trunk_of",
    "uri_at",
]
