"""Asks all edges how they are, once a second: what they say becomes `Places`."""

from __future__ import annotations

import asyncio
from typing import Final

from nodes.central.places import Places
from nodes.links.errors import LinkError
from nodes.links.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus

LOOK_S: Final = 1.0


class Edges:
    """Asks for one term."""

    def __init__(self, mesh: Mesh, places: Places) -> None:
        self._mesh, self._places = mesh, places

    async def watch(self) -> None:
        """Ask, until cancelled."""
        while True:
            await asyncio.gather(*map(self._ask, self._places.all))
            await asyncio.sleep(LOOK_S)

    async def _ask(self, edge: Identity) -> None:
        try:
            self._places.said(edge, (await self._mesh.ask(edge, GetStatus(), timeout_s=LOOK_S)).figures)
        except LinkError:
            self._places.said(edge, None)


__all__ = ["Edges"]
