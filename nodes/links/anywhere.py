"""Ask whoever there is of a role, in this node or in another: the first that takes it has it.

Who is gone, does not lead, or takes nothing just now is passed over, because it has done nothing. Who does not answer
in time may have, so nobody else is asked after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from nodes.links.errors import PeerGone, Refused
from nodes.links.mesh import Mesh, Request
from nodes.links.roster import Peer
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


__all__ = ["PASSED_OVER", "ask_first"]
