"""mode: services of asyncio under a supervisor. It has no mailbox: messaging is a queue in a task of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from mode import Service
from mode.supervisors import OneForOneSupervisor

from nodes.bench.contender import DEADLINE_S
from nodes.bench.floor import BOOM, LIFE, Mail, serve

RESTARTS = 1e9
"""A second: mode's intensity, out of the way."""


class Echo(Service):
    """Answers as the floor does; a restart keeps the queue."""

    def on_init(self) -> None:
        """Make the queue."""
        self.mail: Mail = asyncio.Queue()

    @Service.task
    async def _serve(self) -> None:
        await serve(self.mail, self.restart_count)


class Services:
    """The contender."""

    async def open(self) -> None:
        """Start the one that answers."""
        self._loop = asyncio.get_running_loop()
        self._echo = Echo()
        await self._echo.start()

    async def close(self) -> None:
        """Stop it."""
        await self._echo.stop()

    async def ask(self, n: int) -> int:
        """Send `n` with a future, and wait for that."""
        return await self._asked(self._echo, n)

    async def ask_in_time(self, n: int) -> int:
        """The same under `asyncio.timeout`: mode has no deadline of its own."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._asked(self._echo, n)

    def ask_waiting(self, n: int) -> Awaitable[int]:
        """The plain ask, as the floor's."""
        return self.ask(n)

    def tell(self, n: int) -> None:
        """Send `n` and no future."""
        self._echo.mail.put_nowait((n, None))

    async def spawn(self, n: int) -> None:
        """Start `n` services under one supervisor."""
        self._children = [Echo() for _ in range(n)]
        self._supervisor = OneForOneSupervisor(max_restarts=RESTARTS, over=1.0)
        self._supervisor.add(*self._children)
        await self._supervisor.start()
        await asyncio.sleep(0)

    def crash(self, i: int) -> None:
        """Send BOOM."""
        self._children[i].mail.put_nowait((BOOM, None))

    async def back(self, i: int) -> None:
        """Send a question that the next life finds in the queue."""
        await self._asked(self._children[i], LIFE)

    async def stop(self) -> None:
        """Stop the supervisor, and so its services."""
        await self._supervisor.stop()

    async def _asked(self, echo: Echo, n: int) -> int:
        reply: asyncio.Future[int] = self._loop.create_future()
        echo.mail.put_nowait((n, reply))
        return await reply
