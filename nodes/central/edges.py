"""Which edges take calls: the active ones, without those that have said that they take none just now.

An edge that drains, or is full, refuses an order, and that costs the attempt. So it is not ordered from again until it
says, when asked how it is, that it takes calls: a drained node holds its campaigns and does not burn their contacts.
"""

from __future__ import annotations

import asyncio
from typing import Final

from nodes.links.errors import LinkError
from nodes.links.mesh import Mesh
from nodes.links.roster import NOBODY, Roster
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus

CLOSED: Final = frozenset(("draining", "node_full", "not_active"))
"""Refusals that say nothing about the order."""
LOOK_S: Final = 1.0


class Edges:
    """The edges, one after the other. `roster`: the launcher's last word, kept up to date by the owner."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._closed: set[Identity] = set()
        self._n_asked = 0
        self.roster: Roster = NOBODY

    def __len__(self) -> int:
        """How many take calls."""
        return len(self._taking())

    @property
    def n_active(self) -> int:
        """How many there are, whether they take calls or not."""
        return len(self.roster.active("edge"))

    def next(self) -> Identity | None:
        """Return whose turn it is."""
        taking = self._taking()
        self._n_asked += 1
        return taking[self._n_asked % len(taking)] if taking else None

    def refused(self, edge: Identity, reason: str) -> None:
        """An edge has refused an order."""
        if reason in CLOSED:
            self._closed.add(edge)

    async def watch(self) -> None:
        """Ask those who take no calls whether they do again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for edge in list(self._closed):
                if self.roster.by_identity(edge) is None or await self._takes_calls(edge):
                    self._closed.discard(edge)

    def _taking(self) -> list[Identity]:
        active = self.roster.active("edge")
        return [peer.identity for peer in active if peer.identity not in self._closed]

    async def _takes_calls(self, edge: Identity) -> bool:
        try:
            return not (await self._mesh.ask(edge, GetStatus())).figures.get("draining")
        except LinkError:
            return False


__all__ = ["Edges"]
