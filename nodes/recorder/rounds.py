"""When a stream is read: in rounds, a second apart, or at once when somebody asks for what it has now.

A commit costs 3 ms of processor time, however few rows it writes: at 100 events a second, read as they came, that was
all that a recorder did. What waits for its round waits in the stream, so a recorder that is killed has nothing in hand.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

PAUSE_S: Final = 1.0
"""Between two rounds: so old may be what a report does not know that is made without asking."""


class Rounds:
    """The rounds of one stream: one task reads (`begin`, `end`), any number wait for it (`fresh`)."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._asked = asyncio.Event()
        self._asking: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []

    async def fresh(self) -> None:
        """Return when everything is written that the stream has now; not before NATS and the disk are there."""
        written = asyncio.get_running_loop().create_future()
        self._asking.append(written)
        self._asked.set()
        await written

    def begin(self) -> None:
        """Begin a round. Its end answers everybody who has asked before now."""
        self._served += self._asking
        self._asking.clear()
        self._asked.clear()

    async def end(self) -> None:
        """End a round after which nothing more waits in the stream, and pause until the next one."""
        for written in self._served:
            if not written.done():  # who asked may have given up
                written.set_result(None)
        self._served.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._asked.wait()


__all__ = ["PAUSE_S", "Rounds"]
