"""What everybody may see of this process's things: the newest of each, in a bucket and as deltas.

What it does: `show` and `hide` return at once, whatever NATS does; a delta goes out now (`rm.state.<kind>.<id>`), the
bucket follows, the newest of each thing only. What it does not: decide what may be seen. `rev` is in both copies and
only grows, also from one life of a process to the next, so that a reader knows which of two is the later one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nodes.bus.bucket import Body, Entry
from nodes.bus.bus import Bus
from nodes.links.errors import BusAway
from nodes.telemetry import logs
from protocols.wire.subjects import Bucket, state

RETRY_S: Final = 1.0
GATHERS_S: Final = 0.5
"""So far is the bucket behind: a call that is placed, rings, and is answered at once is written once. Readers believe a
delta for longer than that (`nodes.bus.replica.DOUBT_S`)."""

log = logs.get(__name__)


class View:
    """One bucket's part that is ours. `run` writes it, for as long as it runs."""

    def __init__(self, bus: Bus, bucket: Bucket) -> None:
        self._bus, self._store = bus, bus.kv(bucket)
        self._kind = bucket.removeprefix("rm_")
        self._wanted: dict[str, Body | None] = {}
        """What the bucket does not have yet; one entry for each thing, so it is as large as what there is."""
        self._there: set[str] = set()
        self._changed = asyncio.Event()
        self._rev = 0

    def show(self, key: str, body: Body) -> None:
        """Let everybody see this."""
        self._rev = max(self._rev + 1, time.time_ns() // 1_000_000)
        self._put(key, {**body, "rev": self._rev})

    def hide(self, key: str) -> None:
        """It is no more."""
        self._rev = max(self._rev + 1, time.time_ns() // 1_000_000)
        self._put(key, None)

    def leave(self, key: str) -> None:
        """It is another process's to show, or to hide."""
        self._there.discard(key)
        self._wanted.pop(key, None)

    async def run(self, is_ours: Callable[[Body], bool]) -> None:
        """Bring the bucket up to date, for ever; first remove what an earlier life has left of ours."""
        await self._clean(is_ours)
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHERS_S)
            self._changed.clear()
            while self._wanted:
                key = next(iter(self._wanted))
                body = self._wanted.pop(key)
                try:
                    await (self._store.delete(key) if body is None else self._store.put(key, body))
                except BusAway:
                    self._wanted.setdefault(key, body)
                    await asyncio.sleep(RETRY_S)

    async def _clean(self, is_ours: Callable[[Body], bool]) -> None:
        async with aclosing(self._store.watch()) as watch:
            async for entry in watch:
                if entry is None:
                    return
                self._forget(entry, is_ours)

    def _forget(self, entry: Entry, is_ours: Callable[[Body], bool]) -> None:
        if entry.value is not None and is_ours(entry.value) and entry.key not in self._there:
            self._put(entry.key, None)

    def _put(self, key: str, body: Body | None) -> None:
        self._there.discard(key) if body is None else self._there.add(key)
        self._wanted[key] = body
        self._bus.publish(state(self._kind, key), body or {"gone": True, "rev": self._rev})
        self._changed.set()


__all__ = ["View"]
