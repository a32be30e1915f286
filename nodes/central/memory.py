"""The journal and its fold, kept in step: what is written down is known, and what is known was written down.

A memory begins with the newest snapshot, if there is one that can be read, and goes on with the journal behind it. What
is read is read whole: when the next message of the stream is not the next number, or its last was not read, nothing of
it is believed, all that was known is forgotten, and everything is read again. A hole stays one, so nobody leads then.

A stream that somebody has deleted, or that has lost its end, is something else: what is known is more than it can tell.
It is kept, and what the stream says is read on top. But the newest entries may be lost, and with them who was dialled,
so the campaigns that were running are `unsure` until the journal has somebody's word on them; nobody is dialled before.

One central writes at a time (it holds the lease), but a predecessor's last word may arrive late. So after each write
the sequence tells whether something came in between; then everything is read up to there, in the stream's order, and
whether the entry was possible is what the fold says, here as in every later replay.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from nodes import collector
from nodes.bus.bus import Bus
from nodes.bus.lease import Lease
from nodes.central import roll, snapshot
from nodes.central.campaign import Campaigns
from nodes.central.clock import Clock
from nodes.central.clock import to_body as stamped
from nodes.central.roll import Roll
from nodes.central.snapshot import Mark
from nodes.links.errors import BusAway, ObjectBroken, StreamBroken
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.ids import CampaignId
from protocols.wire.journal import CampaignPhase, Entry, Forgotten, Imported, RollRef, Steered, from_body, to_body
from protocols.wire.subjects import EVERY_CAMPAIGN, Stream, campaign_events

RETRY_S = 0.2
"""Pause before a write is tried again. The election of a stream's leader takes 4 to 7 s, and the lease outlives it."""
SHORT_S: Final = 20.0
"""So long must a stream seem to have lost its end: a server of a cluster that has just come up may not know it yet."""
CLOCK = "clock"
"""The key of an entry's body under which its `Stamp` is."""
SNAPSHOT: Final = "snapshot"
"""The object that the newest snapshot is."""

T = TypeVar("T")

log = logs.get(__name__)


def nobody(entry: Entry) -> None:
    """Hear an entry, and do nothing."""


class Memory:
    """The fold in `campaigns`, as of message `last` of the stream. `forgotten`: the last that is a `Forgotten`.

    `kept`: of which message the newest snapshot is; None: there is none of this stream. `is_owed`: there must be one at
    once, because the stream does not tell everything any more.
    """

    def __init__(self, bus: Bus, lease: Lease, writer: str, clock: Clock | None = None) -> None:
        """`clock`: goes on from the last entry that is read. `writer`: new at each start (an `Identity`). It makes the
        ids under which the stream knows our entries: the same for a second try, and never that of another writer,
        whose entry would be taken for ours.
        """
        self.campaigns = Campaigns()
        self.last = self.forgotten = 0
        self.kept: int | None = None
        self.is_owed = False
        self.unsure: set[CampaignId] = set()
        self.clock = clock or Clock()
        self._created = ""
        self._short_since: float | None = None
        self._has_begun = False
        self._bus, self._lease = bus, lease
        self._writer, self._n_written = writer, 0
        self._in_order = asyncio.Lock()
        self.heard: Callable[[Entry], None] = nobody
        """Called with each entry that has changed the fold, whoever wrote it; whoever listens knows this fold."""

    async def catch_up(self) -> None:
        """Learn what others have written. Raises: `BusAway`, `StreamBroken`, `ObjectBroken`."""
        async with self._in_order:
            await self._read()

    async def is_first(self) -> bool:
        """Say whether nothing was ever written down. Raises: `BusAway`."""
        try:
            return (await self._bus.extent(Stream.CAMPAIGN)).last == 0 and not await self._bus.objects().info(SNAPSHOT)
        except ObjectBroken:
            return False

    async def write(self, entry: Entry) -> None:
        """Write an entry and learn it; whether it changed anything is to be seen in the fold.

        Raises: `BusAway` once the lease is lost, `StreamBroken`, `ObjectBroken`; the entry may have been written then.
        """
        async with self._in_order:
            sequence = await self._commit(entry)
            if sequence == self.last + 1:
                await self._apply(sequence, entry)
            else:  # another's late word came in between, or this is another stream
                await self._tried(lambda: self._read(sequence))

    @property
    def leads(self) -> bool:
        """Whether the lease is held, now."""
        return self._lease.token is not None

    def mark(self) -> Mark:
        """Return of which message the fold is."""
        return Mark(self.last, self.clock.stamp(), self.forgotten, self._created, tuple(self.unsure))

    def has_kept(self, mark: Mark) -> None:
        """Take note that there is a snapshot of that message, unless the journal has been lost since."""
        if mark.created == self._created and mark.sequence <= self.last:
            self.kept, self.is_owed = mark.sequence, False

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

    async def _read(self, written: int = sys.maxsize) -> None:
        """Read on to the end. `written`: the sequence of a message that is not known yet."""
        # who knows no campaign may have begun when the stream was another already, and its snapshot not there yet
        if not self._has_begun or not (self.leads or self.campaigns.campaigns):
            await self._begin()
            self._has_begun = True
        extent = await self._bus.extent(Stream.CAMPAIGN)
        self._created = self._created or extent.created
        if extent.created != self._created:
            self._lost(extent.created, 0)
        elif written <= self.last:
            self._lost(extent.created, written - 1)
        elif extent.last < self.last:
            self._wait_for_end(f"the journal ends at {extent.last}, and {self.last} is known")
            self._lost(extent.created, extent.last)
        try:
            await self._read_on()
            if self.last < extent.last:
                raise StreamBroken(Stream.CAMPAIGN, self.last, 0)
        except StreamBroken as broken:
            if self.last and not broken.found:  # two servers were asked, and one of them is behind
                self._wait_for_end(f"the journal ends at {extent.last}, or at {self.last}")
            raise self._broken(broken.found) from None
        self._short_since = None

    def _wait_for_end(self, why: str) -> None:
        """Return when a stream has seemed to have lost its end for so long that it has. Raises: `BusAway` till then."""
        self._short_since = self._short_since or time.monotonic()
        if time.monotonic() - self._short_since < SHORT_S:
            raise BusAway(why)
        self._short_since = None

    def _lost(self, created: str, left: int) -> None:
        """Go on with all that is known, whatever the stream tells of it; of its messages the first `left` are known."""
        running = {
            name for name, campaign in self.campaigns.campaigns.items() if campaign.phase is CampaignPhase.RUNNING
        }
        log.error("journal.lost", known=self.last, left=left, campaigns=sorted(running))
        self.unsure |= running
        self._created, self.last = created, left
        self.kept, self.forgotten, self.is_owed = None, 0, True

    async def _read_on(self) -> None:
        async for received in self._bus.replay(Stream.CAMPAIGN, after=self.last):
            if received.sequence != self.last + 1:
                raise StreamBroken(Stream.CAMPAIGN, self.last, received.sequence)
            body = received.body
            try:
                self.clock.heard((body or {}).get(CLOCK))
                entry = from_body(body)
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
        self._created, self.unsure, self.is_owed = mark.created, {*mark.unsure}, False
        self.clock.heard(stamped(mark.clock))
        log.info("snapshot.read", sequence=mark.sequence, campaigns=len(fold.campaigns))

    async def _apply(self, sequence: int, entry: Entry) -> None:
        if isinstance(entry, Imported) and self._needs(entry):
            self.campaigns.rolls[entry.roll.name] = await self._roll(entry.roll)
        self.last = sequence
        if isinstance(entry, Forgotten):
            self.forgotten = sequence
        if isinstance(entry, Steered):
            self.unsure.discard(entry.campaign_id)
        if self.campaigns.apply(entry):
            self.heard(entry)

    def _needs(self, entry: Imported) -> bool:
        """Say whether the roll must be read: of a name that is taken, nobody needs it, and it may have been removed."""
        return entry.campaign_id not in self.campaigns.campaigns and entry.roll.name not in self.campaigns.rolls

    async def _roll(self, stored: RollRef) -> Roll:
        reading = roll.Reading()
        try:
            async for chunk in self._bus.objects().read(stored.name, stored.digest):
                reading.feed(chunk)
            return reading.whole()
        except roll.BadRoll as error:
            raise ObjectBroken(stored.name, str(error)) from error

    def _broken(self, found: int) -> StreamBroken:
        """Forget everything, also who listens, and return what is wrong."""
        after, self.last, self.campaigns, self.unsure = self.last, 0, Campaigns(), set()
        self.kept, self.forgotten, self.is_owed = None, 0, False
        self._created, self._has_begun, self.heard = "", False, nobody
        return StreamBroken(Stream.CAMPAIGN, after, found)


__all__ = ["SNAPSHOT", "Memory", "nobody"]
