"""Who has asked never to be called again: looked up before each dial, and added to the moment somebody says so.

Central asks `may_call` with the same list; the edge asks again because a contact may have opted out since, on another
node, and because a call that belongs to no campaign must not reach them either. Without a list nobody is dialled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import BusAway
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.wire.campaigns import ContactId, contact_id, contact_of, is_contact_id
from protocols.wire.do_not_call import Listing
from protocols.wire.messages import PlaceCall

log = logs.get(__name__)
RETRY_S = 1.0
KNOWN_S = 3.0
"""How long an order waits for the list, on a node that has just started."""
LOOK_S = 0.05


class Refusals:
    """This edge's view of the do-not-call list."""

    def __init__(self, listed: DoNotCall, key: bytes, tasks: Tasks) -> None:
        self._listed, self._key, self._tasks = listed, key, tasks
        tasks.spawn(listed.follow())

    def refuses(self, order: PlaceCall) -> bool:
        """Say whether the callee of this order is on the list."""
        return any(contact in self._listed.contacts for contact in self.contacts(order))

    @property
    def figures(self) -> dict[str, float]:
        """For a status."""
        return {"do_not_call_known": float(self._listed.is_known)}

    def watch(self, forbidden: Callable[[ContactId], None]) -> None:
        """Have whoever comes on the list told from now on: they may be ringing."""
        self._listed.forbidden = forbidden

    async def are_known(self) -> bool:
        """Return whether the list is known; a node that has just started may need a moment."""
        for _ in range(int(KNOWN_S / LOOK_S)):
            if self._listed.is_known:
                return True
            await asyncio.sleep(LOOK_S)
        return self._listed.is_known

    def add(self, order: PlaceCall) -> None:
        """Put the callee on the list: here at once, everywhere as soon as NATS has it, however long that takes."""
        for contact in self.contacts(order):
            listing = self._listed.entry(contact, "callee", f"call {order.call_id}")
            self._listed.hold(listing)
            self._tasks.spawn(self._tell(listing))

    async def _tell(self, listing: Listing) -> None:
        try:
            await self._listed.write([listing])
        except OSError as error:
            log.error("do_not_call.file", error=str(error))
        while True:
            try:
                return await self._listed.publish(listing)
            except BusAway as error:
                log.warning("opt_out.waits", reason=str(error))
                await asyncio.sleep(RETRY_S)

    def contacts(self, order: PlaceCall) -> set[ContactId]:
        """Return the names of an order's callee: of whom central means, and of who answers where it is dialled.

        They differ where somebody orders a call under the name of another's attempt.
        """
        meant, reached = contact_of(order.attempt_id), contact_id(order.target, self._key)
        return {meant, reached} if is_contact_id(meant) else {reached}


__all__ = ["Refusals"]
