"""The beat of the process: four slots of 5 ms, each at its instant, for ever.

What it does: calls `on_slot(slot, due_s)` at every multiple of 5 ms of the monotonic clock, so that each slot comes
round every 20 ms and the calls of a process are spread over four. Slots that nobody has are passed over: to wake up
costs as much as ten calls. What it does not: know what a slot does.

After a pause of the process (`AWAY_S`) it says so first: whose silence is judged by the beat was perhaps not silent.

Deadlines are absolute: being late once makes nothing later. A slot that is over 20 ms late is left out and counted,
because what it would send has another packet behind it already. `sleep(0.02)` in a loop would drift by its own cost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from supervisors.silence import AWAY_S

SLOTS: Final = 4
SLOT_S: Final = 0.005
_GIVE_UP_SLOTS: Final = 4
_WINDOW_S: Final = 1.0
_FULL: Final = 0.65
"""Share of a core; measured: 0.48 at 500 calls (2.3 ms late, p99), 0.68 at 700 (5.4 ms, more than we promise)."""


class Lateness:
    """A histogram of how late packets left, in tenths of a millisecond up to 100 ms."""

    __slots__ = ("_before", "_buckets", "max_s")
    _SIZE: Final = 1000
    _PER_S: Final = 10_000

    def __init__(self) -> None:
        self._buckets, self._before = [0] * self._SIZE, [0] * self._SIZE
        self.max_s = 0.0

    def add(self, late_s: float) -> None:
        """Count one packet."""
        self._buckets[min(int(late_s * self._PER_S), self._SIZE - 1)] += 1
        self.max_s = max(self.max_s, late_s)

    def quantile_ms(self, share: float) -> float:
        """Return the lateness that `share` of all packets stayed below, rounded up to 0.1 ms; 0.0 before the first.

        >>> lateness = Lateness()
        >>> for late_ms in range(1, 101): lateness.add(late_ms / 1000 - 0.00005)
        >>> lateness.quantile_ms(0.5), lateness.quantile_ms(0.99)
        (50.0, 99.0)
        """
        return self._quantile_ms(share, self._buckets)

    def recent_ms(self, share: float) -> float:
        """Return the same of the packets since this was last asked."""
        recent = [count - before for count, before in zip(self._buckets, self._before, strict=True)]
        self._before = self._buckets.copy()
        return self._quantile_ms(share, recent)

    def _quantile_ms(self, share: float, buckets: list[int]) -> float:
        wanted, seen = share * sum(buckets), 0
        for at, count in enumerate(buckets):
            seen += count
            if count and seen >= wanted:
                return (at + 1) * 1000 / self._PER_S
        return 0.0


class Pacer:
    """Calls `on_slot` between `start` and `stop`, and `on_return` when it was away.

    `is_used(slot)`: whether a slot is called; the first always is. `missed` counts slots left out, `busy` is the share
    of a core.
    """

    def __init__(
        self,
        on_slot: Callable[[int, float], None],
        on_return: Callable[[], None],
        is_used: Callable[[int], bool] = lambda slot: True,
    ) -> None:
        self._on_slot, self._on_return, self._is_used = on_slot, on_return, is_used
        self._next = 0  # number of the next slot since the clock's zero
        self._timer: asyncio.TimerHandle | None = None
        self._window = (0.0, 0.0)  # clock and processor time at its beginning
        self.missed = 0
        self.busy = 0.0

    def start(self) -> None:
        """Begin with the next slot; nothing when running."""
        if self._timer is None:
            self._next = int(time.monotonic() / SLOT_S) + 1
            self._window = time.monotonic(), time.thread_time()
            self._arm()

    def stop(self) -> None:
        """No slot after this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_saturated(self) -> bool:
        """Say whether this core can carry no more calls, by what the last second took of it.

        Not by how late we were: a machine that is busy elsewhere makes us late, and fewer calls would not help.
        """
        return self.busy > _FULL

    def _arm(self) -> None:
        while (slot := self._next % SLOTS) and not self._is_used(slot):
            self._next += 1
        self._timer = asyncio.get_running_loop().call_at(self._next * SLOT_S, self._wake)

    def _wake(self) -> None:
        behind = int((time.monotonic() - self._next * SLOT_S) / SLOT_S)
        if behind > _GIVE_UP_SLOTS:
            self.missed += behind
            self._next += behind
        if behind * SLOT_S > AWAY_S:
            self._on_return()
        slot, due = self._next % SLOTS, self._next * SLOT_S
        self._next += 1
        self._arm()
        self._on_slot(slot, due)
        if due - self._window[0] >= _WINDOW_S:
            self._weigh()

    def _weigh(self) -> None:
        """Take the thread's share of its core since the last time: the beat's, and everything else's in the process."""
        (wall, work), self._window = self._window, (time.monotonic(), time.thread_time())
        self.busy = (self._window[1] - work) / (self._window[0] - wall)


__all__ = ["SLOTS", "SLOT_S", "Lateness", "Pacer"]
