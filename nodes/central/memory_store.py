"""Keeps what is known: snapshots of the fold, rolls that have changed, and nothing of whom the journal is to forget.

A person is forgotten in this order, and a leader that dies in between does the rest in its next life, because the
journal still has the `Forgotten`: the rolls without them are stored, then a snapshot that names those, which is read
back, then the journal is purged up to it (but never of what the recorder has not read), and at last the old rolls go.
What the journal says of them is overwritten before it is purged (`nodes.bus.erasing`): for that moment the journal has
holes, below the snapshot, where nobody reads who leads.

Objects that somebody has deleted are written again, as long as there is a leader who knows what was in them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Final

from nodes.bus.bus import Bus
from nodes.bus.objects import Info, Writing
from nodes.central.campaign import Campaign
from nodes.central.memory import SNAPSHOT, Memory
from nodes.central.snapshot import Taken
from nodes.links.errors import BusAway, ObjectBroken, StreamBroken
from nodes.telemetry import logs
from protocols.wire.ids import CampaignId
from protocols.wire.journal import CampaignPhase, RollRef, Steered
from protocols.wire.roles import RECORDER_READS
from protocols.wire.subjects import Stream

EVERY: Final = 20_000
"""Entries after which a new snapshot is worth its writing: they are read in less than a second."""
LOOK_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
"""After many failures: a store that is full has other things to do than to take snapshots that find no room."""
MEND_LOOKS: Final = 60
"""A minute: so often it is looked whether all objects are there."""
ROLL: Final = "roll"
JOURNAL_LOST: Final = "journal_lost"
"""Why a campaign is held until it is paused."""

log = logs.get(__name__)


def roll_name(campaign: CampaignId) -> str:
    """Return a new name for the object that a campaign's roll is."""
    return f"{ROLL}.{campaign}.{secrets.token_hex(8)}"


def pause_s(n_failed: int) -> float:
    """Return how long to wait after so many failures in a row."""
    return min(LOOK_S * 2.0 ** min(n_failed, 10), MAX_PAUSE_S)


class MemoryStore:
    """The work of one term."""

    def __init__(self, bus: Bus, memory: Memory) -> None:
        self._bus, self._objects, self._memory = bus, bus.objects(), memory
        self._fold = memory.campaigns
        self._left: list[Writing] = []
        """Objects that could not be written, and of which something is still there."""
        self._wanted, self._keeping = asyncio.Event(), asyncio.Lock()
        self.swept = asyncio.Event()
        """Set when nothing is left of what a predecessor had begun: from then on something may be imported."""

    def soon(self) -> None:
        """Look at once: somebody is to be forgotten."""
        self._wanted.set()

    async def run(self) -> None:
        """Keep, until cancelled."""
        n_failed = 0
        for n_looks in count():
            try:
                await self._tidy()
                await self.settle()
                if not self.swept.is_set():
                    await self._sweep()
                    self.swept.set()
                if n_looks % MEND_LOOKS == 0:
                    await self._mend()
                must_forget = await self._must_forget()
                kept = self._memory.kept or 0
                if (must_forget and kept < self._memory.forgotten) or self._memory.last - kept >= EVERY:
                    await self.keep()
                if must_forget:
                    await self._forget()
                n_failed = 0
            except (BusAway, ObjectBroken, StreamBroken) as error:
                n_failed += 1
                log.warning("snapshot.not_kept", error=str(error))
            self._wanted.clear()
            try:
                async with asyncio.timeout(pause_s(n_failed)):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def settle(self) -> None:
        """After the journal was lost: keep what is known, and pause what was running, for an operator to say.

        In this order: the snapshot says which are still to be paused.
        Raises: `BusAway`, `ObjectBroken`, `StreamBroken`.
        """
        if self._memory.is_owed:
            await self.keep()
        for name in sorted(self._memory.unsure):
            at = self._memory.campaigns.campaigns[name].at(self._memory.clock.wall())
            await self._memory.write(Steered(name, CampaignPhase.PAUSED, at))
            log.error("campaign.paused", campaign_id=name, reason=JOURNAL_LOST)

    async def keep(self) -> None:
        """Write a snapshot, and read it back. Raises: `BusAway`, `ObjectBroken`.

        It takes the place of the one that is there now: of a successor's it never does, however late we are.
        """
        async with self._keeping:
            await self._keep()

    async def _keep(self) -> None:
        revision = await self._objects.revision(SNAPSHOT)
        while changed := [one for one in self._memory.campaigns.campaigns.values() if one.stored is None]:
            await self._store(changed[0])
        mark = self._memory.mark()
        taken = Taken(self._memory.campaigns, mark)
        info = await self._write(SNAPSHOT, taken.items(), revision)
        async for _ in self._objects.read(SNAPSHOT, info.digest):
            pass
        self._memory.has_kept(mark)
        log.info("snapshot.kept", sequence=mark.sequence, bytes=info.size)

    async def _store(self, campaign: Campaign) -> None:
        """Store a roll that is stored nowhere."""
        roll = campaign.roll
        info = await self._write(roll_name(campaign.campaign_id), roll.items())
        if campaign.roll is roll:  # else somebody else was forgotten meanwhile
            campaign.stored = RollRef(info.name, info.digest, len(roll))
        else:
            await self._objects.delete(info.name)

    async def _write(self, name: str, items: Iterable[bytes], revision: int | None = None) -> Info:
        """Write an object; whatever ends that earlier leaves nothing of it. Raises: `BusAway`."""
        writing = self._objects.begin(name)
        try:
            for item in items:
                await writing.write(item)
                await asyncio.sleep(0)  # others are asked, and answer, meanwhile
            if not self._memory.leads:
                raise BusAway("the lease is lost")
            return await writing.finish(revision)
        except BaseException:
            self._left.append(writing)
            with suppress(BusAway):
                await self._tidy()
            raise

    async def _tidy(self) -> None:
        """Remove what is left of objects that could not be written. Raises: `BusAway`."""
        self._left = [writing for writing in self._left if not await writing.abandon()]

    async def _forget(self) -> None:
        """Remove from journal and objects what the newest snapshot does without."""
        kept = self._memory.kept
        if kept is None or kept < self._memory.forgotten or not self._memory.leads:
            return  # somebody more has come since: once more
        stored = await self._bus.stored_of(Stream.CAMPAIGN, RECORDER_READS)
        up_to = kept if stored is None else min(kept, stored)
        await self._erase(up_to)
        await self._bus.purge(Stream.CAMPAIGN, before=up_to + 1)
        if up_to >= self._memory.forgotten:
            n_rolls = await self._remove_rolls()
            log.info("journal.forgotten", up_to=up_to, rolls=n_rolls)

    async def _erase(self, up_to: int) -> None:
        """Overwrite what the journal says of people who are forgotten."""
        names = [name.encode() for name in self._fold.forgotten]
        after = (await self._bus.extent(Stream.CAMPAIGN)).first - 1
        theirs = []
        async for one in self._bus.replay(Stream.CAMPAIGN, after):
            if one.sequence > up_to:
                break
            if any(name in one.data for name in names):
                theirs.append(one.sequence)
        await self._bus.erase(Stream.CAMPAIGN, theirs)

    async def is_clean(self) -> bool:
        """Say whether nothing is left of those who are to be forgotten. Raises: `BusAway`."""
        return not await self._must_forget() and not await self._unused_rolls()

    async def _must_forget(self) -> bool:
        """Say whether the journal still has what somebody is to be forgotten by."""
        forgotten = self._memory.forgotten
        return forgotten > 0 and forgotten >= (await self._bus.extent(Stream.CAMPAIGN)).first

    async def _sweep(self) -> None:
        """Remove what a predecessor has begun to import and not finished."""
        n_unfinished = await self._objects.sweep()
        if not await self._must_forget():
            n_unfinished += await self._remove_rolls()
        if n_unfinished:
            log.info("objects.swept", n=n_unfinished)

    async def _mend(self) -> None:
        """Write again what is not there any more."""
        names = set(await self._objects.names())
        campaigns = self._memory.campaigns.campaigns.values()
        lost = [one for one in campaigns if one.stored and one.stored.name not in names]
        for campaign in lost:
            campaign.stored = None
        if lost or (self._memory.kept is not None and SNAPSHOT not in names):
            log.error("objects.lost", n=len(lost))
            await self.keep()

    async def _remove_rolls(self) -> int:
        """Remove the rolls that no campaign has; return how many. The journal must name none of them any more.

        Who knows no campaign at all, or has forgotten them, removes nothing: it knows too little.
        """
        gone = await self._unused_rolls()
        for name in gone:
            await self._objects.delete(name)
        return len(gone)

    async def _unused_rolls(self) -> list[str]:
        gone = [name for name in await self._objects.names() if name.startswith(f"{ROLL}.")]
        fold = self._fold
        if not fold.campaigns or fold is not self._memory.campaigns:
            return []
        used = {campaign.stored.name for campaign in fold.campaigns.values() if campaign.stored}
        return [name for name in gone if name not in used and name not in fold.rolls]


__all__ = ["MemoryStore", "pause_s", "roll_name"]
