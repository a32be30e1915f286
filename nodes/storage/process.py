"""The process that keeps recordings: answers for this node's disk and for the store, and has them be where they belong.

It carries no call and no audio, is the last to get a processor, and needs neither NATS nor, but for retention, anybody
else. It is started where `[storage]` or `[owners]` ask for something, on nodes that have recordings or a database.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from nodes.config import Config
from nodes.links import trees
from nodes.links.errors import Refused
from nodes.links.finding import Finder
from nodes.links.members import Members
from nodes.links.roster import Roster
from nodes.links.tasks import closing
from nodes.links.work import Begin, working
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.storage.claims import Claims
from nodes.storage.copies import Copies
from nodes.storage.forgetting import Forgetting
from nodes.storage.keeper import Keeper
from nodes.storage.names import places
from nodes.storage.quotas import Quotas
from nodes.storage.retention import Retention
from nodes.storage.sealing import NotSealed, Ring
from nodes.storage.stock import Stock
from nodes.storage.store import Store, StoreError
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus, Status
from protocols.wire.pieces import GetPiece, Piece, Shelf
from protocols.wire.recordings import (
    MOST_ERASED,
    EraseRecordings,
    FindRecording,
    FindStored,
    RecordingFound,
    RecordingsErased,
    RecordingStored,
    StoredPart,
)
from supervisors.parent import Parent, Told

T = TypeVar("T")

READERS: Final = 4
"""Pieces that are read at a time, by people who listen."""


class Served:
    """What others may ask: a handler for each message."""

    def __init__(
        self, mesh: Mesh, stock: Stock, claims: Claims, figures: Callable[[], dict[str, float]],
        is_copied: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """`is_copied`: whether all that has changed in the archive is in the store, too."""
        self._stock, self._claims, self._figures, self._is_copied = stock, claims, figures, is_copied
        self._readers = ThreadPoolExecutor(READERS, "reading")
        mesh.serve(FindRecording, self.find)
        mesh.serve(FindStored, self.find_stored)
        mesh.serve(GetPiece, self.piece)
        mesh.serve(EraseRecordings, self.erase)
        mesh.serve(GetStatus, self.status)

    async def find(self, asked: FindRecording, sender: Identity) -> RecordingFound:
        """Say which parts are on this disk."""
        return RecordingFound(await self._in(partial(self._stock.here, asked.call_id)))

    async def find_stored(self, asked: FindStored, sender: Identity) -> RecordingStored:
        """Say which parts are in the store. Refuses: `store_away`."""
        try:
            found = await self._in(partial(self._stock.there, asked.call_id))
        except StoreError as error:
            raise Refused("store_away") from error
        return RecordingStored(tuple(StoredPart(part, node, n_bytes) for part, (node, n_bytes) in found.items()))

    async def piece(self, asked: GetPiece, sender: Identity) -> Piece:
        """Read on in a part, wherever it is. Refuses: `no_such_file`, `store_away`, `unreadable`: why is in our log."""
        if asked.shelf is not Shelf.RECORDINGS:
            raise Refused("no_such_file")
        try:
            return await self._in(partial(self._stock.piece, asked.name, asked.offset))
        except NotSealed as error:
            self._stock.unreadable(error)
            raise Refused("unreadable") from error
        except StoreError as error:
            raise Refused("store_away") from error
        except OSError as error:
            raise Refused("no_such_file") from error

    async def erase(self, asked: EraseRecordings, sender: Identity) -> RecordingsErased:
        """Have nothing left, and no copy under way. Refuses: `too_many`."""
        if len(asked.call_ids) > MOST_ERASED:
            raise Refused("too_many")
        if asked.only_look:
            done = await asyncio.to_thread(self._stock.erase, asked.call_ids, True)
            is_copied = await asyncio.to_thread(self._is_copied)
            return done if is_copied else replace(done, unseen=(*done.unseen, "archive"))
        return await self.erase_now(asked)

    async def erase_now(self, asked: EraseRecordings) -> RecordingsErased:
        """Have nothing left of these calls."""
        with self._claims.erasing(asked.call_ids):
            await self._claims.alone(asked.call_ids)
            return await asyncio.to_thread(self._stock.erase, asked.call_ids, False)

    def status(self, _: GetStatus, sender: Identity) -> Status:
        """How it goes."""
        return Status("storage", os.getpid(), self._figures())

    def close(self) -> None:
        """Read nothing any more."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _in(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)


class Keeping:
    """All that this process does. Raises: NodeError, OSError: a key or a secret cannot be used."""

    def __init__(self, config: Config, mesh: Mesh) -> None:
        keys = {"": config.storage.keys, **{name: one.keys for name, one in config.owners.items()}}
        store = Store(config.storage) if config.storage.bucket else None
        stock, claims, node = Stock(places(config), Ring.read(keys), store), Claims(), config.node.id
        self.members = Members(mesh, config)
        self.keeper = Keeper(stock, claims, node)
        self.quotas = Quotas(stock, mesh.tell)
        self.copies = _copies(config, stock)
        self.served = Served(mesh, stock, claims, self.figures, self._is_copied)
        self.forgetting = Forgetting(stock, mesh, self.members, node, self.copies, self.served.erase_now)
        Finder(config, self.forgetting.find).serve(mesh)
        self.retention = Retention(
            stock, mesh, self.members, node, config.storage.retention_days, self.served.erase_now
        )  # fmt: skip

    def works(self) -> dict[str, Begin]:
        """What is to go on all the time."""
        works: dict[str, Begin] = {
            "sealing": self.keeper.seal_all, "looking": self.keeper.look_all, "retention": self.retention.run,
            "quotas": self.quotas.run, "forgetting": self.forgetting.forgotten.run,
        }  # fmt: skip
        if self.keeper.has_store:
            works["sending"] = self.keeper.send_all
        if self.copies:
            works["copies"] = self.copies.run
        return works

    def figures(self) -> dict[str, float]:
        """How it goes."""
        copies = self.copies.counts if self.copies else Counter[str]()
        counts = {word: float(count) for word, count in (*self.retention.counts.items(), *copies.items())}
        return self.keeper.figures() | self.quotas.figures() | counts

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word."""
        self.members.follow(roster)
        self.quotas.roster = roster

    def _is_copied(self) -> bool:
        return self.copies is None or not self.copies.behind

    def close(self) -> None:
        """Give up what is under way."""
        self.keeper.close()
        self.served.close()


def _copies(config: Config, stock: Stock) -> Copies | None:
    """Return what copies this node's archive; None: there is none, or no store."""
    if stock.store is None or "recorder" not in config.node.roles:
        return None
    database = config.recorder.database
    assert database is not None  # the configuration has put a path in the place of None
    archive = config.recorder.archive or database.parent / "archive"
    kept = config.paths.state / "storage"
    return Copies(archive, kept, stock.store, stock.ring, config.node.id, config.storage.prefix)


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Keep recordings until the launcher says stop. Raises: NodeError, OSError: a key or a secret cannot be used."""
    async with closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh:
        keeping = Keeping(config, mesh)
        try:
            async with working(keeping.works()) as system:
                trees.serve(mesh, system.census)
                await parent.ready(mesh.whereabouts())
                async for order in parent.orders:
                    if isinstance(order, Told) and "roster" in order.body:
                        roster = Roster.of(order.body["roster"])
                        mesh.roster(roster)
                        keeping.follow(roster)
        finally:
            keeping.close()


__all__ = ["Keeping", "Served", "run"]
