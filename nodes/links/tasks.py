"""Tasks that belong to an object: they begin while it is open, and have ended when it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

AGAIN_S: Final = 1.0
"""How long a cancelled task may take to clean up before it is taken for one that has not noticed."""


class Tasks:
    """An `asyncio.TaskGroup` between `open` and `close`. A task that fails ends whoever opened it, as in any group."""

    def __init__(self) -> None:
        self._exit = AsyncExitStack()
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin the group."""
        self._group = await self._exit.enter_async_context(asyncio.TaskGroup())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the group."""
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Cancel what is still running, and wait for its end; again, where a cancellation was swallowed.

        `asyncio.wait_for`, in Python 3.11, returns a result that comes at the same moment in its place (nats-py asks
        for everything through it).
        """
        try:
            while self._running:
                for task in self._running:
                    task.cancel()
                await asyncio.wait(self._running, timeout=AGAIN_S)
        finally:  # also when one of them fails now: the group cancels us, and says why
            await self._exit.aclose()

    def __len__(self) -> int:
        return len(self._running)


__all__ = ["Tasks"]
