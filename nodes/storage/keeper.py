"""What is done with recordings once they are published: encrypted, sent to the store, and there, removed here.

Two rounds of their own, so that a store that is slow or away keeps nothing from being encrypted. What is to be done is
read from the disk each time, and nothing else is remembered: whoever begins after a kill goes on with what lies there.
A file is removed when its object has been seen, with its length and checksum; an object whose file has gone meanwhile
(it was erased, or is gone on with) is deleted again. Files go oldest first, those that have failed last.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from nodes.errors import in_words
from nodes.links.recordings import SEALED, WAV
from nodes.storage.claims import Claims
from nodes.storage.files import SETTLED_S, Waiting, clean_up, is_same, seal_file, sync, waiting
from nodes.storage.names import key_of
from nodes.storage.sealing import NotSealed
from nodes.storage.stock import Stock
from nodes.storage.store import Store, StoreError
from nodes.telemetry import logs
from protocols.wire.ids import NodeId
from supervisors import Backoff

T = TypeVar("T")

LOOK_S: Final = 5.0
"""Between two looks at the directories."""
COUNT_S: Final = 15.0
"""Between two counts of what waits, each of which asks the disk for every file that does."""
PAUSE: Final = Backoff(first_s=2.0, top_s=120.0, jitter=0.0)
"""After a round in which the store took nothing."""
MOST_A_ROUND: Final = 1000
"""Files; then what there is is looked at anew."""

log = logs.get(__name__)


class Keeper:
    """One node's. `counts`: what was done and what failed. `settled_s`: so old is a recording before it is touched."""

    def __init__(self, stock: Stock, claims: Claims, node: NodeId, settled_s: float = SETTLED_S) -> None:
        self._stock, self._claims, self._node, self._settled_s = stock, claims, node, settled_s
        self.counts: Counter[str] = Counter()
        self.counts.update({"sealed": 0, "seal_failures": 0, "uploads": 0, "upload_failures": 0, "uploaded_bytes": 0})
        self.is_up = True
        """Whether the store took the last that it was given."""
        self._is_away = False
        self._failing: set[str] = set()
        """Recordings that failed when they were last tried: the others go first."""
        self._waits = (0, 0, 0.0)
        self._sealer = ThreadPoolExecutor(1, "sealing")
        self._sender = ThreadPoolExecutor(1, "sending")

    @property
    def has_store(self) -> bool:
        """Whether there is somewhere to send recordings to."""
        return self._stock.store is not None

    def close(self) -> None:
        """Give up what is under way: nothing is lost by it."""
        self._sealer.shutdown(wait=False, cancel_futures=True)
        self._sender.shutdown(wait=False, cancel_futures=True)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        n_files, n_bytes, oldest_s = self._waits
        figures = {word: float(count) for word, count in (self.counts + self._stock.counts).items()}
        zeros = {word: 0.0 for word in (*self.counts, "erased", "unreadable")}
        waits = {"waiting": n_files, "waiting_bytes": n_bytes, "oldest_s": round(oldest_s, 1)}
        return zeros | figures | waits | ({"store_up": float(self.is_up)} if self._stock.store else {})

    async def seal_all(self) -> None:
        """Encrypt what is settled, for ever, where there is a key for it."""
        for place in self._stock.places:
            await asyncio.to_thread(clean_up, place)
        while True:
            await self.seal_some()
            await asyncio.sleep(LOOK_S)

    async def seal_some(self) -> None:
        """Encrypt what is settled now."""
        sealing = self._stock.ring.sealing
        for one in await self._in(self._sealer, self._plain):
            with self._claims.copying(one.call_id) as may:
                if may:
                    key = sealing[one.place.owner]
                    await self._done("seal", one, partial(seal_file, self._stock.ring, key, one), self._sealer)

    async def send_all(self) -> None:
        """Have the store take what is ready for it, for ever."""
        n_failed = 0
        while True:
            n_failed = 0 if await self.send_some() else n_failed + 1
            await asyncio.sleep(PAUSE.delay(n_failed, 0.5) if n_failed else LOOK_S)

    async def send_some(self) -> bool:
        """Have the store take what is ready now; say whether it took all of it."""
        store, takes_all = self._stock.store, True
        assert store is not None, "nothing is sent where there is no store"
        for one in await self._in(self._sender, self._ready):
            with self._claims.copying(one.call_id) as may:
                if not may:
                    continue
                is_done = await self._done("upload", one, partial(self._send, store, one), self._sender)
                takes_all &= is_done
                if not is_done and self._is_away:
                    break  # the next would wait as long, and fail as this one
        return takes_all

    async def look_all(self) -> None:
        """Count what waits, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(COUNT_S)

    async def look(self) -> None:
        """Count what waits."""
        self._waits = await asyncio.to_thread(self._waiting)

    # ---- in threads -------------------------------------------------------------------------------------------------

    def _plain(self) -> list[Waiting]:
        """Return what is to be encrypted."""
        places = [place for place in self._stock.places if place.owner in self._stock.ring.sealing]
        return self._settled(one for place in places for one in waiting(place, [WAV]))

    def _ready(self) -> list[Waiting]:
        """Return what is to be sent: what is encrypted, and what need not be."""
        sealing = self._stock.ring.sealing
        kinds = {place: [SEALED] if place.owner in sealing else [SEALED, WAV] for place in self._stock.places}
        return self._settled(one for place, suffixes in kinds.items() for one in waiting(place, suffixes))

    def _settled(self, found: Iterable[Waiting]) -> list[Waiting]:
        until_s = time.time() - self._settled_s
        settled = [one for one in found if one.ended_s <= until_s]
        return sorted(settled, key=lambda one: (one.name in self._failing, one.ended_s))[:MOST_A_ROUND]

    def _waiting(self) -> tuple[int, int, float]:
        """Return how many files wait, how many bytes, and how old the oldest is, in seconds."""
        wants = [SEALED, WAV] if self._stock.store else [WAV]
        places = [
            place for place in self._stock.places if self._stock.store or place.owner in self._stock.ring.sealing
        ]  # fmt: skip
        found = [one for place in places for one in waiting(place, wants)]
        oldest_s = time.time() - min((one.ended_s for one in found), default=time.time())
        return len(found), sum(one.n_bytes for one in found), max(0.0, oldest_s)

    def _send(self, store: Store, one: Waiting) -> bool:
        """Bring a file to the store, and remove it here. False: it was gone, and so is its object."""
        suffix = one.path.suffix[1:]
        key = key_of(one.place, one.call_id, one.part, self._node, one.ended_s, suffix)
        try:
            with one.path.open("rb") as file:
                before = os.fstat(file.fileno())
                store.put(key, file, lambda: self._claims.is_wanted(one.call_id))
            if self._claims.is_wanted(one.call_id) and is_same(one.path, before):
                one.path.unlink()
                sync(one.path.parent)
                self.counts["uploaded_bytes"] += one.n_bytes
                return True
        except FileNotFoundError:
            pass
        store.delete(key)
        return False

    # ---- what comes of it -------------------------------------------------------------------------------------------

    async def _done(self, what: str, one: Waiting, work: Callable[[], object], thread: ThreadPoolExecutor) -> bool:
        """Do one piece of work, and count what comes of it; say whether it is done, or needs not be any more."""
        done = "sealed" if what == "seal" else "uploads"
        try:
            did = await self._in(thread, work)
        except (StoreError, NotSealed, OSError) as error:
            if isinstance(error, StoreError) and self._claims.is_wanted(one.call_id):
                self._store_is(error)
            self._failed(what, one, error)
            return False
        if what == "upload":
            self._store_is(None)
        self._failing.discard(one.name)
        self.counts[done] += bool(did)
        return True

    def _failed(self, what: str, one: Waiting, error: Exception) -> None:
        """Count, and tell the log of each recording once; of the store it has been told."""
        self.counts[f"{what}_failures"] += 1
        is_new = one.name not in self._failing
        self._failing.add(one.name)
        if is_new and not isinstance(error, StoreError):
            if what == "seal":
                log.error("recording.not_sealed", recording=one.name, error=in_words(error))
            else:
                log.error("recording.not_sent", recording=one.name, error=in_words(error))

    def _store_is(self, error: StoreError | None) -> None:
        """Take how the store has done the last that it was given."""
        if self.is_up and error:
            log.warning("store.failed", error=in_words(error))
        elif not (self.is_up or error):
            log.warning("store.works")
        self.is_up, self._is_away = error is None, error is not None and error.is_away

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)


__all__ = ["LOOK_S", "Keeper"]
