"""What operators ask of the do-not-call list. Every central answers: the list is no campaign's and needs no lease."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from pathlib import Path
from typing import Final

from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.kept_list import KeptList
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.campaigns import ContactId, is_contact_id
from protocols.wire.do_not_call import (
    MOST,
    MOST_WORDS,
    ChangeDoNotCall,
    CheckDoNotCall,
    DoNotCallChanged,
    DoNotCallPage,
    ListDoNotCall,
    Listing,
)
from protocols.wire.ids import Identity

EVERYWHERE_S: Final = 2.0
"""How long a change waits for NATS before it says that only this node has it yet."""
KEEP_S: Final = 30.0
"""How long a list that is read page by page stays in memory."""

log = logs.get(__name__)


class Listings:
    """The handlers. `file`: where this machine keeps the list, with who has said what, and why."""

    def __init__(self, do_not_call: DoNotCall, file: Path) -> None:
        self._do_not_call, self._file = do_not_call, file
        self._sorted: list[Listing] = []
        self._sorted_s = float("-inf")

    def serve(self, mesh: Mesh) -> None:
        """Answer from now on."""
        mesh.serve(ChangeDoNotCall, self.change)
        mesh.serve(CheckDoNotCall, self.check)
        mesh.serve(ListDoNotCall, self.page)

    async def change(self, asked: ChangeDoNotCall, sender: Identity) -> DoNotCallChanged:
        """Let the entries hold, and write them down, before the answer."""
        if len(asked.listings) > MOST:
            raise Refused("too_many")
        if any(max(len(one.by), len(one.why)) > MOST_WORDS for one in asked.listings):
            raise Refused("too_long")
        if not all(is_contact_id(one.contact_id) for one in asked.listings):
            raise Refused("bad_contact")
        entry = self._do_not_call.entry
        said = [one if one.wall else entry(one.contact_id, one.by, one.why, one.is_on) for one in asked.listings]
        try:
            n_new = await self._do_not_call.take(said, asked.is_whole)
        except OSError as error:
            log.error("do_not_call.file", error=str(error))
            raise Refused("disk") from error
        self._sorted_s = float("-inf")
        log.info("do_not_call.changed", entries=len(asked.listings), new=n_new)
        return DoNotCallChanged(n_new, await self._do_not_call.is_everywhere(EVERYWHERE_S))

    async def check(self, asked: CheckDoNotCall, sender: Identity) -> DoNotCallPage:
        """Look contacts up: what holds is what this process knows; who and why, the file."""
        if len(asked.contacts) > MOST:
            raise Refused("too_many")
        known = [contact for contact in asked.contacts if self._do_not_call.holds(contact) is not None]
        newest = await asyncio.to_thread(_newest, self._file) if known else {}
        found = tuple(newest.get(contact) or self._bare(contact) for contact in known)
        return DoNotCallPage(found, True, self._do_not_call.is_known)

    async def page(self, asked: ListDoNotCall, sender: Identity) -> DoNotCallPage:
        """Tell the list, a page at a time."""
        if not asked.after or time.monotonic() - self._sorted_s > KEEP_S:
            newest = await asyncio.to_thread(_newest, self._file)
            self._sorted = sorted(newest.values(), key=lambda one: one.contact_id)
        self._sorted_s = time.monotonic()
        begin = bisect_right(self._sorted, asked.after, key=lambda one: one.contact_id)
        end = begin + min(MOST, max(1, asked.most))
        is_last = end >= len(self._sorted)
        page = DoNotCallPage(tuple(self._sorted[begin:end]), is_last, self._do_not_call.is_known)
        if is_last:
            self._sorted, self._sorted_s = [], float("-inf")
        return page

    def _bare(self, contact: ContactId) -> Listing:
        """Return what is known of a contact whose entry the file does not have, for the disk is full."""
        return Listing(contact, bool(self._do_not_call.holds(contact)), "", "", "")


def _newest(file: Path) -> dict[ContactId, Listing]:
    """Return of each contact what holds. Raises: nothing; a file that cannot be read says nothing."""
    newest: dict[ContactId, Listing] = {}
    try:
        told = KeptList(file, "").news() or []
    except OSError:
        return newest
    for one in told:
        before = newest.get(one.contact_id)
        if before is None or one.holds_over(before):
            newest[one.contact_id] = one
    return newest


__all__ = ["Listings"]
