"""How long recordings are kept: as their campaign's plan says, else as the node's file does; then they are erased.

What ends is the sound of a call, in every form: files of this machine, and objects of the store, of which one node of
the cluster takes care. What a call came to, and its words in the database, are the recorder's. A day is 24 hours from
the end of the recording. Whose campaign a recording is, its name says; what that campaign's plan says, central does:
when nobody leads nothing of a campaign is erased, and neither is what is of a campaign that central does not know.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from nodes.errors import in_words
from nodes.links.anywhere import ask_first
from nodes.links.errors import LinkError
from nodes.links.members import Members
from nodes.links.recordings import KEEPER, SEALED, WAV
from nodes.mesh.mesh import Mesh
from nodes.storage.files import waiting
from nodes.storage.names import prefix_of, stored
from nodes.storage.stock import Stock
from nodes.storage.store import StoreError
from nodes.telemetry import logs
from protocols.wire.campaigns import ListCampaigns, campaign_of
from protocols.wire.ids import CallId, CampaignId, NodeId, node_of
from protocols.wire.recordings import MOST_ERASED, EraseRecordings, RecordingsErased

DAY_S: Final = 86400.0
LOOK_S: Final = 3600.0
FIRST_S: Final = 60.0
"""Before the first look, while a node starts."""
ASK_S: Final = 10.0
STEPPED_S: Final = 3600.0
"""By so much clocks do not drift in an hour; one that does was set, or the machine slept."""

log = logs.get(__name__)


def is_over(ended_s: float, now_s: float, days: int) -> bool:
    """Say whether something that ended then has been kept for so many days; 0: it is kept for ever.

    >>> is_over(0.0, 7 * DAY_S - 1, 7), is_over(0.0, 7 * DAY_S, 7), is_over(0.0, 1e12, 0)
    (False, True, False)
    """
    return days > 0 and now_s - ended_s >= days * DAY_S


def days_of(call_id: CallId, otherwise: int, plans: Mapping[CampaignId, int] | None) -> int | None:
    """Return for how many days a call's recordings are kept, 0: for ever; None: nobody can say just now.

    `plans`: what campaigns' plans say, 0 where they do not; None: central did not answer.

    >>> plans = {CampaignId("spring"): 7, CampaignId("may"): 0}
    >>> [days_of(CallId(name), 30, plans) for name in ("spring-a4-1", "may-a4-1", "june-a4-1", "7c1f")]
    [7, 30, None, 30]
    """
    if not (campaign := campaign_of(call_id)):
        return otherwise
    days = plans.get(campaign) if plans is not None else None
    return days if days is None or days > 0 else otherwise


class Retention:
    """One node's. `otherwise`: days, where no plan says. `erase`: what answers `EraseRecordings` here."""

    def __init__(
        self, stock: Stock, mesh: Mesh, members: Members, node: NodeId, otherwise: int,
        erase: Callable[[EraseRecordings], Awaitable[RecordingsErased]],
    ) -> None:  # fmt: skip
        self._stock, self._mesh, self._members, self._node = stock, mesh, members, node
        self._otherwise, self._erase = otherwise, erase
        self._offset_s = time.time() - time.monotonic()
        self.counts: Counter[str] = Counter({"expired": 0, "expiry_failures": 0})

    async def run(self) -> None:
        """Erase what is over, hour by hour, for ever."""
        await asyncio.sleep(FIRST_S)
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Erase what is over now. What cannot be erased is over in an hour, too.

        Nothing is erased when the wall clock was set since the last look: somebody may want to set it right first.
        """
        offset_s = time.time() - time.monotonic()
        if abs(offset_s - self._offset_s) > STEPPED_S:
            log.warning("retention.clock_was_set", by_s=round(offset_s - self._offset_s))
            self._offset_s = offset_s
            return
        plans = await self._plans()
        try:
            due = await asyncio.to_thread(lambda: sorted(set(self._due(plans, time.time()))))
        except (StoreError, OSError) as error:
            self.counts["expiry_failures"] += 1
            log.warning("retention.not_looked", error=in_words(error))
            return
        for at in range(0, len(due), MOST_ERASED):
            asked = EraseRecordings(tuple(due[at : at + MOST_ERASED]))
            done = await self._erase(asked)
            self.counts["expired"] += len(done.deleted)
            self.counts["expiry_failures"] += len(done.left) + len(done.unseen)
            log.info("retention.erased", calls=len(asked.call_ids), deleted=len(done.deleted), left=len(done.left))

    async def _plans(self) -> Mapping[CampaignId, int] | None:
        try:
            central = self._members.of_role("central")
            _, found = await ask_first(self._mesh, "central", central, ListCampaigns(), ASK_S)
        except LinkError:
            return None
        return {one.campaign_id: one.retention_days for one in found.campaigns}

    def _due(self, plans: Mapping[CampaignId, int] | None, now_s: float) -> Iterator[CallId]:
        """Yield the calls of which something is over: all of a call is erased then, for its parts end with it."""
        unknown = set[CampaignId]()
        for call_id, ended_s in (*here(self._stock), *there(self._stock, self._members, self._node)):
            days = days_of(call_id, self._otherwise, plans)
            if days is None:
                unknown.add(campaign_of(call_id))
            elif is_over(ended_s, now_s, days):
                yield call_id
        if unknown and plans is not None:
            log.warning("retention.unknown_campaigns", n=len(unknown), first=min(unknown))


def looks_after_store(members: Members, node: NodeId) -> bool:
    """Say whether this node looks into the store for all: it is the first by name of those that could."""
    return node == min({node_of(peer.identity) for peer in members.of_role(KEEPER)} | {node})


def here(stock: Stock) -> Iterator[tuple[CallId, float]]:
    """Yield whose recordings are on this disk, and when they ended, in seconds since 1970."""
    for place in stock.places:
        yield from ((one.call_id, one.ended_s) for one in waiting(place, [WAV, SEALED]))


def there(stock: Stock, members: Members, node: NodeId) -> Iterator[tuple[CallId, float]]:
    """Yield the same of the store, on the node that looks there. Raises: StoreError."""
    for place in stock.places if stock.store and looks_after_store(members, node) else ():
        assert stock.store is not None
        for found in stock.store.objects(prefix_of(place)):
            if one := stored(place, found.key):
                yield one.call_id, float(one.second)


__all__ = ["Retention", "days_of", "here", "is_over", "looks_after_store", "there"]
