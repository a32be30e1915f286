"""The way to a callee: where their telephone is reached first, with which port of ours, and what the leg is to dial."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from nodes.edge.browser import seat_of
from nodes.edge.line import Line
from protocols.machine import Address
from protocols.sip import Dial, Listening, Local, identity
from protocols.wire.ids import ChannelId, ScriptHash
from protocols.wire.messages import PlaceCall

if TYPE_CHECKING:
    from nodes.edge.means import Means

NOWHERE: Final = (("127.0.0.1", 0), Local("127.0.0.1", 0))
"""The hop to a browser: none."""


async def way_to(means: Means, target: str) -> tuple[Address, Local]:
    """Return where a target is reached first, and as whom it sees us; a browser is reached through its desk.

    Raises: Unreachable.
    """
    if seat_of(target):
        return NOWHERE
    hop = await means.trunk.next_hop(target)
    return hop, means.trunk.local(hop)


async def open_line(means: Means, line: Line, order: PlaceCall) -> int:
    """Open the call's channel; return its port, 0 for a browser's. Raises: NoMedia."""
    channel_id = ChannelId(order.call_id)
    if seat := seat_of(order.target):
        return line.open_link(channel_id, seat[0], time.monotonic())
    return await line.open(channel_id, _rtp_numbers(), time.monotonic(), means.trunk.is_strict(order.target))


def dial(order: PlaceCall, local: Local, hop: Address, listening: Listening, script: ScriptHash) -> Dial:
    """Return what the leg is to dial; the far end may know the call and the script by our headers.

    Raises: RemoteProtocolError for a caller id that is none (`orders` has refused it before).
    """
    caller = identity.caller_id(order.caller_id)
    headers = (("x-ringmaster-call", order.call_id), ("x-ringmaster-script", script), *caller.headers)
    uri = caller.uri_at(local.host, local.user)
    return Dial(order.target, uri, listening, hop, order.ring_s, caller_name=caller.name, headers=headers)


def _rtp_numbers() -> tuple[int, int, int]:
    """SSRC, first sequence number, first timestamp: random, so that streams cannot be guessed (RFC 3550 s.5.1)."""
    entropy = os.urandom(10)
    return int.from_bytes(entropy[:4]), int.from_bytes(entropy[4:6]), int.from_bytes(entropy[6:])


__all__ = ["NOWHERE", "dial", "open_line", "way_to"]
