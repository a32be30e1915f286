"""Who is in the cluster: what each node says of itself, and what a node's processes are told of the others.

A node has one spokesman, its active edge, or else the first of `SPEAKERS` that is active: everybody works that out from
the same word. It says its `NodeWord` to the other nodes' spokesmen and on NATS, hears theirs, and tells the processes
of its own node with `ClusterTold`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from protocols.wire.ids import Identity, NodeId

SPEAKERS: Final = ("edge", "central", "desk", "recorder")
"""The roles that may speak for their node, the first that is there: all of them have NATS."""


class NodeState(StrEnum):
    """How another node is, as far as we know. `silent`: nobody has shown yet that it is dead, and it may come back."""

    ALIVE = "alive"
    SILENT = "silent"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """One process of a node. `address`: where other machines reach it; `is_active`: it is no spare."""

    role: str
    name: str
    identity: Identity
    address: str
    pid: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class Death:
    """A launcher that was declared dead."""

    node: NodeId
    epoch: int


@dataclass(frozen=True, slots=True)
class NodeWord:
    """A node by its own word. What counts is who said it last: `epoch` rises with each start of its launcher,
    `revision` with each change of its processes.

    `door`: of its launcher (`nodes.links.door`). `wall`: its wall clock, in seconds, when it said so. `is_in`: it has
    found nothing that bars it from the cluster; a newcomer asks first. `load`: what its calls take of what it can, 0
    to 1. `without_heir`: how many of its calls no other node could go on with just now; None: it does not say. `hears`:
    other nodes that are alive to it. `dead`: whom it has declared dead lately, also if they have come back since:
    whoever reads their own name there asks their heirs before they send anything. `settings`: the version by which it
    goes (`protocols.wire.settings`); `refused`: a newer one, that it could not take. `trunks`: their names in its file.
    `n_edges`: so many are active when all are there (`has_all_edges`).
    """

    node: NodeId
    epoch: int
    revision: int
    cluster: str
    protocol: int
    version: str
    zone: str
    roles: tuple[str, ...]
    door: str
    wall: float
    processes: tuple[NodeProcess, ...]
    is_in: bool = True
    is_draining: bool = False
    calls: int = 0
    load: float = 0.0
    without_heir: int | None = None
    hears: tuple[NodeId, ...] = ()
    dead: tuple[Death, ...] = ()
    settings: int = 0
    refused: int = 0
    trunks: tuple[str, ...] = ()
    n_edges: int = 1


def has_all_edges(word: NodeWord) -> bool:
    """Say whether all edges of a node are active: one that is between two lives may have what no other one has."""
    n_active = sum(one.role == "edge" and one.is_active for one in word.processes)
    return n_active >= max(1, word.n_edges)


@dataclass(frozen=True, slots=True)
class Member:
    """Another node: its last word and how it is. `is_proven`: its launcher is dead for certain; else it was silent."""

    word: NodeWord
    state: NodeState
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class ClusterTold:
    """All other nodes, as our spokesman knows them. `bar`: why ours is not in the cluster; then there are none.

    `dead`: as in `NodeWord`.
    """

    revision: int
    nodes: tuple[Member, ...]
    bar: str = ""
    dead: tuple[Death, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A member, as an operator wants to see it.

    `heard_s`: how long ago it was last heard. `ahead_s`: how far its wall clock was before ours then.
    """

    member: Member
    heard_s: float
    ahead_s: float


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """The cluster as a spokesman sees it: `us`, the others, and `waiting`: who is not let in -> why."""

    us: NodeWord
    nodes: tuple[NodeSeen, ...]
    bar: str = ""
    waiting: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EdgeWord:
    """What an edge adds to its node's word; `settings` and `refused` any speaker's that follows them.

    Where a node has several edges those that do not speak for it tell this to the one that does.
    """

    is_draining: bool = False
    calls: int = 0
    load: float = 0.0
    without_heir: int | None = None
    settings: int = 0
    refused: int = 0


def together(edges: Sequence[EdgeWord]) -> EdgeWord:
    """Return what the edges of a node say of it: it drains as soon as one does, and goes by the oldest settings.

    >>> together([EdgeWord(calls=3, load=0.2, without_heir=1), EdgeWord(True, 1, 0.4)])
    EdgeWord(is_draining=True, calls=4, load=0.3, without_heir=1, settings=0, refused=0)
    """
    known = [one.without_heir for one in edges if one.without_heir is not None]
    return EdgeWord(
        any(one.is_draining for one in edges), sum(one.calls for one in edges),
        round(sum(one.load for one in edges) / len(edges), 3), sum(known) if known else None,
        min(one.settings for one in edges), max(one.refused for one in edges),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GetCluster:
    """Say who is in the cluster. Answered by a node's spokesman; refused by others as `not_spokesman`."""

    Reply: ClassVar[type[ClusterSeen]] = ClusterSeen


def spokesman(processes: Iterable[NodeProcess]) -> Identity | None:
    """Return who speaks for a node with these processes; None: nobody can."""
    active = [one for one in processes if one.is_active and one.role in SPEAKERS]
    first = min(active, key=lambda one: SPEAKERS.index(one.role), default=None)
    return first.identity if first else None


CLUSTER_MESSAGES: Final = (NodeWord, ClusterTold, GetCluster, ClusterSeen, EdgeWord)

__all__ = [
    "CLUSTER_MESSAGES", "SPEAKERS", "ClusterSeen", "ClusterTold", "Death", "EdgeWord", "GetCluster", "Member",
    "NodeProcess", "NodeSeen", "NodeState", "NodeWord", "has_all_edges", "spokesman", "together",
]  # fmt: skip
