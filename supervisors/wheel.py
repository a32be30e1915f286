"""Deadlines for asks, by the thousand: arming one is a list append, an answer cancels nothing.

`asyncio.timeout` costs 8 us an ask on 3.11, a slot of this wheel about 1. The price: a deadline passes up to two ticks
late. So deadlines under a second, where that would show, and those beyond the horizon get a timer of their own.
"""

from __future__ import annotations

import asyncio
from typing import Final

from supervisors.errors import AskTimeout

TICK_S: Final = 0.05
HORIZON_S: Final = 10.0
EXACT_BELOW_S: Final = 1.0
_N_SLOTS: Final = int(HORIZON_S / TICK_S) + 3

_Slot = list[tuple["asyncio.Future[object]", float]]


class Wheel:
    """Fails each armed future with AskTimeout unless it is done by then. Turns only while something is armed."""

    __slots__ = ("_at", "_handle", "_loop", "_n_armed", "_position", "_slots")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[_Slot] = [[] for _ in range(_N_SLOTS)]
        self._position = 0
        self._n_armed = 0
        self._at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, future: asyncio.Future[object], seconds: float) -> None:
        """Give `future` `seconds` from now."""
        if not EXACT_BELOW_S <= seconds <= HORIZON_S:
            return self._arm_exactly(future, seconds)
        if self._handle is None:
            self._at = self._loop.time() + TICK_S
            self._handle = self._loop.call_at(self._at, self._turn)
        self._n_armed += 1
        self._slots[(self._position + int(seconds / TICK_S) + 2) % _N_SLOTS].append((future, seconds))

    def stop(self) -> None:
        """Stop turning; what is armed stays unanswered."""
        if self._handle is not None:
            self._handle.cancel()

    def _arm_exactly(self, future: asyncio.Future[object], seconds: float) -> None:
        timer = self._loop.call_later(seconds, _expire, future, seconds)
        future.add_done_callback(lambda _: timer.cancel())

    def _turn(self) -> None:
        """Expire every slot that is due: more than one after the loop was blocked."""
        now = self._loop.time()
        while self._at <= now and self._n_armed:
            self._at += TICK_S
            self._position = (self._position + 1) % _N_SLOTS
            due, self._slots[self._position] = self._slots[self._position], []
            self._n_armed -= len(due)
            for future, seconds in due:
                _expire(future, seconds)
        self._handle = self._loop.call_at(self._at, self._turn) if self._n_armed else None


def _expire(future: asyncio.Future[object], seconds: float) -> None:
    if not future.done():
        future.set_exception(AskTimeout(seconds))
