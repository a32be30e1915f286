"""Tells all nodes who is to be forgotten, and removes what the streams of events have of them.

The journal says who (`Campaigns.forgotten`), for good; the bucket `rm_forgotten` shows it to all processes that keep
something of people, and is filled again where it lacks somebody. Each of them removes what it has (`nodes.links.
forgotten`); streams belong to nobody, so whoever leads removes events there, message by message, overwritten.

Events may come late, from a node that was cut off: what has come since is looked through every hour. Whose an event is
says its header, so that only theirs are read; what was said after the moment up to which all is forgotten stays.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from nodes.bus.bus import Bus
from nodes.central.memory import Memory
from nodes.links.finding import OVERLAP, Pattern, compiled, first
from nodes.links.forgotten import Done, Forgotten
from nodes.reading import read_json
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, contact_of
from protocols.wire.forgetting import GetRemoved, Person, Place, Removed, Sought, person_of
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.subjects import EVENT_STREAMS, OBJECT_STREAM, Bucket, Stream

LOOK_S: Final = 1.0
AGAIN_S: Final = 3600.0
MARKS: Final = "swept"
"""The key, beside people's, under which the bucket has up to where each stream was looked through for all of them."""

log = logs.get(__name__)


class Forgetting:
    """The work of one term. `is_clean`: whether the journal and its objects have nothing of anybody any more."""

    def __init__(self, bus: Bus, memory: Memory, is_clean: Callable[[], Awaitable[bool]], n_streams: int) -> None:
        self._bus, self._memory, self._is_clean = bus, memory, is_clean
        self._bucket, self._streams = bus.kv(Bucket.FORGOTTEN), EVENT_STREAMS[:n_streams]
        self._marks: dict[str, int] | None = None
        self._again_s = time.monotonic()
        self.forgotten = Forgotten(self._forget, self._look, LOOK_S)

    async def removed(self, asked: GetRemoved) -> Removed:
        """Say what was removed of somebody. Raises: `BusAway`."""
        told, is_clean = self.forgotten.removed(asked), await self._is_clean()
        journal = Place("journal, contact lists and snapshots", 1, 0, "" if is_clean else "the recorders read it first")
        return Removed(is_clean and told.is_done, (journal, *told.places))

    async def find(self, patterns: Sequence[str]) -> Sequence[Sought]:
        """Look for patterns in all streams, buckets and objects, as they are told. Raises: `BusAway`, `Refused`."""
        pattern = compiled(patterns)
        buckets = [f"KV_{bucket}" for bucket in Bucket]
        names = [*self._streams, Stream.CAMPAIGN, OBJECT_STREAM, *buckets]
        return [await self._sought(name, pattern) for name in names]

    async def _sought(self, stream: str, pattern: Pattern) -> Sought:
        before, n, found = dict[str, bytes](), 0, list[str]()
        async for one in self._bus.replay(stream):
            n += 1
            said = before.get(one.subject, b"") + one.data  # an object's chunks are one text
            before[one.subject] = one.data[-OVERLAP:] if stream == OBJECT_STREAM else b""
            if pattern.search(said) or pattern.search(one.subject.encode()):
                found.append(f"message {one.sequence}")
        return Sought(f"NATS, {stream}", n, "messages", tuple(first(found)))

    async def _look(self) -> Collection[Person]:
        """Return who is to be forgotten; of those who are, remove what has come since."""
        people = dict(self._memory.campaigns.forgotten)
        if self._marks is None:
            self._marks = await self._begin(people)
        if self.forgotten.done and time.monotonic() >= self._again_s:
            await self._again(self._marks)
            self._again_s = time.monotonic() + AGAIN_S
        return people.values()

    async def _forget(self, people: Sequence[Person]) -> Done:
        for one in people:
            await self._bucket.put(one.contact_id, one.body())
        done = [place for stream in self._streams for place in await self._sweep(stream, people, 0)]
        for one in people:
            await self._bucket.put(one.contact_id, {**one.body(), MARKS: True})
        log.info("forgetting.done", people=len(people))
        return done

    async def _begin(self, people: Mapping[ContactId, Person]) -> dict[str, int]:
        """Learn whom a predecessor has forgotten; return up to where it has looked for what comes late."""
        for name, one in people.items():
            found = await self._bucket.get(name)
            with suppress(RemoteProtocolError):  # else it is written again
                if found and found.value and found.value.get(MARKS) and person_of(name, found.value) == one:
                    self.forgotten.learn(one, is_done=True)
        marks = await self._bucket.get(MARKS)
        told = (marks.value or {}).get("streams") if marks else None
        return {str(name): n for name, n in dict(told or {}).items() if isinstance(n, int)}

    async def _again(self, marks: dict[str, int]) -> None:
        """Look through what has come since, for everybody who was ever forgotten."""
        people = self.forgotten.done
        for one in people:
            await self._bucket.create(one.contact_id, {**one.body(), MARKS: True})  # where the bucket is another one
        for stream in self._streams:
            last = (await self._bus.extent(stream)).last
            before = marks.get(stream, 0)
            self.forgotten.note(await self._sweep(stream, people, before if before <= last else 0))
            marks[stream] = last
        await self._bucket.put(MARKS, {"streams": marks})

    async def _sweep(self, stream: Stream, people: Sequence[Person], after: int) -> Done:
        by_name = {one.contact_id: one for one in people}
        by_call = {call: one for one in people for call in one.calls}
        n_looked, maybe = 0, list[int]()
        async for one in self._bus.replay(stream, after, headers_only=True):
            n_looked += 1
            call = CallId(one.call_id)  # none: it is not as edges write events, and is read
            if not call or contact_of(AttemptId(call)) in by_name or call in by_call:
                maybe.append(one.sequence)
        n_removed: defaultdict[ContactId, int] = defaultdict(int)
        for sequence in maybe:
            data = await self._bus.data_of(stream, sequence)
            for person in people if data is not None else ():
                if _is_of(data or b"", person):
                    n_removed[person.contact_id] += await self._bus.erase(stream, [sequence])
        return [(one, Place(f"events, {stream}", n_looked, n_removed[one.contact_id])) for one in people]


def _is_of(data: bytes, person: Person) -> bool:
    """Say whether an event is to be forgotten; what cannot be read is, where the name is in it."""
    try:
        body = read_json(data, dict[str, Any])
        at, attempt, call = datetime.fromisoformat(str(body["wall"])), str(body["attempt_id"]), str(body["call_id"])
        return at <= person.at and person.has(attempt, call)
    except (ValueError, LookupError, TypeError):
        return any(name.encode() in data for name in (person.contact_id, *person.calls))


__all__ = ["Forgetting"]
