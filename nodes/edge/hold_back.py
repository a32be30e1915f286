"""Nothing goes out to a telephone before others have the record of it: who goes on with the call could not end it.

An edge that is killed has perhaps told nobody what it did last. If that was an INVITE, a telephone rings of which
nobody knows; if it was the ACK of an answer, somebody holds a receiver at which nobody ever speaks. So what a leg sends
waits until its record is on disk, which outlives every process of this machine, and takes a millisecond.

A disk that takes longer than `DISK_S` is not waited for, if two heirs have acknowledged the record: they outlive us,
and one of them may die in the same moment. And nothing waits for longer than `LONGEST_S`: a call must not be lost
because a disk or an heir is slow. That is counted, and a death in just that quarter of a second is the risk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.call.record import GONE
from nodes.edge.disk import Disk
from nodes.edge.heirs import Heirs
from nodes.edge.record_store import RecordStore, Version, version
from nodes.telemetry import logs
from protocols.wire.ids import CallId

log = logs.get(__name__)
DISK_S: Final = 0.03
LONGEST_S: Final = 0.25
"""Half of a SIP T1: the far end has not repeated anything yet."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What waits until a record is kept. `since_s`: monotonic."""

    store: RecordStore
    version: Version
    since_s: float
    do: Callable[[], object]


class HoldBack:
    """Of all calls of one edge. What one call sends keeps its order."""

    def __init__(self, heirs: Heirs, disk: Disk) -> None:
        self._heirs, self._disk = heirs, disk
        self._held: dict[CallId, deque[_Held]] = {}
        self._loop = asyncio.get_running_loop()
        self.n_unkept = 0
        """What went out though nobody else had the record."""
        heirs.heard = disk.wrote_some = self._look

    def until_kept(self, store: RecordStore, do: Callable[[], object]) -> None:
        """Do this once others have the record that the call has now; at once if they have, or if the call is over."""
        record = store.record
        call_id, now = record.order.call_id, self._loop.time()
        held = _Held(store, version(record), now, do)
        if call_id not in self._held and self._may_go(held, now):
            do()
            return
        self._held.setdefault(call_id, deque()).append(held)
        self._disk.hurry(call_id)
        for seconds in (DISK_S, LONGEST_S):
            self._loop.call_later(seconds, self._look)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        return {"held_back": float(sum(map(len, self._held.values()))), "sent_unkept": float(self.n_unkept)}

    def _look(self) -> None:
        """Let go what need not wait any more."""
        now = self._loop.time()
        for call_id, queue in list(self._held.items()):
            while queue and self._may_go(queue[0], now):
                queue.popleft().do()
            if not queue:
                del self._held[call_id]
        if any(now - queue[0].since_s >= DISK_S for queue in self._held.values()):
            self._heirs.ask()

    def _may_go(self, held: _Held, now: float) -> bool:
        call_id, waited_s = held.store.record.order.call_id, now - held.since_s
        if held.store.record.phase in GONE or self._disk.keeps(call_id, held.version):
            return True
        if waited_s >= DISK_S and self._heirs.keep(call_id, held.version):
            return True
        if waited_s < LONGEST_S:
            return False
        self.n_unkept += 1
        log.warning("call.not_kept", call_id=call_id, waited_s=round(waited_s, 3))
        return True


__all__ = ["HoldBack"]
