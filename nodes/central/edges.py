"""Which edges there are, and how: all are asked once a second, that becomes `Places`, and one that is late gives calls
away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nodes.central.balance import RESTS_S, Balance, Relief
from nodes.central.places import Home, Places
from nodes.config import Node
from nodes.links.errors import LinkError
from nodes.links.members import Members
from nodes.links.roster import Roster
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.cluster import has_all_edges
from protocols.wire.desk import MoveShare
from protocols.wire.ids import Identity, NodeId, node_of
from protocols.wire.messages import GetStatus

LOOK_S: Final = 1.0
ASK_S: Final = 1.0

log = logs.get(__name__)


def there_are(
    ours: Node, roster: Roster, members: Members
) -> tuple[dict[Identity, Home], frozenset[NodeId], frozenset[NodeId]]:
    """Return the edges that can be asked, and where they are; the nodes of which not all can be; those that are dead.

    A node of which an edge is between two lives may have a call of which no other edge of it knows.
    """
    zones = {one.word.node: one.word.zone for one in members.nodes}
    edges = [(peer.identity, node_of(peer.identity)) for peer in members.of_role("edge")]
    homes = {edge: Home(node, zones.get(node, ours.zone)) for edge, node in edges}
    gone = {one.word.node for one in members.nodes if members.is_gone(one)}
    having = {one.word.node for one in members.nodes if "edge" in one.word.roles} - gone
    having |= {ours.id} if "edge" in ours.roles else set()
    whole = {one.word.node for one in members.nodes if has_all_edges(one.word)}
    whole |= {ours.id} if roster.has_all("edge") else set()
    return homes, frozenset(having - whole.intersection(home.node for home in homes.values())), frozenset(gone)


class Edges:
    """Asks for one term."""

    def __init__(self, mesh: Mesh, places: Places, looked: Callable[[float], object]) -> None:
        """`looked(now)`: all have been asked; monotonic seconds."""
        self._mesh, self._places, self._looked = mesh, places, looked
        self._balance, self._now = Balance(), asyncio.get_running_loop().time
        self.n_moved = 0
        """Calls that were asked to move."""

    async def watch(self) -> None:
        """Ask, until cancelled."""
        while True:
            await asyncio.gather(*map(self._ask, self._places.all))
            self._looked(self._now())
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


__all__ = ["Edges", "there_are"]
