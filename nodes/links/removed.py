"""What has become of somebody who is to be forgotten: each process that keeps something of people is asked.

Of central's the one that leads answers, for all that belongs to nobody; of the others all do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from nodes.links.anywhere import ask_first
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from nodes.mesh.mesh import Mesh
from protocols.wire.forgetting import GetRemoved, Removed
from protocols.wire.ids import Identity

KEEPERS: Final = ("central", "recorder", "edge", "storage")
"""The roles that keep something of people. The first of a node's that there is reads the node's files."""
OLD_CENTRAL: Final = "central is of an older version, and forgot them in the campaigns alone: upgrade it first"
"""What is said where `ContactForgotten.at` is None."""


async def removed_everywhere(
    mesh: Mesh, keepers: Mapping[str, Sequence[Peer]], asked: GetRemoved, timeout_s: float
) -> dict[str, Removed | None]:
    """Return what each has removed, by its name on its node (`n1.edge-0`); None: no answer.

    `keepers`: of each role of `KEEPERS` the active processes, in all nodes.
    """

    async def one(role: str, peers: Sequence[Peer]) -> tuple[str, Removed | None]:
        name = process_name(peers[0].identity) if len(peers) == 1 else role
        try:
            who, told = await ask_first(mesh, role, peers, asked, timeout_s)
        except LinkError:
            return name, None
        return process_name(who.identity), told

    others = [(role, [peer]) for role in KEEPERS[1:] for peer in keepers[role]]
    return dict(await asyncio.gather(*(one(*each) for each in [(KEEPERS[0], keepers[KEEPERS[0]]), *others])))


def process_name(identity: Identity) -> str:
    """Return a process's name in the cluster.

    >>> process_name(Identity("n1.edge-0:5f3a"))
    'n1.edge-0'
    """
    return identity.partition(":")[0]


__all__ = ["KEEPERS", "OLD_CENTRAL", "process_name", "removed_everywhere"]
