"""Which edge gets the next call: smooth weighted round robin between those that have room, the trunk's zone first.

An edge knows how many calls it carries (`nodes/edge/capacity.py`), and says so when it is asked how it is. Between two
answers each order takes one of its places. One that has not answered the last question takes no calls, and neither
does one that has refused because it drains or is full, until it says that it does: a node that is full or drained
holds its campaigns and does not burn their contacts.

The weight of an edge is its capacity, and less the more its calls have been conversation lately (`share_of`): they cost
it more than its capacity has seen yet. Pure: no clock, no process. From where the edges are known is the owner's part.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from nodes.central.scheduler import Mean, Scheduler, share_of
from protocols.wire.ids import Identity, NodeId
from protocols.wire.load import NOT_NOW, GivesUp
from protocols.wire.scale import MachineSeen


class Home(NamedTuple):
    """Where an edge is. `zone`: empty when its node has none."""

    node: NodeId
    zone: str = ""


class Places:
    """The edges that there are, and what they have said."""

    def __init__(self) -> None:
        self._homes: Mapping[Identity, Home] = {}
        self._gone: frozenset[NodeId] = frozenset()
        self.silent: frozenset[NodeId] = frozenset()
        self._figures: dict[Identity, Mapping[str, float]] = {}
        """Of those that have answered."""
        self._room: dict[Identity, float] = {}
        self._complexity: dict[NodeId, Mean] = {}
        self._turns = Scheduler[Identity]()

    def follow(
        self, homes: Mapping[Identity, Home], silent: Collection[NodeId] = (), gone: Collection[NodeId] = ()
    ) -> None:
        """Take note which edges there are, and where.

        `silent`: nodes that may have calls, of which not all edges can be asked just now. `gone`: nodes that are dead.
        """
        self._homes, self.silent, self._gone = dict(homes), frozenset(silent), frozenset(gone)
        for ended in self._figures.keys() - homes.keys():
            del self._figures[ended], self._room[ended]
        self._turns.keep(homes)

    def said(self, edge: Identity, figures: Mapping[str, float] | None) -> None:
        """An edge has said how it is; None: it has not answered. Whether it lives is somebody else's word."""
        if edge not in self._homes:
            return
        if figures is None:
            self._figures.pop(edge, None)
            self._room.pop(edge, None)
        else:
            self._figures[edge], self._room[edge] = figures, figures.get("room", math.inf)

    def refused(self, edge: Identity, reason: str) -> None:
        """An edge has refused an order."""
        if edge in self._figures and reason in NOT_NOW:
            self._room[edge] = 0.0
            if reason != "node_full":
                self._figures[edge] = {**self._figures[edge], "draining": 1.0}

    def ended(self, node: NodeId, complexity: float) -> None:
        """A call of this node has ended, and was so much conversation."""
        self._complexity.setdefault(node, Mean()).learn(complexity)

    def next(self, zone: str = "") -> Identity | None:
        """Return whose turn it is, and take one of its places: in `zone` while anybody there has one."""
        taking = [edge for edge in self._open() if self._room[edge] > 0]
        near = [edge for edge in taking if zone and self._homes[edge].zone == zone]
        edge = self._turns.choose({edge: self.weight(edge) for edge in near or taking})
        if edge is not None:
            self._room[edge] -= 1
        return edge

    def weight(self, edge: Identity) -> float:
        """Return how many calls it gets in proportion to others."""
        complexity = self._complexity.get(self._homes[edge].node, Mean()).value
        return share_of(max(1.0, self._figures[edge].get("capacity", 1.0)), complexity)

    @property
    def said_last(self) -> Mapping[Identity, Mapping[str, float]]:
        """What each of those that answer has said of itself."""
        return self._figures

    @property
    def all(self) -> list[Identity]:
        """All edges that there are."""
        return list(self._homes)

    def is_elsewhere(self, node: NodeId) -> bool:
        """Say whether a call of this node's may be up, whatever the edges have said that could be asked."""
        return node in self.silent or node not in {*self._gone, *(home.node for home in self._homes.values())}

    @property
    def n_open(self) -> int:
        """How many may take calls: there is room, or will be when calls have ended."""
        return len(self._open())

    @property
    def room(self) -> float:
        """How many more calls they take."""
        return sum(self._room[edge] for edge in self._open())

    @property
    def cores(self) -> float:
        """How many cores their machines have for them."""
        return sum(self._figures[edge].get("cores", 1.0) for edge in self._open())

    @property
    def given_up(self) -> dict[NodeId, GivesUp]:
        """What each node has given up."""
        found: dict[NodeId, GivesUp] = {}
        for edge, figures in self._figures.items():
            node = self._homes[edge].node
            found[node] = max(found.get(node, GivesUp.NOTHING), _given_up(figures))
        return found

    @property
    def gives_up(self) -> GivesUp:
        """What all of them have given up."""
        return min(self.given_up.values(), default=GivesUp.NOTHING)

    def machines(self) -> tuple[MachineSeen, ...]:
        """Return each machine as its edges have said it is; several see the same processors and memory."""
        edges: dict[NodeId, list[Mapping[str, float]]] = {}
        for edge, figures in self._figures.items():
            edges.setdefault(self._homes[edge].node, []).append(figures)
        return tuple(_machine(node, said) for node, said in sorted(edges.items()))

    def _open(self) -> list[Identity]:
        return [edge for edge, figures in self._figures.items() if not figures.get("draining")]


def _machine(node: NodeId, said: Sequence[Mapping[str, float]]) -> MachineSeen:
    def most(word: str) -> float:
        return max(figures.get(word, 0.0) for figures in said)

    return MachineSeen(
        node, int(sum(figures.get("calls", 0.0) for figures in said)),
        int(sum(figures.get("capacity", 0.0) for figures in said)), not most("draining"),
        most("machine_busy") if any("machine_busy" in figures for figures in said) else None,
        most("late_ms") / 1000, int(most("memory")), int(most("memory_free")),
    )  # fmt: skip


def _given_up(figures: Mapping[str, float]) -> GivesUp:
    """Return what an edge says; one of another version may know more levels."""
    return GivesUp(max(0, min(int(figures.get("gives_up", 0)), max(GivesUp))))


__all__ = ["Home", "Places"]
