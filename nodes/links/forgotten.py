"""Who is to be forgotten, for the processes that keep something of people; and what became of it, for who asks.

It follows the bucket `rm_forgotten`, or asks where there is another way to know, and has the process remove what it
has: of all people when it begins, of each who is new, and again where that fails. To forget twice does no harm, so a
process that was killed meanwhile, or was away, does it in its next life. What comes later of a time up to which
somebody is forgotten (`is_forgotten`) is not to be kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Final, TypeAlias

from nodes.bus.bucket import Bucket, Entry
from nodes.errors import NodeError, in_words
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
Look: TypeAlias = Callable[[], Awaitable[Iterable[Person]]]
"""Asks who is to be forgotten. Raises: OSError, NodeError: to be asked again."""


class Forgotten:
    """The list, as one process goes by it. `known` is set once it was told, whole."""

    def __init__(self, forget: Forget, look: Look | None = None, look_s: float | None = None) -> None:
        """`look`: is asked each `look_s`; None: `follow` tells."""
        self._forget, self._look, self._look_s = forget, look or self._told, look_s
        self.people: dict[ContactId, Person] = {}
        self._by_call: dict[CallId, Person] = {}
        self._left: dict[ContactId, Person] = {}
        """Whom something is still to be removed of."""
        self._places: dict[ContactId, dict[str, Place]] = {}
        self.known, self._wanted = asyncio.Event(), asyncio.Event()

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(GetRemoved, self.removed)

    @property
    def done(self) -> list[Person]:
        """Those of whom nothing is left."""
        return [one for one in self.people.values() if one.contact_id not in self._left]

    def is_forgotten(self, name: ContactId, call: str, at: datetime) -> bool:
        """Say whether what was at this moment, of a contact or in a call, is forgotten."""
        one = self.people.get(name) or self._by_call.get(CallId(call))
        return one is not None and at <= one.at

    def is_forgotten_call(self, attempt: str, call: str, at: datetime) -> bool:
        """Say whether what was at this moment in a call is forgotten."""
        return bool(self.people) and self.is_forgotten(contact_of(AttemptId(attempt)), call, at)

    def removed(self, asked: GetRemoved, _: Identity | None = None) -> Removed:
        """Say what was removed here of somebody."""
        one = self.people.get(asked.contact_id)
        is_done = one is not None and one.at >= asked.at and asked.contact_id not in self._left
        return Removed(is_done, tuple(self._places.get(asked.contact_id, {}).values()))

    async def follow(self, bucket: Bucket) -> None:
        """Keep the list as a bucket has it, until cancelled."""
        async with aclosing(bucket.watch()) as entries:
            async for entry in entries:
                if entry is None:
                    self.known.set()
                else:
                    self._read(entry)

    def soon(self) -> None:
        """Look at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Have everybody on the list forgotten, as they come, until cancelled."""
        while True:
            self._wanted.clear()
            try:
                await self.round()
            except (OSError, NodeError) as error:
                if self._left:
                    log.error("forgetting.failed", error=in_words(error))
                else:
                    log.info("forgetting.waits", error=in_words(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._left else self._look_s):
                    await self._wanted.wait()

    async def round(self) -> None:
        """Look who is new, and have those forgotten of whom something is left. Raises: OSError, NodeError."""
        for one in await self._look():
            self.learn(one)
        if people := list(self._left.values()):
            self.note(await self._forget(people))
            for one in people:
                if self._left.get(one.contact_id) == one:
                    del self._left[one.contact_id]

    def note(self, done: Done) -> None:
        """Keep what was looked through and removed, to be told."""
        for person, place in done:
            places = self._places.setdefault(person.contact_id, {})
            before = places.get(place.place, Place(place.place, 0, 0))
            looked, removed = before.looked + place.looked, before.removed + place.removed
            places[place.place] = Place(place.place, looked, removed, place.note)

    def learn(self, told: Person, is_done: bool = False) -> None:
        """Put somebody on the list. `is_done`: nothing is left of them."""
        before = self.people.get(told.contact_id)
        one = told.over(before) if before else told
        if one != before:
            self.people[one.contact_id] = one
            self._by_call.update(dict.fromkeys(one.calls, one))
            if not is_done:
                self._left[one.contact_id] = one
                self._wanted.set()

    async def _told(self) -> Iterable[Person]:
        await self.known.wait()
        return ()

    def _read(self, entry: Entry) -> None:
        if entry.value is None or not is_contact_id(entry.key):
            return  # nobody is taken off: a bucket that was lost is filled again by central
        try:
            self.learn(person_of(entry.key, entry.value))
        except RemoteProtocolError as error:
            log.error("forgotten.unreadable", contact_id=entry.key, error=str(error))


__all__ = ["Done", "Forgotten"]
