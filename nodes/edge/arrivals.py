"""What a call that comes from another machine needs here: a line, and addresses for its SIP and its audio.

What it does: has all of it ready, or says that it cannot be had. What it does not: decide anything for the call
(`nodes.call.moving`), or hold it (`calls`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from nodes.call.inputs import Moved
from nodes.call.moving import needs_line
from nodes.call.record import CallRecord
from nodes.edge.line import open_port
from nodes.edge.placing import NOWHERE
from protocols.sip import Listening
from protocols.wire.ids import ChannelId

if TYPE_CHECKING:
    from nodes.edge.services import EdgeServices

FIRST_S: Final = 0.25
"""So long are calls kept back at most that come with others whose audio does not go on yet. A line takes some 2 ms."""


class AudioFirst:
    """So many calls that come at once: none begins here before the audio of all of them goes on.

    To begin one is ten times as much work as to have its audio go on, which needs nothing of that.
    """

    def __init__(self, n: int) -> None:
        self._left, self._all = n, asyncio.Event()
        asyncio.get_running_loop().call_later(FIRST_S, self._all.set)

    def one(self) -> None:
        """One more goes on, or never will."""
        self._left -= 1
        if self._left <= 0:
            self._all.set()

    async def all(self) -> None:
        """Return when all go on, or they take too long."""
        await self._all.wait()


async def have_ready(services: EdgeServices, record: CallRecord, outage_s: float) -> Moved:
    """Return what the call finds here. Raises: `NoMedia`, `Unreachable`."""
    hop, local = NOWHERE
    if record.leg is not None:
        hop = record.leg.next_hop
        local = services.trunk.local(hop)
    media, port = "", 0
    if needs_line(record):
        media, port = await open_port(services, ChannelId(record.order.call_id))
    elif peers := services.roster.active("media"):
        media = peers[0].name
    host = services.rtp_host(hop) if record.leg is not None else ""
    return Moved(media, port, local, Listening(host, port), outage_s)


__all__ = ["FIRST_S", "AudioFirst", "have_ready"]
