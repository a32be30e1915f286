"""pykka: an actor is a thread. It has no supervisor: a child that fails starts its own replacement.

It is asked from an event loop, as its futures allow: a caller lets the others go first, then blocks. All figures are of
the processor time of all threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from pykka import ActorRef, Future, ThreadingActor, ThreadingFuture

from nodes.bench.contender import DEADLINE_S
from nodes.bench.floor import BOOM, LIFE


class Echo(ThreadingActor):
    """Answers `n + 1`; LIFE with the number of this life; crashes on BOOM."""

    use_daemon_thread = True

    def __init__(self, life: int, next_life: Future[Child]) -> None:
        super().__init__()
        self._life = life
        self._next_life = next_life

    def on_receive(self, message: int) -> int:
        """Answer."""
        if message == BOOM:
            raise RuntimeError("boom")
        return self._life if message == LIFE else message + 1

    def on_failure(self, *_: object) -> None:
        """Start the replacement."""
        self._next_life.set(child(self._life + 1))


Child = tuple[ActorRef[Any], Future["Child"]]
"""A thread, and where its replacement will be found."""


def child(life: int) -> Child:
    """Start one."""
    next_life: Future[Child] = ThreadingFuture()
    return Echo.start(life, next_life), next_life


class Threads:
    """The contender."""

    async def open(self) -> None:
        """Start the one that answers."""
        self._echo, _ = child(0)

    async def close(self) -> None:
        """Stop it."""
        self._echo.stop()

    def ask(self, n: int) -> Awaitable[int]:
        """Send `n` and return pykka's future."""
        return self._echo.ask(n, block=False)

    async def ask_in_time(self, n: int) -> int:
        """The same with pykka's own timeout, after letting the others go first."""
        reply: Future[int] = self._echo.ask(n, block=False)
        await asyncio.sleep(0)
        return reply.get(timeout=DEADLINE_S)

    def ask_waiting(self, n: int) -> Awaitable[int]:
        """The plain ask: a handler that waits blocks a thread of its own."""
        return self.ask(n)

    def tell(self, n: int) -> None:
        """Send `n`."""
        self._echo.tell(n)

    async def spawn(self, n: int) -> None:
        """Start `n` threads."""
        self._children = [child(0) for _ in range(n)]

    def crash(self, i: int) -> None:
        """Send BOOM."""
        self._children[i][0].tell(BOOM)

    async def back(self, i: int) -> None:
        """Wait for the replacement, and ask it."""
        self._children[i] = await self._children[i][1]
        await self._children[i][0].ask(LIFE, block=False)

    async def stop(self) -> None:
        """Stop all and wait for all."""
        for stopped in [thread.stop(block=False) for thread, _ in self._children]:
            await stopped
        self._children.clear()
