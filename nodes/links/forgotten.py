"""Who is to be forgotten, for the processes that keep something of people; and what became of it, for who asks.

It follows the bucket `rm_forgotten` and has the process remove what it has: of all people when it begins, and of each
who is new. To forget twice does no harm, so a process that was killed meanwhile, or was away, does it in its next life.
What comes later of a time up to which somebody is forgotten (`is_forgotten`) is not to be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, TypeAlias

from nodes.bus.bucket import Bucket, Entry
from nodes.errors import NodeError
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, contact_of, is_contact_id
from protocols.wire.forgetting import GetRemoved, Person, Place, Removed, person_of
from protocols.wire.ids import AttemptId, CallId, Identity

RETRY_S: Final = 5.0

log = logs.get(__name__)

Done: TypeAlias = Sequence[tuple[Person, Place]]
Forget: TypeAlias = Callable[[Sequence[Person]], Awaitable[Done]]
"""Removes what there is of these people, and tells what was done. Raises: OSError, NodeError: to be asked again."""


class Forgotten:
    """The list, as one process goes by it. `known` is set once it was told, whole."""

    def __init__(self, bucket: Bucket, forget: Forget) -> None:
        self._bucket, self._forget = bucket, forget
        self.people: dict[ContactId, Person] = {}
        self._by_call: dict[CallId, Person] = {}
        self._left: dict[ContactId, Person] = {}
        """Whom something is still to be removed of."""
        self._places: dict[ContactId, dict[str, Place]] = {}
        self.known, self._more = asyncio.Event(), asyncio.Event()

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(GetRemoved, self.removed)

    def is_forgotten(self, name: ContactId, call: str, at: datetime) -> bool:
        """Say whether what was at this moment, of a contact or in a call, is forgotten."""
        one = self.people.get(name) or self._by_call.get(CallId(call))
        return one is not None and at <= one.at

    def is_forgotten_call(self, attempt: str, call: str, at: datetime) -> bool:
        """Say whether what was at this moment in a call is forgotten."""
        return bool(self.people) and self.is_forgotten(contact_of(AttemptId(attempt)), call, at)

    def removed(self, asked: GetRemoved, sender: Identity) -> Removed:
        """Say what was removed here of somebody."""
        one = self.people.get(asked.contact_id)
        is_done = one is not None and one.at >= asked.at and asked.contact_id not in self._left
        return Removed(is_done, tuple(self._places.get(asked.contact_id, {}).values()))

    async def follow(self) -> None:
        """Keep the list, until cancelled."""
        async with aclosing(self._bucket.watch()) as entries:
            async for entry in entries:
                if entry is None:
                    self.known.set()
                else:
                    self._learn(entry)

    async def run(self) -> None:
        """Have everybody on the list forgotten, as they come, until cancelled."""
        await self.known.wait()
        while True:
            if people := list(self._left.values()):
                await self._try(people)
            else:
                self._more.clear()
                await self._more.wait()

    async def _try(self, people: Sequence[Person]) -> None:
        try:
            done = await self._forget(people)
        except (OSError, NodeError) as error:
            log.error("forgetting.failed", error=str(error))
            await asyncio.sleep(RETRY_S)
            return
        for person, place in done:
            places = self._places.setdefault(person.contact_id, {})
            before = places.get(place.place, Place(place.place, 0, 0))
            removed = before.removed + place.removed
            places[place.place] = Place(place.place, place.looked, removed, place.note)
        for one in people:
            if self._left.get(one.contact_id) == one:
                del self._left[one.contact_id]

    def _learn(self, entry: Entry) -> None:
        if entry.value is None or not is_contact_id(entry.key):
            return  # nobody is taken off: a bucket that was lost is filled again by central
        try:
            told = person_of(entry.key, entry.value)
        except RemoteProtocolError as error:
            log.error("forgotten.unreadable", contact_id=entry.key, error=str(error))
            return
        before = self.people.get(told.contact_id)
        one = told.over(before) if before else told
        if one != before:
            self.people[one.contact_id] = self._left[one.contact_id] = one
            self._by_call.update(dict.fromkeys(one.calls, one))
            self._more.set()


__all__ = ["Done", "Forget", "Forgotten"]
