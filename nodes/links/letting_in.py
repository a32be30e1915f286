"""Whoever lives in the cluster may come to every server of it: a node that joined by one is known to the others soon.

`ringmaster cluster keys` lets a node in at the server beside it. The other servers learn of it here, when they hear
that it lives: their node adds it to those whom its server knows, once, in whichever process hears it first.
"""

from __future__ import annotations

import asyncio

from nodes.bus import server
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links import cluster_state
from nodes.links.members import Members
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.wire.cluster import Member, NodeState
from protocols.wire.ids import NodeId

log = logs.get(__name__)


def let_in_who_lives(config: Config, members: Members, tasks: Tasks) -> None:
    """Have the server of this node, where it has one, know every node that lives."""
    known: set[NodeId] = set()

    def take(member: Member) -> None:
        node = member.word.node
        if member.state is NodeState.ALIVE and node not in known:
            known.add(node)
            tasks.spawn(asyncio.to_thread(_let_in, config, node))

    if config.has_server and config.cluster.is_joined:
        members.on_change(take)


def _let_in(config: Config, node: NodeId) -> None:
    try:
        if cluster_state.add(config.paths.state, [node]) and server.let_in(config):
            log.info("nats.lets_in", node=node)
    except (OSError, NodeError) as error:
        log.error("nats.not_let_in", node=node, error=str(error))


__all__ = ["let_in_who_lives"]
