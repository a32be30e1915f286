"""The floor: what one writes by hand with `create_task`, a Queue and a Future, and nothing else.

A crashed child is started again from its task's done-callback, on the same queue. No restart intensity, no strategies,
no reports, no monitors, no bounds; a deadline is `asyncio.timeout` and is paid for where it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from nodes.bench.contender import DEADLINE_S

Message = tuple[int, "asyncio.Future[int] | None"]
Mail = asyncio.Queue[Message]

BOOM: Final = -1
LIFE: Final = -2


async def serve(mail: Mail, life: int = 0) -> None:
    """Answer `n + 1`; LIFE with the number of this life; crash on BOOM."""
    while True:
        n, reply = await mail.get()
        if n == BOOM:
            raise RuntimeError("boom")
        if reply is not None:
            reply.set_result(life if n == LIFE else n + 1)


class Floor:
    """The contender that all others are compared with."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._mail: Mail = asyncio.Queue()
        self._server: asyncio.Task[None] | None = None
        self._mails: list[Mail] = []
        self._children: dict[int, asyncio.Task[None]] = {}
        self._is_stopping = False

    async def open(self) -> None:
        """Start the one that answers."""
        self._server = asyncio.create_task(serve(self._mail))

    async def close(self) -> None:
        """Cancel it."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.wait([self._server])

    async def ask(self, n: int) -> int:
        """Send `n` with a future, and wait for that."""
        reply: asyncio.Future[int] = self._loop.create_future()
        self._mail.put_nowait((n, reply))
        return await reply

    async def ask_in_time(self, n: int) -> int:
        """The same under `asyncio.timeout`."""
        reply: asyncio.Future[int] = self._loop.create_future()
        self._mail.put_nowait((n, reply))
        async with asyncio.timeout(DEADLINE_S):
            return await reply

    def ask_waiting(self, n: int) -> Awaitable[int]:
        """The plain ask: a handler that waits is compared with one that does not."""
        return self.ask(n)

    def tell(self, n: int) -> None:
        """Send `n` and no future."""
        self._mail.put_nowait((n, None))

    async def spawn(self, n: int) -> None:
        """A queue and a task for each."""
        self._is_stopping = False
        self._mails = [asyncio.Queue() for _ in range(n)]
        for i in range(n):
            self._start(i, 0)
        await asyncio.sleep(0)

    def crash(self, i: int) -> None:
        """Send BOOM."""
        self._mails[i].put_nowait((BOOM, None))

    async def back(self, i: int) -> None:
        """Send a question that the next life finds in the queue."""
        reply: asyncio.Future[int] = self._loop.create_future()
        self._mails[i].put_nowait((LIFE, reply))
        await reply

    async def stop(self) -> None:
        """Cancel all and wait for all."""
        self._is_stopping = True
        for child in self._children.values():
            child.cancel()
        await asyncio.gather(*self._children.values(), return_exceptions=True)
        self._children.clear()
        self._mails.clear()

    def _start(self, i: int, life: int) -> None:
        child = asyncio.create_task(serve(self._mails[i], life))
        self._children[i] = child
        child.add_done_callback(lambda ended: self._down(ended, i, life))

    def _down(self, child: asyncio.Task[None], i: int, life: int) -> None:
        if not self._is_stopping and not child.cancelled() and child.exception() is not None:
            self._start(i, life + 1)
