"""What a process knows of the cluster: which processes other nodes have, and how each node is.

Its node's spokesman tells it (`ClusterTold`), and it tells the mesh. What it does not: judge anybody
(`protocols.membership`), or speak to them. On a node that is alone nobody tells it anything, and then everything that
is found by role is this node's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from nodes.config import Config
from nodes.links.door import is_address
from nodes.links.roster import NOBODY, Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.heir import CLOSES_S
from protocols.wire.cluster import ClusterTold, Member, NodeProcess, NodeState, NodeWord, has_all_edges
from protocols.wire.ids import Identity, NodeId, node_of

NOT_TOLD: Final = ClusterTold(0, ())
ASKING: Final = "the other nodes are being asked"
"""The bar of a node that does not know yet whether there is another one."""


class Members:
    """One process's. `told`: the spokesman's last word; `NOT_TOLD` before there was one."""

    def __init__(self, mesh: Mesh, config: Config) -> None:
        self._mesh, self._node, self._zone = mesh, config.node.id, config.node.zone
        self._is_joined = config.cluster.is_joined
        self._roster: Roster = NOBODY
        self._changed: list[Callable[[Member], object]] = []
        self._suspected_s: dict[NodeId, float] = {}
        """Since when nodes are taken for dead, without proof."""
        self.told: ClusterTold = NOT_TOLD
        mesh.serve(ClusterTold, self._take)

    @property
    def nodes(self) -> tuple[Member, ...]:
        """All other nodes, dead ones of the last ten minutes too."""
        return self.told.nodes

    @property
    def bar(self) -> str:
        """Why this node is not in the cluster; empty: it is, or it is meant to be alone."""
        return ASKING if self._is_joined and self.told is NOT_TOLD else self.told.bar

    def node(self, node: NodeId) -> Member | None:
        """Return what is known of another node; None: nothing."""
        return next((one for one in self.told.nodes if one.word.node == node), None)

    def state(self, node: NodeId) -> NodeState | None:
        """Return how a node is; ours is alive. None: it is not of the cluster, as far as we know."""
        if node == self._node:
            return NodeState.ALIVE
        return member.state if (member := self.node(node)) else None

    @property
    def is_whole(self) -> bool:
        """Whether each other node is heard, with all edges, or gone: nobody may have what none of the others has."""
        are_known = all(_is_heard(one) or self.is_gone(one) for one in self.told.nodes)
        return self.told is not NOT_TOLD and not self.bar and are_known

    def is_gone(self, member: Member) -> bool:
        """Say whether a node is dead, and nobody has a call there any more.

        One that is only taken for dead may be cut off, with calls that nobody had answered when it was: nobody goes on
        with those elsewhere (`protocols.heir`).
        """
        since_s = self._suspected_s.get(member.word.node)
        is_over = since_s is None or time.monotonic() - since_s >= CLOSES_S
        return member.state is NodeState.DEAD and (member.is_proven or is_over)

    def of_role(self, role: str) -> list[Peer]:
        """Return the active processes of a role that can be asked: ours first, then our zone's, then all others.

        None of a node that is silent or dead.
        """
        alive = [one.word for one in self.told.nodes if one.state is NodeState.ALIVE]
        near_first = sorted(alive, key=lambda word: word.zone != self._zone)  # stable: the rest stays in its order
        theirs = [peer_of(one) for word in near_first for one in word.processes if one.is_active and one.role == role]
        return [*self._roster.active(role), *theirs]

    def peer(self, identity: Identity) -> Peer | None:
        """Return a process, ours or another node's, which may be silent; None: it has ended, or its node is dead."""
        if node_of(identity) == self._node:
            return self._roster.by_identity(identity)
        member = self.node(node_of(identity))
        if member is None or member.state is NodeState.DEAD:
            return None
        return next((peer_of(one) for one in member.word.processes if one.identity == identity), None)

    def on_change(self, changed: Callable[[Member], object]) -> None:
        """Call `changed(member)` for each node of which something lasting is new: state, launcher, processes, settings.

        Figures are new all the time, of all nodes; who wants them looks.
        """
        self._changed.append(changed)

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on this node's own processes."""
        self._roster = roster

    def take(self, told: ClusterTold) -> None:
        """Take the spokesman's word, and have the mesh know whom it may reach."""
        before, self.told = self.told, told
        now, suspected = time.monotonic(), [one.word.node for one in told.nodes if _is_taken_for_dead(one)]
        self._suspected_s = {node: self._suspected_s.get(node, now) for node in suspected}
        self._connect(before, told)
        known = {one.word.node: _lasting(one) for one in before.nodes}
        for member in told.nodes:
            if _lasting(member) != known.get(member.word.node):
                for changed in self._changed:
                    changed(member)

    def _take(self, told: ClusterTold, sender: Identity) -> None:
        if node_of(sender) == self._node:
            self.take(told)

    def _connect(self, before: ClusterTold, told: ClusterTold) -> None:
        """Whoever is dead is left, and what was asked of them fails. Who is only taken for dead can be reached again:
        they are told so, and may answer.
        """
        taken_for_dead = {one.word.node for one in before.nodes if _is_taken_for_dead(one)}
        new = [one for one in told.nodes if _is_taken_for_dead(one) and one.word.node not in taken_for_dead]
        if new:
            self._mesh.members(_peers(one for one in told.nodes if one not in new))
        self._mesh.members(_peers(told.nodes))


def lasting(word: NodeWord) -> NodeWord:
    """Return what of a word is news: all but the figures, which are others with each call."""
    return replace(word, wall=0.0, calls=0, load=0.0, without_heir=None, hears=(), dead=())


def _lasting(member: Member) -> Member:
    return replace(member, word=lasting(member.word))


def peer_of(process: NodeProcess) -> Peer:
    """Return another node's process as the mesh wants it."""
    state = State.ACTIVE if process.is_active else State.SPARE
    at = process.address
    return Peer(process.role, process.name, process.identity, at, process.pid, state, at)


def _is_heard(member: Member) -> bool:
    return member.state is NodeState.ALIVE and ("edge" not in member.word.roles or has_all_edges(member.word))


def _is_taken_for_dead(member: Member) -> bool:
    return member.state is NodeState.DEAD and not member.is_proven


def _peers(members: Iterable[Member]) -> list[Peer]:
    """Return whom the mesh may reach: of each node its own processes only, at addresses that there can be."""
    words = [one.word for one in members if one.state is not NodeState.DEAD or not one.is_proven]
    return [
        peer_of(process)
        for word in words
        for process in word.processes
        if node_of(process.identity) == word.node and is_address(process.address.removeprefix("tcp://"))
    ]


__all__ = ["ASKING", "NOT_TOLD", "Members", "lasting", "peer_of"]
