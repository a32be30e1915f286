"""The journal and its fold, kept in step: what is written down is known, and what is known was written down.

A memory begins with the newest snapshot, if there is one that can be read, and goes on with the journal behind it. What
is read is read whole: when the next message of the stream is not the next number, nothing of it is believed, all that
was known is forgotten, and everything is read again. A hole in the middle stays a hole, so nobody leads then.

One central writes at a time (it holds the lease), but a predecessor's last word may arrive late. So after each write
the sequence tells whether something came in between; then everything is read up to there, in the stream's order, and
whether the entry was possible is what the fold says, here as in every later replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from nodes import collector
from nodes.central import roll, snapshot
from nodes.central.campaign import Campaigns
from nodes.central.clock import Clock
from nodes.central.clock import to_body as stamped
from nodes.central.roll import Roll
from nodes.central.snapshot import Mark
from nodes.links.bus import Bus
from nodes.links.errors import BusAway, ObjectBroken, StreamBroken
from nodes.links.lease import Lease
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.journal import Entry, Forgotten, Imported, RollRef, from_body, to_body
from protocols.wire.subjects import EVERY_CAMPAIGN, Stream, campaign_events

RETRY_S = 0.2
"""Pause before a write is tried again. The election of a stream's leader takes 4 to 7 s, and the lease outlives it."""
CLOCK = "clock"
"""The key of an entry's body under which its `Stamp` is."""
SNAPSHOT: Final = "snapshot"
"""The object that the newest snapshot is."""

T = TypeVar("T")

log = logs.get(__name__)


class Memory:
    """The fold in `campaigns`, as of message `last` of the stream. `forgotten`: the last that is a `Forgotten`."""

    def __init__(self, bus: Bus, lease: Lease, writer: str, clock: Clock | None = None) -> None:
        """`clock`: goes on from the last entry that is read. `writer`: new at each start (an `Identity`). It makes the
        ids under which the stream knows our entries: the same for a second try, and never that of another writer,
        whose entry would be taken for ours.
        """
        self.campaigns = Campaigns()
        self.last = self.forgotten = 0
        self.kept = 0
        """Of which message the newest snapshot is."""
        self.clock = clock or Clock()
        self._has_begun = False
        self._bus, self._lease = bus, lease
        self._writer, self._n_written = writer, 0
        self._in_order = asyncio.Lock()
        self.heard: Callable[[Entry], None] = lambda entry: None
        """Called with each entry that has changed the fold, whoever wrote it."""

    async def catch_up(self) -> None:
        """Learn what others have written. Raises: `BusAway`, `StreamBroken`, `ObjectBroken`."""
        async with self._in_order:
            await self._read()

    async def write(self, entry: Entry) -> None:
        """Write an entry and learn it; whether it changed anything is to be seen in the fold.

        Raises: `BusAway` once the lease is lost, `StreamBroken`, `ObjectBroken`; the entry may have been written then.
        """
        async with self._in_order:
            sequence = await self._commit(entry)
            if sequence <= self.last:
                raise self._broken(0)
            if sequence == self.last + 1:
                await self._apply(sequence, entry)
            else:
                await self._tried(self._read)

    @property
    def leads(self) -> bool:
        """Whether the lease is held, now."""
        return self._lease.token is not None

    def mark(self) -> Mark:
        """Return of which message the fold is."""
        return Mark(self.last, self.clock.stamp(), self.forgotten)

    async def _commit(self, entry: Entry) -> int:
        campaign = EVERY_CAMPAIGN if isinstance(entry, Forgotten) else entry.campaign_id
        subject, body = campaign_events(campaign), to_body(entry) | {CLOCK: stamped(self.clock.stamp())}
        self._n_written += 1
        event_id = f"{self._writer}/{self._n_written}"
        return await self._tried(lambda: self._bus.commit(subject, event_id, body))

    async def _tried(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it, again and again as long as the lease is held."""
        while True:
            try:
                return await act()
            except BusAway:
                if self._lease.token is None:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        if not self._has_begun:
            await self._begin()
            self._has_begun = True
        try:
            await self._read_on()
        except StreamBroken as broken:
            raise self._broken(broken.found) from None

    async def _read_on(self) -> None:
        async for received in self._bus.replay(Stream.CAMPAIGN, after=self.last):
            if received.sequence != self.last + 1:
                raise StreamBroken(Stream.CAMPAIGN, self.last, received.sequence)
            try:
                self.clock.heard((received.body or {}).get(CLOCK))
                entry = from_body(received.body)
            except RemoteProtocolError as error:
                self.last = received.sequence
                log.error("journal.unreadable", sequence=received.sequence, error=str(error))
            else:
                await self._apply(received.sequence, entry)

    async def _begin(self) -> None:
        """Know what the newest snapshot says; when it cannot be read, nothing, and the journal must say it all."""
        objects, reading = self._bus.objects(), snapshot.Reading()
        try:
            if await objects.info(SNAPSHOT) is None:
                return
            with collector.loading():
                async for chunk in objects.read(SNAPSHOT):
                    reading.feed(chunk)
                fold, mark = reading.whole()
                for campaign in fold.campaigns.values():
                    assert campaign.stored is not None
                    campaign.roll = await self._roll(campaign.stored)
        except (ObjectBroken, snapshot.BadSnapshot) as error:
            log.error("snapshot.refused", error=str(error))
            return
        self.campaigns, self.last, self.kept, self.forgotten = fold, mark.sequence, mark.sequence, mark.forgotten
        self.clock.heard(stamped(mark.clock))
        log.info("snapshot.read", sequence=mark.sequence, campaigns=len(fold.campaigns))

    async def _apply(self, sequence: int, entry: Entry) -> None:
        if isinstance(entry, Imported) and entry.roll and entry.roll.name not in self.campaigns.rolls:
            self.campaigns.rolls[entry.roll.name] = await self._roll(entry.roll)
        self.last = sequence
        if isinstance(entry, Forgotten):
            self.forgotten = sequence
        if self.campaigns.apply(entry):
            self.heard(entry)

    async def _roll(self, stored: RollRef) -> Roll:
        reading = roll.Reading()
        try:
            async for chunk in self._bus.objects().read(stored.name, stored.digest):
                reading.feed(chunk)
            return reading.whole()
        except roll.BadRoll as error:
            raise ObjectBroken(stored.name, str(error)) from error

    def _broken(self, found: int) -> StreamBroken:
        """Forget everything, and return what is wrong."""
        after, self.last, self.campaigns = self.last, 0, Campaigns()
        self.kept = self.forgotten = 0
        self._has_begun = False
        return StreamBroken(Stream.CAMPAIGN, after, found)


__all__ = ["SNAPSHOT", "Memory"]
