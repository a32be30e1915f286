"""Who has asked never to be called again: looked up before each dial, and added to the moment somebody says so.

Central asks `may_call` with the same list; the edge asks again because a contact may have opted out since, on another
node, and because a call that belongs to no campaign must not reach them either.
"""

from __future__ import annotations

import asyncio

from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import BusAway
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.wire.campaigns import ContactId, contact_id, contact_of
from protocols.wire.messages import PlaceCall

log = logs.get(__name__)
RETRY_S = 1.0


class Refusals:
    """This edge's view of the do-not-call list."""

    def __init__(self, listed: DoNotCall, key: bytes, tasks: Tasks) -> None:
        self._listed, self._key, self._tasks = listed, key, tasks
        tasks.spawn(listed.follow())

    def refuses(self, order: PlaceCall) -> bool:
        """Say whether the callee of this order is on the list."""
        return self._contact(order) in self._listed.contacts

    def add(self, order: PlaceCall) -> None:
        """Put the callee on the list: here at once, everywhere as soon as NATS has it, however long that takes."""
        self._tasks.spawn(self._add(self._contact(order)))

    async def _add(self, contact: ContactId) -> None:
        while True:
            try:
                return await self._listed.add(contact, "callee")
            except BusAway as error:
                log.warning("opt_out.waits", reason=str(error))
                await asyncio.sleep(RETRY_S)

    def _contact(self, order: PlaceCall) -> ContactId:
        return contact_of(order.attempt_id) or contact_id(order.target, self._key)


__all__ = ["Refusals"]
