"""Who is at work with the recordings of a call: sealing and sending wait for nobody, erasing waits for both.

Whatever makes a copy says so first; whoever wants nothing to be left has copies of these calls refused, gives up the
one that is under way, waits for its end, and looks then. So no copy appears behind a proof that there is none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from protocols.wire.ids import CallId


class Claims:
    """On the event loop alone, but for `is_wanted`, which threads may ask."""

    def __init__(self) -> None:
        self._copying: Counter[CallId] = Counter()
        self._erasing: Counter[CallId] = Counter()
        self._changed = asyncio.Event()

    @contextmanager
    def copying(self, call_id: CallId) -> Iterator[bool]:
        """Say whether copies of a call's recordings may be made in this block."""
        if self._erasing[call_id]:
            yield False
            return
        self._copying[call_id] += 1
        try:
            yield True
        finally:
            self._less(self._copying, call_id)
            self._changed.set()

    def is_wanted(self, call_id: CallId) -> bool:
        """Say whether nobody wants the call erased."""
        return not self._erasing.get(call_id)

    @contextmanager
    def erasing(self, call_ids: Collection[CallId]) -> Iterator[None]:
        """Have no copies of these calls' recordings begun in this block, and those under way given up."""
        self._erasing.update(call_ids)
        try:
            yield
        finally:
            for call_id in call_ids:
                self._less(self._erasing, call_id)

    async def alone(self, call_ids: Collection[CallId]) -> None:
        """Wait until nobody copies any of these."""
        while any(self._copying.get(call_id) for call_id in call_ids):
            self._changed.clear()
            await self._changed.wait()

    @staticmethod
    def _less(counted: Counter[CallId], call_id: CallId) -> None:
        counted[call_id] -= 1
        if not counted[call_id]:
            del counted[call_id]


__all__ = ["Claims"]
