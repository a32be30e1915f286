"""Ask whoever there is of a role, in this node or in another: the first that takes it has it; or all of them.

Who is gone, does not lead, or takes nothing just now is passed over, because it has done nothing. Who does not answer
in time may have, so nobody else is asked after it.

What is for a node as a whole (drain, how many calls) is for each of its edges, of which it may have several: all are
asked, also where one fails, and an answer is all answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

from nodes.links.errors import LinkError, NotAll, PeerGone, Refused
from nodes.links.roster import Peer
from nodes.mesh.mesh import Mesh, Request
from protocols.wire.load import NOT_NOW

R = TypeVar("R")

PASSED_OVER: Final = NOT_NOW | {"not_leading"}
"""Reasons for which another process of the same role may take what this one does not."""


async def ask_first(
    mesh: Mesh, role: str, peers: Iterable[Peer], message: Request[R], timeout_s: float = 5.0
) -> tuple[Peer, R]:
    """Return the first that takes it, and its reply.

    Raises: what the last one has said, `PeerGone` where there is none; `AskTimeout`, `Refused` at once.
    """
    last: PeerGone | Refused = PeerGone(role)
    for peer in peers:
        try:
            return peer, await mesh.ask(peer.identity, message, timeout_s)
        except PeerGone as error:
            last = error
        except Refused as error:
            if error.reason not in PASSED_OVER:
                raise
            last = error
    raise last


def rank(key: str, name: str) -> bytes:
    """Return how high the process of this name stands in the order of a key's own (rendezvous hashing)."""
    return blake2b(f"{key}\n{name}".encode(), digest_size=8).digest()


def spread(peers: Sequence[Peer], key: str) -> list[Peer]:
    """Return processes of one node in an order of this key's own: each is the first for as many keys as the others.

    It follows from their names, so that a successor is asked where its predecessor was.
    """
    return sorted(peers, key=lambda peer: rank(key, peer.name), reverse=True) if len(peers) > 1 else list(peers)


async def ask_each(mesh: Mesh, peers: Sequence[Peer], message: Request[R], timeout_s: float = 5.0) -> list[R]:
    """Return what each of these says, in their order. Raises: `NotAll`, when all have been asked and one has failed."""
    told = await asyncio.gather(*(_ask(mesh, peer, message, timeout_s) for peer in peers))
    if failed := {peer.identity: one for peer, one in zip(peers, told, strict=True) if isinstance(one, LinkError)}:
        raise NotAll(failed)
    return [one for one in told if not isinstance(one, LinkError)]


async def _ask(mesh: Mesh, peer: Peer, message: Request[R], timeout_s: float) -> R | LinkError:
    try:
        return await mesh.ask(peer.identity, message, timeout_s)
    except LinkError as error:
        return error


__all__ = ["PASSED_OVER", "ask_each", "ask_first", "rank", "spread"]
