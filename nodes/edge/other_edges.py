"""The edges of the other nodes, and which of a node's keeps a call: a node may have several that are active.

Everybody works out the same from the node's word. A successor bears the name of the edge that it follows, so calls stay
where they are when an edge dies; one that is gone without a successor leaves its calls to the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from nodes.call.record import CallRecord
from nodes.links.anywhere import rank
from nodes.mesh.mesh import Mesh
from protocols.wire.cluster import Member, NodeState, NodeWord
from protocols.wire.ids import CallId, Identity, NodeId, process_of
from protocols.wire.takeover import Had, WhoHas

OtherEdges: TypeAlias = Mapping[NodeId, tuple[Identity, ...]]
KNOWN: Final = 4096
"""Calls of which is remembered which edge keeps them: it is asked for all of them, several times a second."""


def active_edges(word: NodeWord) -> tuple[Identity, ...]:
    """Return a node's active edges; none, when it has none just now."""
    return tuple(one.identity for one in word.processes if one.role == "edge" and one.is_active)


def edges_now(members: Iterable[Member]) -> dict[NodeId, tuple[Identity, ...]]:
    """Return the edges of all nodes that can be told something."""
    words = [one.word for one in members if one.state is not NodeState.DEAD]
    return {word.node: edges for word in words if (edges := active_edges(word))}


def edge_for(call_id: CallId, edges: Sequence[Identity]) -> Identity | None:
    """Return which of a node's edges keeps a call (rendezvous hashing, by their names); None: it has none."""
    if len(edges) < 2:
        return edges[0] if edges else None
    return _best(call_id, tuple(edges))


@lru_cache(KNOWN)
def _best(call_id: CallId, edges: tuple[Identity, ...]) -> Identity:
    return max(edges, key=lambda edge: rank(call_id, process_of(edge)))


def heir_of(record: CallRecord, edges: OtherEdges) -> Identity | None:
    """Return the edge that keeps a call on the node that its record names as its heir; None: nobody does."""
    return edge_for(record.order.call_id, edges.get(record.heir, ())) if record.heir else None


async def who_has(mesh: Mesh, edges: Sequence[Identity], asked: WhoHas, timeout_s: float) -> Had:
    """Return what all edges of a node say together. Raises: LinkError, when one does not: it may have one of these.

    So the caller sees that no edge is missing among them, either (`has_all_edges`).
    """
    told = await asyncio.gather(*(mesh.ask(edge, asked, timeout_s) for edge in edges))
    closed = {call_id for one in told for call_id in one.closed}
    taken = {call_id for one in told for call_id in one.taken}
    kept = {call_id for one in told for call_id in one.kept}
    return Had(tuple(taken - closed), tuple(closed), tuple(kept - taken - closed))


__all__ = ["OtherEdges", "active_edges", "edge_for", "edges_now", "heir_of", "who_has"]
