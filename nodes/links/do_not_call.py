"""Who must not be called: everybody who dials knows it, from NATS and from this machine's own file, or dials nobody.

What one process learns goes both ways: from the bucket `rm_dnc` into the file (`kept_list`), and what the bucket does
not have, because it was away, deleted or emptied, from the file into the bucket. A key that disappears from the
bucket takes nobody off the list: only an entry that says so does.

The list is *known* once it was told whole: by the bucket, which central has marked as whole (`subjects.DNC_MADE`), or
by a file that has seen such a bucket. A bucket without the mark was made anew. Central fills it from its file;
without a file it marks it only while the journal is empty, too: then there was never a list to lose. Else `is_known`
stays False until an operator says what the list is (`ringmaster dnc import --whole`).

A name is `contact_id`: a hash with a secret key (`contact_key`). Without the key the bucket says nothing about anybody;
with it, a number is looked up, not read out. A list that was made with another key is not known, however whole it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

from nodes.bus.bucket import Bucket
from nodes.links.errors import BusAway
from nodes.links.kept_list import KeptList
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.wire.campaigns import ContactId, is_contact_id
from protocols.wire.do_not_call import LONG_AGO, Listing, listing_of
from protocols.wire.subjects import DNC_MADE

OTHER_KEY: Final = "bring contact.key of the node that made the list; if it is lost: ringmaster dnc import --whole FILE"
LOOK_S: Final = 0.5
"""How soon what another process of this node has learnt is known here, also without NATS."""
RETRY_S: Final = 1.0
SLICE: Final = 1000
"""Entries learnt in one turn of the loop: a few milliseconds."""
AT_ONCE: Final = 64
"""Entries on their way to the bucket."""
TICK: Final = timedelta(microseconds=1)
"""A new word about a contact is later than the last one, whatever the clock says."""

log = logs.get(__name__)


class DoNotCall:
    """The contacts of the list, each with when it was put there."""

    def __init__(self, bucket: Bucket, kept: KeptList, is_fresh: Callable[[], Awaitable[bool]] | None = None) -> None:
        """`is_fresh`: central's, who alone fills and marks the bucket: whether there was never a campaign."""
        self._bucket, self._kept, self._is_fresh = bucket, kept, is_fresh
        self.contacts: dict[ContactId, datetime] = {}
        self.decided = asyncio.Event()
        """The bucket has told all that it has, and what that means for `is_known` was decided."""
        self.forbidden: Callable[[ContactId], None] = lambda contact: None
        """Called with everybody who comes on the list from now on."""
        self._is_whole = False
        """Whether all that was ever said under our key has been told to us."""
        self._made_with: str | None = None
        """The fingerprint of the key in the bucket's mark; None: there is no mark."""
        self._off: dict[ContactId, datetime] = {}
        self._there: dict[str, datetime] = {}
        """The keys of the bucket: when each was written."""
        self._wanted: dict[str, Listing] = {}
        """What the bucket shall have and has not yet."""
        self._changed, self._settled = asyncio.Event(), asyncio.Event()
        self._unsaved: dict[str, Listing] = {}
        """What the file does not have, for it could not be written; and"""
        self._is_whole_unsaved = False
        """whether it shall say then that it is whole."""
        self._file = asyncio.Lock()

    @property
    def is_known(self) -> bool:
        """Whether the whole list was told, and names people as we do. Without it nobody may be dialled."""
        return self._is_whole and self._made_with in (None, self._kept.made_with)

    async def follow(self) -> None:
        """Keep the list, for ever."""
        async with Tasks() as tasks:
            tasks.spawn(self._follow_file())
            if self._is_fresh is not None:
                tasks.spawn(self._fill())
            await self._follow_bucket()

    def entry(self, contact: ContactId, by: str, why: str, is_on: bool = True) -> Listing:
        """Return a new entry, later than what is known of the contact; `hold` or `take` it.

        `by`: who says so; `why`: what they said or pressed, or a note.
        """
        known = max(self.contacts.get(contact, LONG_AGO), self._off.get(contact, LONG_AGO))
        at = datetime.now(UTC)
        return Listing(contact, is_on, by, why, (max(at, known + TICK) if known > LONG_AGO else at).isoformat())

    def hold(self, listing: Listing) -> None:
        """Let an entry hold in this process, now; `write` it down and `publish` it."""
        self._learn([listing])

    async def write(self, listings: Sequence[Listing], is_whole: bool = False) -> None:
        """Write entries into this machine's file, from where every process of the node has them.

        Raises: `OSError`; then they are written as soon as the disk takes them.
        """
        for one in listings:
            before = self._unsaved.get(one.key)
            if before is None or one.holds_over(before):
                self._unsaved[one.key] = one
        self._is_whole_unsaved |= is_whole
        await self._save()

    async def publish(self, listing: Listing) -> None:
        """Tell everybody. Raises: `BusAway`."""
        await self._bucket.put(listing.key, listing.body())

    async def take(self, listings: Sequence[Listing], is_whole: bool = False) -> int:
        """Have these entries hold, here now, and in the bucket as soon as NATS has them; returns how many were news.

        Raises: `OSError` when they could not be written down.
        """
        news = await self._learn_all(listings)
        if is_whole:
            self._is_whole = True
            if not self.is_known:  # another key's list is given up: an operator has said what the list is
                self._unmark()
        self._want(news)
        if news or is_whole:
            await self.write(news, is_whole)
        return len(news)

    async def is_everywhere(self, within_s: float) -> bool:
        """Return whether the bucket has everything, waiting so long for it."""
        try:
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def holds(self, contact: ContactId) -> bool | None:
        """Return whether a contact is on the list; None when nothing was ever said of them."""
        return contact in self.contacts or (False if contact in self._off else None)

    # ---- learning --------------------------------------------------------------------------------------------------

    def _learn(self, listings: Iterable[Listing]) -> list[Listing]:
        """Keep the entries that hold; return those that were news. One without a name is left out: it has no key."""
        news = []
        for one in listings:
            if not is_contact_id(one.contact_id):
                log.warning("do_not_call.names_nobody", by=one.by)
                continue
            contact, at = one.contact_id, one.at
            on, off = self.contacts.get(contact), self._off.get(contact)
            if one.is_on and (on is None or at > on) and (off is None or at >= off):
                self.contacts[contact] = at
                self._off.pop(contact, None)
                if on is None:
                    self.forbidden(contact)
            elif not one.is_on and (off is None or at > off) and (on is None or at > on):
                self._off[contact] = at
                self.contacts.pop(contact, None)
            else:
                continue
            news.append(one)
        return news

    async def _learn_all(self, listings: Sequence[Listing]) -> list[Listing]:
        """Learn a long list, and let others have the loop in between."""
        news: list[Listing] = []
        for begin in range(0, len(listings), SLICE):
            news += self._learn(listings[begin : begin + SLICE])
            await asyncio.sleep(0)
        return news

    async def _save(self) -> None:
        """Write down whatever is not yet. Raises: `OSError`."""
        async with self._file:
            some, is_whole = dict(self._unsaved), self._is_whole_unsaved
            if not some and not is_whole:
                return
            await asyncio.to_thread(self._kept.add, some.values(), is_whole)
            self._is_whole_unsaved &= not is_whole
            for key, one in some.items():
                if self._unsaved[key] is one:
                    del self._unsaved[key]

    async def _follow_file(self) -> None:
        said = ""
        while True:
            try:
                await self._save()
                async with self._file:
                    news = await asyncio.to_thread(self._kept.news)
                if news is None:
                    await self._write_again()
                else:
                    self._want(await self._learn_all(news))
                    self._is_whole |= self._kept.is_whole
                said = ""
            except OSError as error:
                if said != str(error):
                    said = str(error)
                    log.error("do_not_call.file", error=said, unsaved=len(self._unsaved))
            await asyncio.sleep(LOOK_S)

    async def _write_again(self) -> None:
        """The file has lost what it had: write what we know."""
        log.error("do_not_call.file_has_shrunk", contacts=len(self.contacts))
        await self.write([*self._all()], self._is_whole)

    def _all(self) -> Iterator[Listing]:
        for is_on, known in ((True, self.contacts), (False, self._off)):
            for contact, at in known.items():
                yield Listing(contact, is_on, "kept", "", at.isoformat())

    async def _follow_bucket(self) -> None:
        first: list[Listing] | None = []
        """What is told before everything was told once; it is kept all together."""
        async with aclosing(self._bucket.watch()) as watch:
            async for entry in watch:
                if entry is None:
                    await self._told_all(first or [])
                    first = None
                elif entry.value is None:
                    self._there.pop(entry.key, None)  # deleted, or the bucket is another one: nobody is off the list
                    if entry.key == DNC_MADE:
                        self._unmark()
                elif entry.key == DNC_MADE:
                    self._mark(str(entry.value.get("key", "")))
                    if first is None:
                        await self._told_all([])
                else:
                    one = listing_of(entry.key, entry.value)
                    self._there[entry.key] = one.at
                    if first is None:
                        await self._keep([one])
                    else:
                        first.append(one)

    async def _told_all(self, told: list[Listing]) -> None:
        """The bucket has told all that it has."""
        is_whole = self._made_with == self._kept.made_with
        await self._keep(told, is_whole and not self._kept.is_whole)
        self._is_whole |= is_whole
        if self._is_fresh is None:
            return
        if not self._is_whole and self._made_with is None and await self._was_never():
            await self._keep([], is_whole=True)  # on the disk before anybody hears that it is known
            self._is_whole = True
        if not self.is_known:
            is_others = self._made_with is not None or self._kept.is_others
            log.error("do_not_call.not_known", do=OTHER_KEY if is_others else "ringmaster dnc import --whole FILE")
        self.decided.set()
        self._want(await asyncio.to_thread(self._kept.all))

    async def _was_never(self) -> bool:
        """Whether there was never a list to lose; not to know is no."""
        assert self._is_fresh is not None
        try:
            is_others = await asyncio.to_thread(self._kept.was_others)
            return not is_others and await self._is_fresh()
        except (BusAway, OSError):
            return False

    def _mark(self, made_with: str) -> None:
        self._there[DNC_MADE], self._made_with = LONG_AGO, made_with

    def _unmark(self) -> None:
        self._there.pop(DNC_MADE, None)
        self._made_with = None

    async def _keep(self, told: Sequence[Listing], is_whole: bool = False) -> None:
        """Take what the bucket says; where we know better, tell it."""
        news = await self._learn_all(told)
        if news or is_whole:
            try:
                await self.write(news, is_whole)
            except OSError as error:
                log.error("do_not_call.file", error=str(error))
        if self._is_fresh is not None and len(news) < len(told):
            self._want(one for one in self._all_of({one.contact_id for one in told}))

    def _all_of(self, contacts: Collection[ContactId]) -> Iterator[Listing]:
        for contact in contacts:
            for is_on, known in ((True, self.contacts), (False, self._off)):
                if contact in known:
                    yield Listing(contact, is_on, "kept", "", known[contact].isoformat())

    # ---- telling, which is central's -------------------------------------------------------------------------------

    def _want(self, listings: Iterable[Listing]) -> None:
        """Have the bucket hold these, where it does not yet."""
        if self._is_fresh is None:
            return
        for one in listings:
            if self._there.get(one.key, LONG_AGO) < one.at:
                self._wanted[one.key] = one
        self._settled.clear()
        self._changed.set()

    async def _fill(self) -> None:
        """Bring the bucket up to date, for ever; mark it when it has everything."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while self._wanted:
                    some = list(self._wanted.values())[:AT_ONCE]
                    await asyncio.gather(*map(self.publish, some))
                    for one in some:
                        self._there[one.key] = one.at
                        if self._wanted.get(one.key) is one:
                            del self._wanted[one.key]
                if self.is_known and DNC_MADE not in self._there:
                    made_with = self._kept.made_with
                    await self._bucket.put(DNC_MADE, {"wall": datetime.now(UTC).isoformat(), "key": made_with})
                    self._mark(made_with)
                    log.warning("do_not_call.made", contacts=len(self.contacts))
                self._settled.set()
            except BusAway:
                await asyncio.sleep(RETRY_S)
                self._changed.set()


__all__ = ["DoNotCall"]
