"""Whether an order can become a call at all: looked at before the edge takes it, whoever gives it.

Campaigns are checked when they are imported, commands and the API's callers are not: here all of them meet.
What is refused has opened no channel and rung nobody. Each refusal begins with a word and ends in a sentence.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from nodes import dial_plan
from nodes.call.placing import seat_of
from nodes.config import Sip
from protocols.errors import RemoteProtocolError
from protocols.sip import identity
from protocols.wire.messages import PlaceCall

_NAME: Final = re.compile(r"[A-Za-z0-9._\-]{1,160}")
"""Call, attempt and campaign names are parts of subjects, of a header field and of a recording's file name."""
_NUMBER: Final = re.compile(r"\+[0-9]{3,15}")
LONGEST_RING_S: Final = 180.0
"""No proxy waits longer (RFC 3261 s.16.6, timer C)."""


def with_uri(order: PlaceCall, sip: Sip) -> PlaceCall:
    """Return the order with a SIP URI for a target: a number is one at the first trunk, if there is any.

    A number at a trunk is spelt as campaigns spell it, so that the do-not-call list and the dial plan know it.

    >>> from nodes.config import Trunk
    >>> with_uri(PlaceCall("a", "c", "+1 202 555 0100", b""), Sip(trunks=(Trunk("t", "carrier.example"),))).target
    'sip:+12025550100@carrier.example:5060;user=phone'
    """
    trunk, number = dial_plan.trunk_of(order.target, sip), dial_plan.number_in(order.target)
    if order.target.startswith("+") and sip.trunks:
        trunk, number = sip.trunks[0], dial_plan.dialled(order.target)
    if trunk is None or not _NUMBER.fullmatch(number) or "(0)" in unquote(order.target):
        return order
    return replace(order, target=dial_plan.uri_at(number, trunk))


def objection(order: PlaceCall, sip: Sip) -> str:
    """Return why an order is none: `bad_name`, `bad_target`, `bad_caller_id`, `bad_ring`, `not_allowed`, and in words.

    >>> objection(PlaceCall("a", "c", "sip:ann@192.0.2.1", b"", caller_id="Acme"), Sip())[:13]
    'bad_caller_id'
    """
    for name in (order.call_id, order.attempt_id, order.campaign_id or "none"):
        if not _NAME.fullmatch(name) or name.startswith("."):
            return "bad_name: a call's name is made of letters, digits, - _ and dots"
    if not 0 < order.ring_s <= LONGEST_RING_S:
        return f"bad_ring: {order.ring_s:g} s is not between 0 and {LONGEST_RING_S:g}"
    try:
        _ = seat_of(order.target) or identity.target(order.target)
        identity.caller_id(order.caller_id)
    except RemoteProtocolError as error:
        return str(error)
    return dial_plan.objection(order.target, sip)


__all__ = ["LONGEST_RING_S", "objection", "with_uri"]
