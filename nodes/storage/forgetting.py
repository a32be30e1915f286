"""What the store and this disk have of people who are to be forgotten: removed, and looked for where that is asked.

Central says who (this process has no NATS): minute by minute, and at once when somebody asks what was removed. A call's
name says whose it is, so objects are found by their names, by one node of the cluster for all. Copies of the archive
follow the recorder's files, which are written anew: as long as one does not, nothing is said to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nodes.links.anywhere import ask_first
from nodes.links.finding import compiled, first
from nodes.links.forgotten import Done, Forgotten
from nodes.links.members import Members
from nodes.mesh.mesh import Mesh
from nodes.storage.copies import Copies
from nodes.storage.retention import here, looks_after_store, there
from nodes.storage.stock import Stock
from protocols.wire.campaigns import ContactId
from protocols.wire.forgetting import GetForgotten, GetRemoved, Person, Place, Removed, Sought
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.recordings import MOST_ERASED, EraseRecordings, RecordingsErased

LOOK_S: Final = 60.0
ASK_S: Final = 10.0
PLACE: Final = "recordings, and the store"


class Forgetting:
    """One node's. `erase`: what answers `EraseRecordings` here. `copies`: of the archive, None: there are none."""

    def __init__(
        self, stock: Stock, mesh: Mesh, members: Members, node: NodeId, copies: Copies | None,
        erase: Callable[[EraseRecordings], Awaitable[RecordingsErased]],
    ) -> None:  # fmt: skip
        self._stock, self._mesh, self._members, self._node = stock, mesh, members, node
        self._copies, self._erase = copies, erase
        self.forgotten = Forgotten(self._forget, self._look, LOOK_S)
        mesh.serve(GetRemoved, self.removed)

    def removed(self, asked: GetRemoved, sender: Identity) -> Removed:
        """Say what was removed here of somebody; if it was not yet, look now."""
        told = self.forgotten.removed(asked)
        is_done = told.is_done and not self._behind()
        if not is_done:
            self.forgotten.soon()
        return Removed(is_done, told.places)

    async def _look(self) -> Sequence[Person]:
        people = await self._people()
        if self._copies is not None:
            await asyncio.to_thread(self._copies.look)
        return people

    async def _forget(self, people: Sequence[Person]) -> Done:
        n_looked, calls = await asyncio.to_thread(self._calls, people)
        return [(one, Place(PLACE, n_looked, await self._remove(calls[one.contact_id]))) for one in people]

    async def find(self, patterns: Sequence[str]) -> Sequence[Sought]:
        """Look for patterns in the names of all objects; copies are what the files that were looked through are."""
        pattern, store = compiled(patterns), self._stock.store
        if store is None or not looks_after_store(self._members, self._node):
            return ()
        keys = await asyncio.to_thread(lambda: [one.key for p in self._stock.places for one in store.objects(p.prefix)])
        found = [key for key in dict.fromkeys(keys) if pattern.search(key.encode())]
        behind = await asyncio.to_thread(self._behind)
        note = f"not copied yet: {', '.join(first(behind))}" if behind else ""
        return (
            Sought("names in the store", len(keys), "objects", tuple(first(found))),
            Sought("copies of the archive in the store", len(behind), "files that have changed", (), note),
        )

    async def _people(self) -> list[Person]:
        people, after, is_last = list[Person](), "", False
        while not is_last:
            central = self._members.of_role("central")
            _, page = await ask_first(self._mesh, "central", central, GetForgotten(after), ASK_S)
            people += page.people
            is_last, after = page.is_last or not page.people, people[-1].contact_id if people else ""
        return people

    def _calls(self, people: Sequence[Person]) -> tuple[int, dict[ContactId, list[CallId]]]:
        """Return how many recordings there are, and which calls' are whose."""
        every = [*here(self._stock), *there(self._stock, self._members, self._node)]
        calls = {
            one.contact_id: sorted(
                {call for call, ended_s in every if one.has(call, call) and ended_s <= one.at.timestamp()}
            )
            for one in people
        }
        return len(every), calls

    async def _remove(self, calls: Sequence[CallId]) -> int:
        n_removed = 0
        for at in range(0, len(calls), MOST_ERASED):
            done = await self._erase(EraseRecordings(tuple(calls[at : at + MOST_ERASED])))
            if done.left or done.unseen:
                raise OSError(f"{len(done.left)} are left, and {', '.join(done.unseen) or 'all'} was looked at")
            n_removed += len(done.deleted)
        return n_removed

    def _behind(self) -> list[str]:
        return self._copies.behind if self._copies is not None else []


__all__ = ["Forgetting"]
