"""The journal and its fold, kept in step: what is written down is known, and what is known was written down.

What is read is read whole: when the next message of the stream is not the next number, nothing of it is believed, all
that was known is forgotten, and the stream is read again from its beginning. A hole in the middle stays a hole, so
nobody leads then.

One central writes at a time (it holds the lease), but a predecessor's last word may arrive late. So after each write
the sequence tells whether something came in between; then everything is read up to there, in the stream's order, and
whether the entry was possible is what the fold says, here as in every later replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nodes.central.campaign import Campaigns
from nodes.central.clock import Clock
from nodes.central.clock import to_body as stamped
from nodes.links.bus import Bus
from nodes.links.errors import BusAway, StreamBroken
from nodes.links.lease import Lease
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.journal import Entry, from_body, to_body
from protocols.wire.subjects import Stream, campaign_events

RETRY_S = 0.2
"""Pause before a write is tried again. The election of a stream's leader takes 4 to 7 s, and the lease outlives it."""
CLOCK = "clock"
"""The key of an entry's body under which its `Stamp` is."""

T = TypeVar("T")

log = logs.get(__name__)


class Memory:
    """The fold in `campaigns`, as of message `last` of the stream."""

    def __init__(self, bus: Bus, lease: Lease, writer: str, clock: Clock | None = None) -> None:
        """`clock`: goes on from the last entry that is read. `writer`: new at each start (an `Identity`). It makes the
        ids under which the stream knows our entries: the same for a second try, and never that of another writer,
        whose entry would be taken for ours.
        """
        self.campaigns = Campaigns()
        self.last = 0
        self.clock = clock or Clock()
        self._bus, self._lease = bus, lease
        self._writer, self._n_written = writer, 0
        self._in_order = asyncio.Lock()
        self.heard: Callable[[Entry], None] = lambda entry: None
        """Called with each entry that has changed the fold, whoever wrote it."""

    async def catch_up(self) -> None:
        """Learn what others have written. Raises: `BusAway`, `StreamBroken`."""
        async with self._in_order:
            await self._read()

    async def write(self, entry: Entry) -> None:
        """Write an entry and learn it; whether it changed anything is to be seen in the fold.

        Raises: `BusAway` once the lease is lost, `StreamBroken`; the entry may have been written then.
        """
        async with self._in_order:
            sequence = await self._commit(entry)
            if sequence <= self.last:
                raise self._broken(0)
            if sequence == self.last + 1:
                self._apply(sequence, entry)
            else:
                await self._tried(self._read)

    async def _commit(self, entry: Entry) -> int:
        subject, body = campaign_events(entry.campaign_id), to_body(entry) | {CLOCK: stamped(self.clock.stamp())}
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
                self._apply(received.sequence, from_body(received.body))
            except RemoteProtocolError as error:
                self.last = received.sequence
                log.error("journal.unreadable", sequence=received.sequence, error=str(error))

    def _broken(self, found: int) -> StreamBroken:
        """Forget everything, and return what is wrong."""
        after, self.last, self.campaigns = self.last, 0, Campaigns()
        return StreamBroken(Stream.CAMPAIGN, after, found)

    def _apply(self, sequence: int, entry: Entry) -> None:
        self.last = sequence
        if self.campaigns.apply(entry):
            self.heard(entry)


__all__ = ["Memory"]
