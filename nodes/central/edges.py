"""Which edges take calls, and how many more: the active ones, without those that take none just now.

An edge knows how many calls it carries, and says so when it is asked how it is: once a second. Between two answers each
order takes one of the places. One that refuses because it drains or is full is not ordered from again until it says
that it takes calls: a node that is full or drained holds its campaigns and does not burn their contacts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Final

from nodes.links.errors import LinkError
from nodes.links.mesh import Mesh
from nodes.links.roster import NOBODY, Roster
from protocols.wire.ids import Identity
from protocols.wire.load import NOT_NOW, GivesUp
from protocols.wire.messages import GetStatus

LOOK_S: Final = 1.0


class Edges:
    """The edges, one after the other. `roster`: the launcher's last word, kept up to date by the owner."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._figures: dict[Identity, Mapping[str, float]] = {}
        self._room: dict[Identity, float] = {}
        self._n_asked = 0
        self.roster: Roster = NOBODY

    def __len__(self) -> int:
        """How many are not closed: there may be room, or will be when calls have ended."""
        return sum(not self._is_closed(peer.identity) for peer in self.roster.active("edge"))

    @property
    def room(self) -> float:
        """How many more calls they take; infinite when one has not said yet."""
        return sum(self._room.get(edge, math.inf) for edge in self._taking())

    @property
    def gives_up(self) -> GivesUp:
        """What all of them have given up."""
        told = [self._figures.get(peer.identity, {}).get("gives_up", 0) for peer in self.roster.active("edge")]
        return GivesUp(int(min(told, default=0)))

    def next(self) -> Identity | None:
        """Return whose turn it is, and take one of its places."""
        if not (taking := self._taking()):
            return None
        self._n_asked += 1
        edge = taking[self._n_asked % len(taking)]
        if edge in self._room:
            self._room[edge] -= 1
        return edge

    def refused(self, edge: Identity, reason: str) -> None:
        """An edge has refused an order."""
        if reason in NOT_NOW:
            self._room[edge] = 0
        if reason in NOT_NOW - {"node_full"}:
            self._figures[edge] = {"draining": 1.0}

    async def watch(self) -> None:
        """Ask all of them how they are, until cancelled."""
        while True:
            active = [peer.identity for peer in self.roster.active("edge")]
            await asyncio.gather(*map(self._ask, active))
            for gone in self._figures.keys() - set(active):
                del self._figures[gone]
                self._room.pop(gone, None)
            await asyncio.sleep(LOOK_S)

    def _taking(self) -> list[Identity]:
        active = [peer.identity for peer in self.roster.active("edge")]
        return [edge for edge in active if not self._is_closed(edge) and self._room.get(edge, 1) > 0]

    def _is_closed(self, edge: Identity) -> bool:
        return bool(self._figures.get(edge, {}).get("draining"))

    async def _ask(self, edge: Identity) -> None:
        """What does not answer keeps what it has said; whether it lives is the launcher's word."""
        try:
            figures = (await self._mesh.ask(edge, GetStatus())).figures
        except LinkError:
            return
        self._figures[edge] = figures
        self._room[edge] = figures.get("room", math.inf)


__all__ = ["Edges"]
