"""Which process is to die next: one of a kind, on any of some nodes. Killing it is the caller's.

A kind is a role, `edge`, or its spares, `edge spare`; or `nats`, which no roster names, for it speaks no word of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from nodes.links.roster import Roster

NATS: Final = "nats"
KINDS: Final = ("edge", "edge spare", "media", "media spare", "speech", "central", "recorder", "desk", NATS)
"""All that a node has."""
ANY: Final = 1 << 16
"""Sides of a die that chooses among a few evenly enough."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A process, and its node by the name that the caller has for it. `pid`: as the node's host counts them."""

    node: str
    name: str
    pid: int


def of_kind(kind: str, rosters: Mapping[str, Roster], server: Callable[[str], int]) -> list[Victim]:
    """Return all of a kind, node by node. `server`: returns the process of a node's nats-server, or 0."""
    if kind == NATS:
        return [Victim(node, NATS, pid) for node in rosters if (pid := server(node))]
    role, _, spare = kind.partition(" ")
    return [
        Victim(node, peer.name, peer.pid)
        for node, roster in rosters.items()
        for peer in (roster.spare(role) if spare else roster.active(role))
    ]


def choose(
    kind: str, rosters: Mapping[str, Roster], number: int = 0, server: Callable[[str], int] = lambda node: 0
) -> Victim | None:
    """Return one of a kind; None where there is none just now. `number`: which of several, of a die (`ANY`)."""
    found = of_kind(kind, rosters, server)
    return found[number % len(found)] if found else None


__all__ = ["ANY", "KINDS", "NATS", "Victim", "choose", "of_kind"]
