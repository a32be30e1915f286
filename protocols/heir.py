"""The other side of `protocols.takeover`: a node that keeps the calls of others, and goes on with them when those die.

What it does: counts the leases, answers who asks, and says what is to be taken. What it does not: hold the records.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols.machine import Expired, Notify
from protocols.wire.ids import CallId, NodeId

Order: TypeAlias = tuple[int, int, int]
"""Of a record: how often the call has gone on at another machine, its epoch, its revision. Of two the higher is later.

The first number comes first: whoever comes back to a call that has gone on elsewhere begins a later life of it, by the
clock, and is not its owner for that.
"""
LEASE_S: Final = 3.0
"""One heartbeat: nobody is taken for dead by suspicion who has asked within this."""
CLOSES_S: Final = 60.0
"""After so long of suspicion calls that nobody had answered are closed: nobody can go on with them, and whoever was
only cut off has been answered by then, or has given up. Sooner it would be answered callees who are hung up on."""
MAX_PAST: Final = 100_000
"""Calls of others that an heir remembers to have had, or given up; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record has come from this node that names us. `is_up`: the callee has answered."""

    owner: NodeId
    call_id: CallId
    order: Order
    is_up: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """The call is over at its owner, or is kept no longer for another reason."""

    owner: NodeId
    call_id: CallId


@dataclass(frozen=True, slots=True)
class Asked:
    """A node's edge asks which of these calls we have; `calls`: with the order of its own record. Answer: `Tell`.

    `ours`: those of which we are still the heir; copies of the others are given up. None: an older version, which does
    not say, and tells all of them anew.
    """

    node: NodeId
    calls: Mapping[CallId, Order]
    ours: frozenset[CallId] | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """This node is dead, as far as is known; proven, or only suspected."""

    node: NodeId
    is_proven: bool


@dataclass(frozen=True, slots=True)
class Alive:
    """It is not, or not any more."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Take:
    """These calls of that node are ours from now on; `close`: these are to be ended, nobody has answered them.

    Of a node that is proven dead all are ours: who has picked up since its last word can be found out. Of one that is
    only suspected, first the calls that were up, and after `CLOSES_S` the others are closed.
    """

    owner: NodeId
    calls: tuple[CallId, ...]
    close: tuple[CallId, ...] = ()


@dataclass(frozen=True, slots=True)
class Tell:
    """The answer. Copies of the calls that are in none of the lists have been given up."""

    to: NodeId
    about: tuple[CallId, ...]
    taken: tuple[CallId, ...]
    closed: tuple[CallId, ...]
    kept: tuple[CallId, ...] = ()


HeirInput: TypeAlias = Kept | Dropped | Asked | Dead | Alive | Expired
HeirEvent: TypeAlias = Take | Tell


@dataclass(frozen=True, slots=True)
class _Past:
    """What an heir has had of a call: a copy given up (`took` is None), taken, or closed."""

    least: Order
    """A record that is to be kept again is not before this."""
    took: bool | None = None


class Heir:
    """The calls of all other nodes that we keep, and those that we have had of them."""

    def __init__(self) -> None:
        self._kept: dict[NodeId, dict[CallId, Kept]] = {}
        self._past: OrderedDict[CallId, _Past] = OrderedDict()
        self._asked_at: dict[NodeId, float] = {}
        self._waits: dict[NodeId, float] = {}
        """Suspected ones, and when their leases are over."""
        self._closes: dict[NodeId, float] = {}
        """Those whose leases are over, and when what rings there is closed."""

    @property
    def deadline(self) -> float | None:
        """When something is taken, or closed, of a node that is suspected to be dead."""
        return min((*self._waits.values(), *self._closes.values()), default=None)

    def keeps(self, owner: NodeId, call_id: CallId) -> bool:
        """Say whether we would go on with this call if that node died."""
        return call_id in self._kept.get(owner, {})

    def step(self, given: HeirInput, now: float) -> list[Notify[HeirEvent]]:
        """Take one input at `now`; return what is to be done, in order."""
        match given:
            case Kept():
                self._keep(given)
            case Dropped(owner=owner, call_id=call_id):
                self._kept.get(owner, {}).pop(call_id, None)
            case Asked():
                return [Notify(self._answer(given, now))]
            case Dead(node=node, is_proven=True):
                self._is_suspected_no_more(node)
                return self._take(node, is_proven=True)
            case Dead(node=node):
                if node not in self._closes:
                    self._waits.setdefault(node, self._asked_at.get(node, now - LEASE_S) + LEASE_S)
            case Alive(node=node):
                self._is_suspected_no_more(node)
            case Expired():
                pass
        return [*self._take_suspected(now), *self._close_suspected(now)]

    def _is_suspected_no_more(self, node: NodeId) -> None:
        self._waits.pop(node, None)
        self._closes.pop(node, None)

    def _keep(self, given: Kept) -> None:
        kept = self._kept.setdefault(given.owner, {})
        past, before = self._past.get(given.call_id), kept.get(given.call_id)
        if (past is None or past.least <= given.order) and (before is None or before.order <= given.order):
            kept[given.call_id] = given
            self._past.pop(given.call_id, None)

    def _answer(self, given: Asked, now: float) -> Tell:
        node, took, kept = given.node, dict[CallId, bool](), self._kept.setdefault(given.node, {})
        self._asked_at[node] = now
        if node in self._waits or node in self._closes:
            self._closes.pop(node, None)
            self._waits[node] = now + LEASE_S
        for call_id, order in given.calls.items():
            past, copy = self._past.get(call_id), kept.get(call_id)
            if past is not None and past.took is not None and order < past.least:
                took[call_id] = past.took
            elif given.ours is None:
                kept.pop(call_id, None)  # never ours, or theirs again since
                self._remember(call_id, _Past(order))
            elif call_id not in given.ours and (copy is None or copy.order <= order):  # else the question comes late
                kept.pop(call_id, None)
                self._remember(call_id, _Past((*order[:2], order[2] + 1)))
        return Tell(
            node,
            tuple(given.calls),
            taken=tuple(call_id for call_id, is_up in took.items() if is_up),
            closed=tuple(call_id for call_id, is_up in took.items() if not is_up),
            kept=tuple(call_id for call_id in given.calls if call_id in kept and call_id not in took),
        )

    def _take_suspected(self, now: float) -> list[Notify[HeirEvent]]:
        over = [node for node, at in self._waits.items() if at <= now]
        for node in over:
            del self._waits[node]
            self._closes[node] = now + CLOSES_S
        return [told for node in over for told in self._take(node, is_proven=False)]

    def _close_suspected(self, now: float) -> list[Notify[HeirEvent]]:
        over = [node for node, at in self._closes.items() if at <= now]
        for node in over:
            del self._closes[node]
        return [told for node in over for told in self._close(node)]

    def _take(self, node: NodeId, *, is_proven: bool) -> list[Notify[HeirEvent]]:
        """Take what nobody else can have: all calls of who is proven dead, of a suspect those that were up."""
        kept = self._kept.pop(node, {})
        if not is_proven:
            self._kept[node] = {call_id: one for call_id, one in kept.items() if not one.is_up}
            kept = {call_id: one for call_id, one in kept.items() if one.is_up}
        self._had(kept.values(), is_taken=True)
        return [Notify(Take(node, tuple(kept)))] if kept else []

    def _close(self, node: NodeId) -> list[Notify[HeirEvent]]:
        """End what still rings at a suspect, or has been answered there meanwhile: nobody comes any more to say so."""
        kept = self._kept.pop(node, {})
        self._had(kept.values(), is_taken=False)
        return [Notify(Take(node, (), tuple(kept)))] if kept else []

    def _had(self, calls: Iterable[Kept], *, is_taken: bool) -> None:
        for one in calls:
            self._remember(one.call_id, _Past((one.order[0] + 1, 0, 0), is_taken))

    def _remember(self, call_id: CallId, past: _Past) -> None:
        self._past.pop(call_id, None)
        self._past[call_id] = past
        if len(self._past) > MAX_PAST:
            self._past.popitem(last=False)


__all__ = [
    "CLOSES_S", "LEASE_S", "MAX_PAST", "Alive", "Asked", "Dead", "Dropped", "Heir", "HeirEvent", "HeirInput", "Kept",
    "Order", "Take", "Tell",
]  # fmt: skip
