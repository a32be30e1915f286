"""What a callee's address says about the way to them, and what the leg is told to dial."""

from __future__ import annotations

from typing import Final

from protocols.machine import Address
from protocols.sip import Dial, Listening, Local, Media, identity
from protocols.wire.ids import Identity, ScriptHash
from protocols.wire.messages import PlaceCall

SCHEME: Final = "browser:"
NOWHERE: Final = Media("", 0, payload_type=0, dtmf_type=-1, sends=True, hears=True)
"""What a browser listens at: there is no address to agree on, the channel has a link."""


def seat_of(target: str) -> tuple[Identity, str] | None:
    """Return the desk and the seat that a target names; None for what is dialled.

    >>> seat_of("browser:n1.desk-0:5f/phone-7"), seat_of("sip:ann@192.0.2.1")
    (('n1.desk-0:5f', 'phone-7'), None)
    """
    if not target.startswith(SCHEME):
        return None
    desk, _, seat = target.removeprefix(SCHEME).partition("/")
    return Identity(desk), seat


def dial(order: PlaceCall, local: Local, hop: Address, listening: Listening, script: ScriptHash) -> Dial:
    """Return what the leg is to dial; the far end may know the call and the script by our headers.

    Raises: RemoteProtocolError for a caller id that is none (`nodes.edge.orders` has refused it before).
    """
    caller = identity.caller_id(order.caller_id)
    headers = (("x-ringmaster-call", order.call_id), ("x-ringmaster-script", script), *caller.headers)
    uri = caller.uri_at(local.host, local.user)
    return Dial(order.target, uri, listening, hop, order.ring_s, caller_name=caller.name, headers=headers)


__all__ = ["NOWHERE", "SCHEME", "dial", "seat_of"]
