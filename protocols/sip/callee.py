"""Who answers at a target, however it is written: one person, one text.

What it does: a number, or a SIP URI, to the text that stands for whoever answers there. Two spellings of one number are
one person, at whatever host, because whoever must not be called must not be called through another carrier either.
What it does not: say what is dialled (that stays as it was written), or whether it may be (`nodes/dial_plan.py`).

In doubt two are one: a number without `+` is taken for one that begins with its country. To take two strangers for one
costs a call; to take one person for two rings somebody who has asked not to be rung.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from protocols.errors import RemoteProtocolError
from protocols.sip.syntax import Uri, uri

SHORT: Final = 7
"""Digits: fewer without `+` are an extension or a service, and no number with its country left out."""
BETWEEN: Final = re.compile(r"[\s\-.()/]")
"""What people put between digits (RFC 3966 s.5.1.1), and blanks of every kind."""
_digits = re.compile(r"\+?[0-9]+")


def callee(target: str) -> str:
    """Return who answers at a target: the number with `+`, or the URI without all that leads to the same telephone.

    What is neither a number nor a URI stands for itself.

    >>> callee("sip:+1-202-555-0100@carrier.example;user=phone"), callee("sip:12025550100@192.0.2.9")
    ('+12025550100', '+12025550100')
    >>> callee("SIPS:Ann@PBX.example:5061;transport=tls"), callee("sip:ann@pbx.example")
    ('sip:ann@pbx.example', 'sip:ann@pbx.example')
    """
    if target.startswith("+"):
        return dialled(target)
    try:
        wanted = uri(target)
    except RemoteProtocolError:
        return target
    if not wanted.host:
        return target
    number = dialled(wanted.user)
    if not _digits.fullmatch(number):
        return f"sip:{unquote(wanted.user).lower()}@{_place(wanted)}"
    if number.startswith("+"):
        return number
    return f"sip:{number}@{_place(wanted)}" if len(number) < SHORT else f"+{number}"


def dialled(user: str) -> str:
    """Return the number that a URI's user part dials, as a carrier would understand it; a name stays a name.

    >>> dialled("%2B1-900-555-0100;phone-context=x"), dialled("011881612345678"), dialled("ann")
    ('+19005550100', '+881612345678', 'ann')
    """
    number = BETWEEN.sub("", unquote(user).partition(";")[0])
    for prefix in ("011", "00"):  # international, from North America and from most of the world
        if number.startswith(prefix) and number.isdecimal() and len(number) > SHORT:
            return "+" + number.removeprefix(prefix)
    return number


def _place(wanted: Uri) -> str:
    port = wanted.port if wanted.port != (5061 if wanted.scheme == "sips" else 5060) else None
    host = wanted.host.lower().removesuffix(".")
    return f"{host}:{port}" if port else host


__all__ = ["BETWEEN", "SHORT", "callee", "dialled"]
