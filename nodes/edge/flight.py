"""Which far ends are asked next where their calls are now, and how many at a time.

Whoever goes on with the calls of a machine that has died sends a re-INVITE for each. All at once they would fill the
far end's socket, and its answers ours: then they are sent again, and each takes longer. So `AT_ONCE` are under way,
and each that has its answer lets the next go: first those whose audio has to move, because our address is another one;
then those that are only asked whether they are still there. Nobody's audio waits for this.

A far end that says nothing holds its place for `HOLDS_S`. Its transaction goes on (32 s, RFC 3261), beside the others.

`Flight` decides: no clock, no process. `Turns` carries it out for the calls of one edge. What a leg sends by itself in
the same re-INVITE (credentials, a higher CSeq) needs no turn. Nor does what it sends after a 491: it is counted, and
leaves two to four seconds later, each leg at a moment of its own. Like all else it waits for its record (`hold_back`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from nodes.call.effects import TakeOverLeg
from nodes.call.record import GONE, UP, CallRecord
from nodes.edge.record_store import RecordStore
from protocols.replacing import replace
from protocols.sip import LegPhase, TakeoverStage
from protocols.wire.ids import CallId

AT_ONCE: Final = 32
"""200 calls, so many at a time, have all moved through one proxy within 0.8 s (measured); and their answers, 40 kB, fit
into any socket's buffer. A far end 100 ms away is asked 320 times a second."""
HOLDS_S: Final = 1.0
"""Whoever is there has answered by then, also if the first message was lost (it is sent again after 0.5 s)."""

Tell: TypeAlias = Callable[[TakeOverLeg], object]


@dataclass(slots=True)
class Flight:
    """The calls of one edge whose far ends are to be asked, and are. `now`: seconds, monotonic."""

    most: int = AT_ONCE
    _urgent: dict[CallId, None] = field(default_factory=dict)
    _others: dict[CallId, None] = field(default_factory=dict)
    _until: dict[CallId, float] = field(default_factory=dict)
    """Who is asked, and until when that holds a place."""

    def want(self, call_id: CallId, *, is_urgent: bool) -> None:
        """Have a far end asked in its turn, behind those that want the same; one that waits already keeps its turn."""
        if is_urgent:
            self._others.pop(call_id, None)
            self._urgent.setdefault(call_id)
        elif call_id not in self._urgent:
            self._others.setdefault(call_id)

    def began(self, call_id: CallId, now: float) -> None:
        """It is asked, whoever wanted that: it has a place from when it had its turn, or from now on."""
        self._until.setdefault(call_id, now + HOLDS_S)

    def answered(self, call_id: CallId) -> None:
        """Its far end has answered, whatever it was."""
        self._until.pop(call_id, None)

    def forget(self, call_id: CallId) -> None:
        """It need not be asked any more."""
        for calls in (self._urgent, self._others, self._until):
            calls.pop(call_id, None)

    def next(self, now: float) -> list[CallId]:
        """Return whose turn it is, in order; each has a place from now on."""
        self._until = {call_id: until for call_id, until in self._until.items() if until > now}
        chosen: list[CallId] = []
        while len(self._until) < self.most and (waiting := self._urgent or self._others):
            call_id = next(iter(waiting))
            del waiting[call_id]
            self._until[call_id] = now + HOLDS_S
            chosen.append(call_id)
        return chosen

    @property
    def deadline(self) -> float | None:
        """When a place is free at the latest; None: nobody waits for one."""
        return min(self._until.values(), default=None) if self._urgent or self._others else None

    @property
    def n_waiting(self) -> int:
        """How many have not had their turn."""
        return len(self._urgent) + len(self._others)


class Turns:
    """Has legs tell their far ends where they are, each in its turn (`Flight`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flight = Flight()
        self._go: dict[CallId, Callable[[], object]] = {}
        self._asking: set[CallId] = set()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, store: RecordStore, order: TakeOverLeg, tell: Tell) -> None:
        """Have a leg go on here. `tell`: tells it so.

        Nobody is asked by a leg that is not up, by one that ends, or at a browser: those go on at once. So does a call
        that is moved on purpose, for those who move them are few at a time (`mover`).
        """
        leg, there = store.record.leg, order.listening
        if leg is None or leg.phase is not LegPhase.CONFIRMED or there is None or order.is_planned:
            tell(order)
            return
        call_id = store.record.order.call_id
        self._go[call_id] = partial(self._ask, store, order, tell)
        self._flight.want(call_id, is_urgent=(there.host, there.port) != (leg.ours.host, leg.ours.port))
        self._look()
        if call_id in self._go:  # whatever it has to say meanwhile, a goodbye, it says from here
            tell(replace(order, listening=None))

    def wrote(self, record: CallRecord) -> None:
        """A record has changed: a far end may be asked, or may have answered; or the call needs no answer any more."""
        call_id = record.order.call_id
        if is_asking(record) and record.phase not in GONE:
            if call_id not in self._asking:
                self._asking.add(call_id)
                self._flight.began(call_id, self._loop.time())
            return
        if call_id in self._asking:
            self._asking.discard(call_id)
            self._flight.answered(call_id)
            self._look()
        if call_id in self._go and record.phase not in UP:
            del self._go[call_id]
            self._flight.forget(call_id)

    def stop(self) -> None:
        """Ask nobody any more: the process ends."""
        self._go.clear()
        self._flight = Flight()
        if self._timer:
            self._timer.cancel()

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        return {"takeovers_waiting": float(self._flight.n_waiting)}

    def _ask(self, store: RecordStore, order: TakeOverLeg, tell: Tell) -> None:
        if store.record.leg_phase == LegPhase.CONFIRMED:
            tell(order)
        else:
            self._flight.answered(store.record.order.call_id)

    def _look(self) -> None:
        while chosen := self._flight.next(self._loop.time()):
            for call_id in chosen:
                if go := self._go.pop(call_id, None):
                    go()
        if self._timer:
            self._timer.cancel()
        deadline = self._flight.deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._look)


def is_asking(record: CallRecord) -> bool:
    """Say whether the far end has been asked to be here, and has not answered. One that waits after a 491 is not."""
    leg = record.leg
    return (
        leg is not None
        and leg.takeover is TakeoverStage.ASKED
        and leg.invite is not None
        and leg.phase is LegPhase.CONFIRMED
    )


__all__ = ["AT_ONCE", "HOLDS_S", "Flight", "Turns", "is_asking"]
