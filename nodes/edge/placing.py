"""Making a call ready: where its callee is reached first, which engine and port it has, or why nobody is dialled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nodes.call.effects import GetReady
from nodes.call.inputs import NotReady, Ready
from nodes.call.placing import seat_of
from nodes.edge.ears import NoEngine
from nodes.edge.line import NoMedia, open_channel, unlink
from nodes.edge.trunk import NotAllowed, Unreachable
from protocols.machine import Address
from protocols.sip import Disposition, Listening, Local
from protocols.wire.messages import PlaceCall

if TYPE_CHECKING:
    from nodes.edge.services import EdgeServices

NOWHERE: Final = (("127.0.0.1", 0), Local("127.0.0.1", 0))
"""The hop to a browser: none."""


async def way_to(services: EdgeServices, target: str) -> tuple[Address, Local]:
    """Return where a target is reached first, and as whom it sees us; a browser is reached through its desk.

    Raises: Unreachable.
    """
    if seat_of(target):
        return NOWHERE
    hop = await services.trunk.next_hop(target)
    return hop, services.trunk.local(hop)


async def get_ready(services: EdgeServices, order: PlaceCall, effect: GetReady, wanted: str) -> Ready | NotReady:
    """Find the way to the callee, an engine that knows the script (`wanted`: its recogniser), and a line.

    The do-not-call list comes first, as soon as it is known, and last: all between may take half a minute.
    """
    listed = NotReady(effect.number, Disposition.REJECTED, "do_not_call")
    if not seat_of(order.target) and not await services.refusals.are_known():
        return NotReady(effect.number, Disposition.FAILED, "do_not_call_unknown")
    if services.refusals.refuses(order):
        return listed
    try:
        hop, local = await way_to(services, order.target)
        host = services.rtp_host(hop)
        await services.engines.warm(order.call_id, order.script, wanted)
        media, channel = await open_channel(services, order)
    except NotAllowed as error:
        return NotReady(effect.number, Disposition.INVALID, str(error))
    except (Unreachable, NoEngine, NoMedia) as error:
        return NotReady(effect.number, Disposition.FAILED, str(error))
    if services.refusals.refuses(order):
        unlink(services, media, channel.channel_id)
        return listed
    return Ready(effect.number, media, channel, local, hop, Listening(host, channel.port))


__all__ = ["get_ready", "way_to"]
