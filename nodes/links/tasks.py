"""Tasks that belong to an object or to a process: they begin while it is open, and have ended when it is closed.

    async with Tasks() as tasks:             # or `open` and `close`, where a block does not fit
        tasks.spawn(follow())

What is to be begun while they end is not begun: timers and peers go on until the very end of a process, and what they
would begin would be stopped in the same moment.

One that fails ends whoever opened it, as in any group; and it is told at once to the loop's exception handler, with
`FAILED` as the message. In a process of ours that handler ends the process (`nodes/child.py`), before anything is
stopped in order: its successor is made for a death, and not for a goodbye.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

AGAIN_S: Final = 1.0
"""How long a cancelled task may take to clean up before it is taken for one that has not noticed."""
FAILED: Final = "what a process cannot be without has failed"
"""The message to the loop's exception handler."""


class Closable(Protocol):
    """What is closed once."""

    async def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closable)


class Tasks:
    """An `asyncio.TaskGroup` between `open` and `close`, or for the length of a block."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._is_ending = False

    async def open(self) -> None:
        """Begin the group."""
        await self._group.__aenter__()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the group, unless that ends. Raises: RuntimeError before it was opened."""
        self._begin(work)

    def spawn_stoppable(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """Run `work` as `spawn` does, and return what stops it before the group ends."""
        return self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        if self._is_ending:
            work.close()
            return lambda: None
        try:
            task = self._group.create_task(work)
        except RuntimeError:
            work.close()  # it will not be begun
            raise
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task.cancel

    async def close(self) -> None:
        """Cancel what is still running, and wait for its end; raise what has failed."""
        await self.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ending = True
        try:
            await self._cancel()
        finally:  # also when one of them fails now: the group cancels us, and says why
            await self._group.__aexit__(kind, error, trace)

    async def _cancel(self) -> None:
        """Cancel until all have ended: a cancellation may be swallowed.

        `asyncio.wait_for`, in Python 3.11, returns a result that comes at the same moment in its place (nats-py asks
        for everything through it). Whoever is cancelled here, as one of other tasks that end, goes on until these have
        ended, and ends then: nobody else tells these again.
        """
        told: asyncio.CancelledError | None = None
        while self._running:
            for task in self._running:
                task.cancel()
            try:
                await asyncio.wait(self._running, timeout=AGAIN_S)
            except asyncio.CancelledError as error:
                told = error
        if told is not None:
            raise told

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._is_ending = True
            _tell(error)

    def __len__(self) -> int:
        return len(self._running)


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Tell of an exception of the block as of a task's, before anything around the block is stopped for it."""
    try:
        yield
    except Exception as error:
        _tell(error)
        raise


@asynccontextmanager
async def closing(thing: C) -> AsyncIterator[C]:
    """Close `thing` at the end of the block, however that ends."""
    try:
        yield thing
    finally:
        await thing.close()


def _tell(error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": FAILED, "exception": error})


__all__ = ["AGAIN_S", "FAILED", "Tasks", "closing", "failing_at_once"]
