"""What owners' recordings take, and which owners have no room: edges are told, and begin none of theirs.

Counted is what lies on this machine, and all of the owner's in the store. Room is again from nine tenths of the quota
on, so that each recording that is removed does not let one in. Calls go on in any case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from nodes.links.recordings import PART, SEALED, WAV
from nodes.links.roster import NOBODY, Roster
from nodes.storage.files import waiting
from nodes.storage.names import Place, prefix_of
from nodes.storage.stock import Stock
from nodes.storage.store import StoreError
from nodes.telemetry import logs
from protocols.wire.recordings import OwnersFull

LOOK_S: Final = 10.0
"""Between two looks at the disk, and two words to the edges: a new one hears of it within that time."""
STORE_LOOK_S: Final = 300.0
AGAIN: Final = 0.9
"""Of the quota: below it there is room again."""

log = logs.get(__name__)


class Quotas:
    """One node's. `tell(edge, message)`: brings the word. `roster`: the launcher's last word."""

    def __init__(self, stock: Stock, tell: Callable[..., object]) -> None:
        self._stock, self._tell = stock, tell
        self._limited = [place for place in stock.places if place.quota_bytes]
        self._in_store: dict[str, int] = {}
        self._next_s = 0.0
        self._used: dict[str, float] = {}
        self.full: frozenset[str] = frozenset()
        self.roster: Roster = NOBODY

    def figures(self) -> dict[str, float]:
        """What an operator sees of it: the share of each quota that is used."""
        return {f"quota_used_{owner}": round(share, 4) for owner, share in self._used.items()}

    async def run(self) -> None:
        """Look and tell, for ever, where there is a quota."""
        while self._limited:
            await self.look()
            self.tell()
            await asyncio.sleep(LOOK_S)

    def tell(self) -> None:
        """Tell our edges who has no room, spares too: they may be active within that second."""
        for process in self.roster.processes:
            if process.role == "edge":
                self._tell(process.identity, OwnersFull(tuple(sorted(self.full))))

    async def look(self) -> None:
        """Count what owners have, and say in the log who has no room any more, or has some again."""
        used = await asyncio.to_thread(self._count)
        full = frozenset(
            place.owner for place in self._limited
            if used[place.owner] >= place.quota_bytes * (AGAIN if place.owner in self.full else 1.0)
        )  # fmt: skip
        for place in self._limited:
            mb = {"used_mb": used[place.owner] // 1_000_000, "quota_mb": place.quota_bytes // 1_000_000}
            if place.owner in full - self.full:
                log.warning("recordings.quota_full", owner=place.owner, **mb)
            elif place.owner in self.full - full:
                log.warning("recordings.quota_has_room", owner=place.owner, **mb)
        self.full = full
        self._used = {place.owner: used[place.owner] / place.quota_bytes for place in self._limited}

    def _count(self) -> dict[str, int]:
        if self._stock.store is not None and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + STORE_LOOK_S
            for place in self._limited:
                self._in_store[place.owner] = self._stored(place)
        here = {
            place.owner: sum(one.n_bytes for one in waiting(place, [WAV, SEALED, PART])) for place in self._limited
        }  # fmt: skip
        return {owner: n_bytes + self._in_store.get(owner, 0) for owner, n_bytes in here.items()}

    def _stored(self, place: Place) -> int:
        """Return the bytes of an owner in the store; while that is away, what they were."""
        assert self._stock.store is not None
        try:
            return sum(one.n_bytes for one in self._stock.store.objects(prefix_of(place)))
        except StoreError:
            return self._in_store.get(place.owner, 0)


__all__ = ["Quotas"]
