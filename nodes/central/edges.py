"""Asks all edges how they are, once a second: what they say becomes `Places`, and one that is late gives calls away."""

from __future__ import annotations

import asyncio
from typing import Final

from nodes.central.balance import RESTS_S, Balance, Relief
from nodes.central.places import Places
from nodes.links.errors import LinkError
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.desk import MoveShare
from protocols.wire.ids import Identity, node_of
from protocols.wire.messages import GetStatus

LOOK_S: Final = 1.0
ASK_S: Final = 1.0

log = logs.get(__name__)


class Edges:
    """Asks for one term."""

    def __init__(self, mesh: Mesh, places: Places) -> None:
        self._mesh, self._places = mesh, places
        self._balance, self._now = Balance(), asyncio.get_running_loop().time
        self.n_moved = 0
        """Calls that were asked to move."""

    async def watch(self) -> None:
        """Ask, until cancelled."""
        while True:
            await asyncio.gather(*map(self._ask, self._places.all))
            if relief := self._balance.step(self._places.said_last, self._now()):
                await self._relieve(relief)
            await asyncio.sleep(LOOK_S)

    async def _ask(self, edge: Identity) -> None:
        try:
            self._places.said(edge, (await self._mesh.ask(edge, GetStatus(), timeout_s=ASK_S)).figures)
        except LinkError:
            self._places.said(edge, None)

    async def _relieve(self, relief: Relief) -> None:
        nodes = tuple(sorted(node_of(edge) for edge in relief.to))
        try:
            moves = await self._mesh.ask(relief.edge, MoveShare(relief.share, RESTS_S, nodes), timeout_s=ASK_S)
        except LinkError as error:
            log.warning("balance.refused", edge=relief.edge, reason=str(error))
        else:
            self.n_moved += moves.n
            log.warning("balance.asked", edge=relief.edge, calls=moves.n, of=moves.of, to=nodes)


__all__ = ["Edges"]
