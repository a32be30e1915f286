"""Draining a node from any machine of its cluster: which processes are told, who takes its calls, how many are left.

A node is named by its id; without one it is the machine's own. Everything is said to the node's edges themselves, and
nothing is kept here: whoever asks next finds how far it is.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nodes import lock
from nodes.commands.client import Client, NotUp, connected
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.anywhere import ask_each
from nodes.links.errors import LinkError, NotAll, PeerGone
from nodes.links.members import peer_of
from nodes.links.roster import Peer, State
from protocols.agent import Seat
from protocols.wire.cluster import ClusterSeen, NodeState, NodeWord
from protocols.wire.desk import Drain, MoveShare
from protocols.wire.ids import NodeId
from protocols.wire.messages import GetStatus

LOOK_S: Final = 0.5
ASK_S: Final = 2.0


class NoSuchNode(NodeError):
    """The node that is named is not of this cluster, or cannot be asked."""


class NotMoved(NodeError):
    """The node moves no calls; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node, as its cluster sees it now. `word`: None on a node that is alone."""

    node: NodeId
    state: NodeState
    word: NodeWord | None
    roles: tuple[str, ...]
    edges: tuple[Peer, ...]
    """The spares too: who takes over goes on draining."""
    desk: Peer | None = None
    n_edges: int = 1
    """So many are active when all are there."""

    @property
    def active(self) -> tuple[Peer, ...]:
        """Those that have calls: a node may have several."""
        return tuple(peer for peer in self.edges if peer.state is State.ACTIVE)

    @property
    def has_all_edges(self) -> bool:
        """Whether none of them is between two lives, with calls of which no other one knows."""
        return len(self.active) >= max(1, self.n_edges)


async def find(client: Client, name: str = "") -> tuple[Place, ClusterSeen | None]:
    """Return a node, and the cluster that it is of; None: it is alone. Raises: NoSuchNode, NotUp."""
    ours = client.config.node.id
    node = NodeId(name or ours)
    roster = client.roster()
    here, desk, n_here = (
        tuple(peer for peer in roster.processes if peer.role == "edge"),
        next(iter(roster.active("desk")), None),
        roster.n_wanted("edge"),
    )
    if not client.config.cluster.is_joined:
        if node != ours:
            raise NoSuchNode(f"there is no node {node} here: {ours} is alone")
        return Place(node, NodeState.ALIVE, None, client.config.node.roles, here, desk, n_here), None
    seen = await client.cluster()
    if node == ours:
        return Place(node, NodeState.ALIVE, seen.us, seen.us.roles, here, desk, n_here), seen
    member = next((one.member for one in seen.nodes if one.member.word.node == node), None)
    if member is None:
        names = ", ".join(sorted([ours, *(one.member.word.node for one in seen.nodes)]))
        raise NoSuchNode(f"there is no node {node} in the cluster: {names}")
    theirs = [peer_of(one) for one in member.word.processes if one.role in ("edge", "desk") and one.address]
    client.mesh.members(theirs)
    edges, desk = (
        tuple(one for one in theirs if one.role == "edge"),
        next((one for one in theirs if one.role == "desk"), None),
    )
    return Place(node, member.state, member.word, member.word.roles, edges, desk, member.word.n_edges), seen


def takers(seen: ClusterSeen | None, node: NodeId) -> list[NodeId]:
    """Return the other nodes that take a node's calls now."""
    if seen is None:
        return []
    words = [one.member.word for one in seen.nodes if one.member.state is NodeState.ALIVE]
    words += [] if seen.bar else [seen.us]
    return sorted(word.node for word in words if word.node != node and not why_not(word))


def may_take(seen: ClusterSeen | None, node: NodeId) -> bool:
    """Return whether another node takes a node's calls, or may do so soon.

    One that is full has room when a call ends, and one that is silent, or lacks its edge for a second, may be there
    again.
    """
    if seen is None:
        return False
    words = [one.member.word for one in seen.nodes if one.member.state is not NodeState.DEAD]
    words += [] if seen.bar else [seen.us]
    return any(word.node != node and "edge" in word.roles and not word.is_draining for word in words)


def why_not(word: NodeWord) -> str:
    """Return why a node that lives takes no calls of others; empty: it takes some."""
    if not any(one.role == "edge" and one.is_active for one in word.processes):
        return "has no edge"
    if word.is_draining:
        return "drains"
    return "is full" if word.load >= 1.0 else ""


def nobody(seen: ClusterSeen | None, node: NodeId) -> str:
    """Return why no other node takes a node's calls, node by node."""
    if seen is None:
        return f"{node} is alone"
    others = [(one.member.word, one.member.state) for one in seen.nodes]
    others.append((seen.us, NodeState.ALIVE))
    told = [
        f"{word.node} {why_not(word) if state is NodeState.ALIVE else f'is {_how(state)}'}"
        for word, state in sorted(others, key=lambda one: one[0].node)
        if word.node != node
    ]
    return ", ".join(told) or "there is no other node"


async def drain(client: Client, place: Place, order: Drain) -> None:
    """Have a node take no new calls, or take them again. Raises: NotAll, NoSuchNode."""
    if place.state is not NodeState.ALIVE:
        raise NoSuchNode(f"{place.node} cannot be asked: it is {_how(place.state)}")
    await asyncio.gather(*(_told(client, peer, order) for peer in place.edges if peer.state is State.SPARE))
    await ask_each(client.mesh, place.active, order, ASK_S)


async def _told(client: Client, spare: Peer, order: Drain) -> None:
    with suppress(LinkError):  # it learns it from its edge
        await client.mesh.ask(spare.identity, order, ASK_S)


async def share(client: Client, place: Place, part: float) -> tuple[int, int, int]:
    """Have a share of a node's calls moved; return how many go, of how many, and how many had before.

    Raises: NotMoved, LinkError.
    """
    if place.state is not NodeState.ALIVE or not place.has_all_edges:
        lacks = "" if place.has_all_edges else ", and lacks an edge"
        raise NoSuchNode(f"{place.node} cannot be asked: it is {_how(place.state)}{lacks}")
    before = (await figures(client, place)).get("moved", 0.0)
    try:
        told = await ask_each(client.mesh, place.active, MoveShare(part), ASK_S)
    except NotAll as error:
        words = {"draining": "it is being drained", "nobody": "no other node takes them"}
        reasons = [words.get(reason, reason) for reason in error.reasons]
        if len(place.active) > 1:
            reasons = [f"{edge} ({reason})" for edge, reason in zip(error.failed, reasons, strict=True)]
        raise NotMoved(f"{place.node} moves no calls: {', '.join(reasons)}") from error
    return sum(one.n for one in told), sum(one.of for one in told), int(before)


async def figures(client: Client, place: Place) -> dict[str, float]:
    """Return what a node's active edges say of themselves, added. Raises: LinkError; PeerGone where one is missing."""
    if not place.has_all_edges:
        raise PeerGone("edge")
    total: Counter[str] = Counter()
    for status in await ask_each(client.mesh, place.active, GetStatus(), ASK_S):
        total.update(status.figures)
    return dict(total)


async def talking(client: Client, place: Place) -> int:
    """Return how many agents of a node's desk have a caller; none where it does not answer."""
    if place.desk is None:
        return 0
    try:
        said = (await client.mesh.ask(place.desk.identity, GetStatus(), ASK_S)).figures
    except LinkError:
        return 0
    return int(said.get(f"agents_{Seat.RESERVED}", 0.0) + said.get(f"agents_{Seat.TALKING}", 0.0))


async def until_empty(
    config: Config,
    name: str,
    within_s: float,
    say: Callable[[str], object],
    *,
    waits_for_agents: bool = False,
    wants_takers: bool = False,
) -> int:
    """Return how many calls a node still has: 0 as soon as there is none, or it is gone; more when time is up.

    `waits_for_agents`: those at its desk who have a caller, of whichever node, count as well. `wants_takers`: time is
    up as soon as no other node may take its calls. Raises: NoSuchNode.
    """
    told, left, give_up_s = "", -1, time.monotonic() + within_s
    while True:
        try:
            async with connected(config) as client:
                place, seen = await find(client, name)
                if place.state is NodeState.DEAD:
                    return 0
                n_calls = int((await figures(client, place))["calls"]) if "edge" in place.roles else 0
                n_agents = await talking(client, place) if waits_for_agents else 0
                if not (left := n_calls + n_agents):
                    return 0
                stuck = "" if takers(seen, place.node) else f"; nobody takes them: {nobody(seen, place.node)}"
                line = f"{place.node}: calls left: {n_calls}{stuck if n_calls else ''}"
                line += f", agents who talk at its desk: {n_agents}" if n_agents else ""
                if wants_takers and not may_take(seen, place.node):
                    give_up_s = 0.0
        except (LinkError, NotUp):  # an edge between two lives, or our own node has ended
            if name in ("", config.node.id) and lock.holder(config.paths.state) is None:
                return 0
            line = told
        if line != told:
            say(line)
            told = line
        if time.monotonic() > give_up_s:
            return max(1, left)
        await asyncio.sleep(LOOK_S)


async def until_moved(config: Config, name: str, n: int, before: int, within_s: float) -> int:
    """Return how many of a share have gone, once the others stay. Raises: NoSuchNode."""
    gone, give_up_s = 0, time.monotonic() + within_s
    while time.monotonic() < give_up_s:
        try:
            async with connected(config) as client:
                found = await figures(client, (await find(client, name))[0])
                gone = int(found["moved"]) - before
                if not found["moving"] or gone >= n:
                    return gone
        except (LinkError, NotUp):
            pass
        await asyncio.sleep(LOOK_S)
    return gone


def _how(state: NodeState) -> str:
    return {NodeState.ALIVE: "alive", NodeState.SILENT: "silent", NodeState.DEAD: "gone"}[state]


__all__ = [
    "NoSuchNode", "NotMoved", "Place", "drain", "figures", "find", "may_take", "nobody", "share", "takers",
    "until_empty", "until_moved", "why_not",
]  # fmt: skip
