"""The kernel as a contender, with everything on that a product has on.

A hook keeps the last reports, every ask has its deadline, every restart passes its supervisor's intensity, and whoever
crashes a child monitors it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import Final

from supervisors import Actor, Child, Dynamic, DynamicRef, Event, Exit, Ref, Restart, Running, Supervisor, running

N_REPORTS: Final = 10
"""How many reports are kept, as a log would keep them until it has written them."""
INTENSITY: Final = 1_000_000
_LIVES = count(1)


class Echo(Actor):
    """Answers. Its mailbox outlives a crash, as the floor's queue does."""

    __slots__ = ("life",)
    keeps_mailbox = True

    def __init__(self) -> None:
        self.life = next(_LIVES)

    def add(self, n: int) -> int:
        """Return `n + 1`."""
        return n + 1

    def note(self, n: int) -> None:
        """Take `n`."""

    def which(self) -> int:
        """Return the number of this life."""
        return self.life

    def boom(self) -> None:
        """Crash."""
        raise RuntimeError("boom")


class Forgetful(Echo):
    """Its mailbox is lost in a crash, as every actor's that does not say otherwise."""

    __slots__ = ()
    keeps_mailbox = False


class Waiter(Actor):
    """Answers a turn later."""

    async def add(self, n: int) -> int:
        """Wait for one turn of the loop, then return `n + 1`."""
        await asyncio.sleep(0)
        return n + 1


class Kernel:
    """The contender we answer for."""

    child_class: type[Echo] = Echo

    def __init__(self) -> None:
        self.reports: deque[Event] = deque(maxlen=N_REPORTS)
        self._stack = AsyncExitStack()
        self._children: list[Ref[Echo]] = []
        self._ends: dict[int, asyncio.Future[Exit]] = {}

    async def open(self) -> None:
        """Run the tree."""
        tree = Supervisor(
            [
                Child(Echo, id="echo"),
                Child(Waiter, id="waiter"),
                Dynamic(self.child_class, id="children", restart=Restart.PERMANENT, intensity=INTENSITY),
            ]
        )
        self.system: Running = await self._stack.enter_async_context(running(tree, hook=self.reports.append))
        echo, waiter = self.system.ref("echo", Echo), self.system.ref("waiter", Waiter)
        self.ask = self.ask_in_time = partial(echo.ask, Echo.add)
        self.ask_waiting = partial(waiter.ask, Waiter.add)
        self.tell = partial(echo.tell, Echo.note)  # type: ignore[call-arg] # `n` comes later; mypy wants it here
        self._dynamic: DynamicRef[[], Echo] = self.system.dynamic("children", self.child_class)

    async def close(self) -> None:
        """Stop the tree."""
        await self._stack.aclose()

    async def spawn(self, n: int) -> None:
        """Start `n` permanent children of the Dynamic."""
        start = self._dynamic.start
        self._children = [await start() for _ in range(n)]

    def crash(self, i: int) -> None:
        """Monitor it, and have it crash."""
        child = self._children[i]
        self._ends[i] = child.down()
        child.tell(Echo.boom)

    async def back(self, i: int) -> None:
        """Send a question that the next life finds in the mailbox, and see that the one before has gone down."""
        await self._children[i].ask(Echo.which)
        await self._ends.pop(i)

    async def stop(self) -> None:
        """Stop the Dynamic with all its children, and start an empty one."""
        root = self.system.root
        await root.ask(Supervisor.terminate_child, "children")
        await root.ask(Supervisor.restart_child, "children")
        self._children.clear()
        self._ends.clear()


class ForgetfulKernel(Kernel):
    """The kernel with children that keep nothing: whoever crashes one waits until that is seen, and only then asks."""

    child_class = Forgetful

    async def back(self, i: int) -> None:
        """See that it has gone down, and ask its replacement."""
        await self._ends.pop(i)
        await self._children[i].ask(Echo.which)
