"""Who lives in a cluster that this machine is not yet one of: their words, heard over NATS for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.bus.login import of_cluster
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.cluster_keys import ClusterKeys, as_state
from protocols.joining import Resident
from protocols.wire.envelope import VERSION
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from protocols.wire.subjects import ALL_NODE_WORDS

CONNECT_S: Final = 3.0
HEAR_S: Final = 2.5
"""Longer than the 2 s from one word of a node to the next."""


class NobodyAnswers(NodeError):
    """None of the addresses lets us in."""


async def neighbours(config: Config, keys: ClusterKeys, wall: Callable[[], float] = time.time) -> list[Resident]:
    """Return the nodes that live. `wall`: this machine's clock.

    Raises: `NobodyAnswers`, `ConfigError` for a login that cannot be used, `BadClusterState`, `OSError`.
    """
    cluster = as_state(keys, config.paths.state)
    url = config.nats.url or ",".join(keys.urls)
    found: dict[NodeId, Resident] = {}

    def hear(body: Body, _: str) -> None:
        if one := resident(body, wall()):
            found[one.node] = one

    where = of_cluster(config, Role.RECORDER, cluster, url)  # of all that hear nodes' words it may the least
    bus = await Bus.connect(where, name="joining", node_id=config.node.id)
    try:
        await bus.subscribe(ALL_NODE_WORDS, hear)
        async with asyncio.timeout(CONNECT_S):
            await bus.up()
        await asyncio.sleep(HEAR_S)
    except TimeoutError as error:
        raise NobodyAnswers(f"{url} lets us not in: {bus.trouble or 'no answer'}") from error
    finally:
        await bus.close()
    return list(found.values())


def resident(body: Body, now: float) -> Resident | None:
    """Return a node's word as what a candidate is held against; None for what is no such word."""
    match body:
        case {"node": str() as node, "cluster": str() as cluster, "wall": int() | float() as at}:
            protocol = body.get("protocol", VERSION)
            return Resident(cluster, NodeId(node), protocol if isinstance(protocol, int) else 0, at - now)
    return None


__all__ = ["NobodyAnswers", "neighbours", "resident"]
