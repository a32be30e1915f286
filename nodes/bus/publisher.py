"""Brings records to their stream, in order and at least once, however long the cluster is away.

A record is in memory until the stream has acknowledged it. When it does not, or the connection is down, whatever waits
is on disk within `RETRY_S`, and goes out in its order when the stream answers again. The stream drops what it has
already (Msg-Id, two minutes), the recorder whatever comes later than that (its event id).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from nodes.bus.spool import Record, Spool
from nodes.links.errors import BusAway
from nodes.telemetry import logs

WINDOW: Final = 64
"""Records under way at once. When one fails, those after it are sent again with it."""
GATHERS_S: Final = 0.1
"""So long do records wait for others: what a message costs here, at the server and at who hears of it at once is mostly
that all of these wake up for it."""
RETRY_S: Final = 0.25

log = logs.get(__name__)


class Publisher:
    """`deliver(record)` returns when the stream has it, or raises `BusAway`; `up` is set while it is worth trying."""

    def __init__(
        self, spool: Spool, deliver: Callable[[Record], Awaitable[object]], up: asyncio.Event, counts: Counter[str]
    ) -> None:
        self._spool, self._deliver, self._up, self._counts = spool, deliver, up, counts
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._is_away = False

    def put(self, record: Record) -> bool:
        """Take a record; False (`refuse`), counted, when the spool is full and the record may be dropped."""
        if not self._spool.add(record):
            if not self._counts["spool_full"]:
                log.error("spool.full", waiting=len(self._spool))
            self._counts["spool_full"] += 1
            return False
        self._settled.clear()
        self._wanted.set()
        return True

    @property
    def used(self) -> float:
        """The share of the spool that is in use."""
        return self._spool.used

    @property
    def n_waiting(self) -> int:
        """How many records the stream has not acknowledged."""
        return len(self._spool)

    async def settled(self) -> None:
        """Return when the stream has everything."""
        await self._settled.wait()

    async def run(self) -> None:
        """Deliver until cancelled; then what is left is on disk, for the next process."""
        try:
            await self._adopt()
            while True:
                await self._wanted.wait()
                if len(self._spool) < WINDOW:
                    await asyncio.sleep(GATHERS_S)
                if await self._round():
                    self._back()
                else:
                    await self._away()
        finally:
            self._save_now()
            self._spool.close()

    async def _round(self) -> bool:
        """Deliver the oldest records; True when the stream took them all."""
        if not self._up.is_set():
            return False
        batch = self._spool.first(WINDOW)
        results = await asyncio.gather(*map(self._deliver, batch), return_exceptions=True)
        n_taken = next((n for n, result in enumerate(results) if isinstance(result, BaseException)), len(batch))
        self._spool.taken(n_taken)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BusAway):
                raise result
        return n_taken == len(batch)

    def _back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("records.back", waiting=len(self._spool))
        if not len(self._spool):
            self._wanted.clear()
            self._settled.set()

    async def _away(self) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("records.away", waiting=len(self._spool))
        await self._save()
        if self._up.is_set():
            await asyncio.sleep(RETRY_S)
            return
        try:
            async with asyncio.timeout(RETRY_S):
                await self._up.wait()
        except TimeoutError:
            pass

    async def _adopt(self) -> None:
        try:
            found = await asyncio.to_thread(self._spool.adopt)
        except OSError as error:
            log.error("spool.failed", error=str(error))
            return
        self._spool.adopted(found)
        if found:
            log.info("spool.adopted", records=len(found), torn=self._spool.n_torn)
            self._settled.clear()
            self._wanted.set()

    async def _save(self) -> None:
        records = self._spool.unsaved()
        try:
            await asyncio.to_thread(self._spool.save, records)
        except OSError as error:
            log.error("spool.failed", error=str(error))
        else:
            self._spool.saved(len(records))

    def _save_now(self) -> None:
        try:
            self._spool.save(self._spool.unsaved())
        except OSError as error:
            log.error("spool.failed", error=str(error))


__all__ = ["WINDOW", "Publisher"]
