"""The way in from outside: run a tree for the length of a block.

async with running(tree) as system:
    pool = system.ref("agents", Pool)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import ParamSpec, TypeVar

from supervisors.actor import Actor
from supervisors.cell import HALT, STOPPING
from supervisors.dynamic import Dynamic, DynamicRef
from supervisors.end import end, kill
from supervisors.errors import TreeDown
from supervisors.events import Hook
from supervisors.exits import Shutdown
from supervisors.life import launch
from supervisors.ref import Ref
from supervisors.supervisor import Supervisor
from supervisors.system import RUNNING, System
from supervisors.watchdog import Watchdog

A = TypeVar("A", bound=Actor)
P = ParamSpec("P")


class Running(System):
    """A running tree, as who runs it sees it: also its root, and the typed doors of its Dynamics."""

    __slots__ = ()

    root: Ref[Supervisor]

    def __init__(self, tree: Supervisor, hook: Hook | None, entropy: Callable[[], float]) -> None:
        super().__init__(hook, entropy)
        spec = tree.as_child
        self.root = Ref(self, None, spec, spec.start, spec.id)

    def dynamic(self, path: str, start: Callable[P, A]) -> DynamicRef[P, A]:
        """Return the Dynamic at `path`, typed by the `start` it was made with. Raises NoSuchChild, TypeError."""
        ref = self.ref(path, Dynamic)
        if ref._actor is not None and ref._actor.start is not start:
            raise TypeError(f"{path} starts {ref._actor.start!r}, not {start!r}")
        return DynamicRef(ref)

    async def _open(self) -> None:
        RUNNING.add(self)
        try:
            await launch(self.root)
        except BaseException:
            await self._close()
            raise
        self._body = asyncio.current_task()

    async def _close(self) -> None:
        """Stop the tree, from right to left. Cancelled, it kills the tree instead."""
        self._body = None
        self.root._intent = HALT
        if self.root._actor is not None:
            end(self.root, self.root._actor, Shutdown())
        try:
            if self.root._phase is STOPPING:
                await self.root.down()
        except asyncio.CancelledError:
            kill(self.root)
            await self.root.down()
            raise
        finally:
            self.deadlines.stop()
            RUNNING.discard(self)


@asynccontextmanager
async def running(
    tree: Supervisor,
    *,
    hook: Hook | None = None,
    entropy: Callable[[], float] = random.random,
    watchdog: Watchdog | None = None,
) -> AsyncIterator[Running]:
    """Run `tree` for the length of the body: started left to right before, stopped right to left after.

    `hook` hears every Event. `entropy` returns uniform numbers in [0, 1), for jitter. `watchdog` watches the loop from
    before the start until after the stop. Raises StartFailed; and when the root ends by itself, cancels the body and
    raises TreeDown.
    """
    system = Running(tree, hook, entropy)
    with watchdog or nullcontext():
        await system._open()
        try:
            yield system
            if system._fell is not None:
                await asyncio.sleep(0)  # takes the cancellation that the body has not met
        except asyncio.CancelledError:
            body = asyncio.current_task()
            if system._fell is None or (body is not None and body.uncancel() > 0):
                raise
            raise TreeDown(system._fell) from None
        finally:
            await system._close()
