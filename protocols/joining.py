"""Whether a machine may join its cluster: what it is held against is what the nodes that live there say of themselves.

Asked when a machine is given its keys, and again at every start: a clock may have gone wrong since, and an id may have
been given to another machine. One reason is told, the first of the table's order, because each is mended by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.wire.ids import NodeId

MOST_S: Final = 2.0
"""So far may a machine's clock be from the others': leases, calling hours and logs are compared between machines."""


class Bar(StrEnum):
    """What bars a machine from its cluster."""

    OTHER_CLUSTER = "other_cluster"
    OTHER_PROTOCOL = "other_protocol"
    CLASHING_ID = "clashing_id"
    CLOCK_OFF = "clock_off"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to join. `protocol`: the version of its wire (`protocols.wire.envelope`)."""

    cluster: str
    node: NodeId
    protocol: int


@dataclass(frozen=True, slots=True)
class Resident:
    """A node that lives in the cluster, by its own word. `ahead_s`: how far its wall clock is before ours."""

    cluster: str
    node: NodeId
    protocol: int
    ahead_s: float


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a candidate stays alone; `reason` is the line for its operator."""

    bar: Bar
    reason: str


def barred(us: Candidate, residents: Iterable[Resident]) -> Barred | None:
    """Return why a machine may not join; None when it may. Nobody there: it is the first.

    >>> n1 = Resident("c", NodeId("n1"), 1, ahead_s=3.0)
    >>> barred(Candidate("c", NodeId("n2"), 1), [n1]).reason
    'the clock is 3.0 s behind that of n1 (2 s are allowed): set it, and keep it with chrony or another NTP client'
    """
    there = list(residents)
    for one in there:
        if one.cluster != us.cluster:
            reason = f"node {one.node} is of another cluster ({_short(one.cluster)}, and ours is {_short(us.cluster)})"
            return Barred(Bar.OTHER_CLUSTER, reason)
    for one in there:
        if one.protocol != us.protocol:
            reason = f"node {one.node} speaks version {one.protocol} of the protocol, and this machine {us.protocol}"
            return Barred(Bar.OTHER_PROTOCOL, f"{reason}: install the same release")
    if any(one.node == us.node for one in there):
        return Barred(Bar.CLASHING_ID, f"there is a living node {us.node} already: give this one another node.id")
    if there and abs((one := _middle(there)).ahead_s) > MOST_S:
        where = f"{abs(one.ahead_s):.1f} s {'behind' if one.ahead_s > 0 else 'ahead of'} that of {one.node}"
        mend = "set it, and keep it with chrony or another NTP client"
        return Barred(Bar.CLOCK_OFF, f"the clock is {where} ({MOST_S:g} s are allowed): {mend}")
    return None


def _middle(residents: list[Resident]) -> Resident:
    """Return the node whose clock is the middle one of all: one of them may be wrong."""
    return sorted(residents, key=lambda one: one.ahead_s)[(len(residents) - 1) // 2]


def _short(cluster: str) -> str:
    return cluster[:8] or "none"


__all__ = ["MOST_S", "Bar", "Barred", "Candidate", "Resident", "barred"]
