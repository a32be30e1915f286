"""A running tree: what all its actors share, and the way in from outside.

    async with running(tree) as system:
        pool = system.ref("agents", Pool)

One event loop, one thread. Times come from the loop and chance from `entropy`, so a virtual loop and a seed reproduce
a run.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from supervisors import census
from supervisors.actor import Actor, expect
from supervisors.census import Census
from supervisors.deadlines import Deadlines
from supervisors.dynamic import Dynamic, DynamicRef
from supervisors.end import end, kill
from supervisors.errors import Interrupted, NoSuchChild, TreeDown
from supervisors.events import Event, Hook
from supervisors.exits import Exit, Shutdown
from supervisors.life import launch
from supervisors.mailbox import Mailbox
from supervisors.ref import HALT, STOPPING, Ref
from supervisors.registry import Name, Registry
from supervisors.supervisor import Supervisor

if TYPE_CHECKING:
    from supervisors.watchdog import Watchdog

A = TypeVar("A", bound=Actor)
P = ParamSpec("P")


class System:
    """What one running tree shares. `n_refused`, `n_dropped`: messages full mailboxes did not take, or gave up."""

    __slots__ = (
        "_body",
        "_fell",
        "_pulled",
        "abandoned",
        "context",
        "current",
        "deadlines",
        "entropy",
        "hook",
        "loop",
        "n_alone",
        "n_dropped",
        "n_refused",
        "registry",
        "room",
        "root",
        "spare",
        "woken",
    )

    def __init__(self, tree: Supervisor, hook: Hook | None, entropy: Callable[[], float]) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self.loop)
        self.context = contextvars.copy_context()
        self.hook = hook
        self.entropy = entropy
        self.registry = Registry()
        self.current: Ref[Actor] | None = None
        """Whose handler runs this moment, in the drain engine; in the other the current task is named for it."""
        self.abandoned: set[asyncio.Task[object] | None] = set()
        """Tasks that outlived the kill ladder. What they send is dropped."""
        self.spare: list[Mailbox] = []
        """Empty mailboxes of actors that went idle, up to N_SPARE: making one costs 0.25 us, 6 % of an ask."""
        self.n_alone = 0
        """How many mailboxes wait for a callback of their own."""
        self.woken: deque[Actor] = deque()
        """Whose mailboxes wait for one that drains several, in the order they were woken."""
        self.room = 0
        """How many more the last callback that was scheduled for that will serve."""
        self.n_refused = 0
        self.n_dropped = 0
        spec = tree.as_child
        self.root: Ref[Supervisor] = Ref(self, None, spec, spec.start, spec.id)
        self._body: asyncio.Task[object] | None = None
        self._fell: Exit | None = None
        self._pulled: deque[tuple[Actor, Exit]] | None = None

    def ref(self, path: str, cls: type[A]) -> Ref[A]:
        """Return the child at `path` ("links/zmq"). Raises NoSuchChild; TypeError when its actor is no `cls`."""
        ref: Ref[Actor] = self.root
        for id in path.split("/"):
            if ref._children is None or id not in ref._children:
                raise NoSuchChild(path)
            ref = ref._children[id]
        return expect(ref, cls)

    def dynamic(self, path: str, start: Callable[P, A]) -> DynamicRef[P, A]:
        """Return the Dynamic at `path`, typed by the `start` it was made with. Raises NoSuchChild, TypeError."""
        ref = self.ref(path, Dynamic)
        if ref._actor is not None and ref._actor.start is not start:
            raise TypeError(f"{path} starts {ref._actor.start!r}, not {start!r}")
        return DynamicRef(ref)

    def find(self, name: Name[A]) -> Ref[A] | None:
        """Return who has registered `name`."""
        return self.registry.find(name)

    def census(self) -> Census:
        """Return the whole tree as data; its `str` is a page for people."""
        return census.tree(self.root)

    @property
    def is_fenced(self) -> bool:
        """Whether what runs now was abandoned, so that nobody does what it says."""
        return bool(self.abandoned) and asyncio.current_task() in self.abandoned

    def emit(self, event: Event) -> None:
        """Tell the hook. A hook that raises is reported to the loop and does no other harm."""
        if self.hook is None:
            return
        try:
            self.hook(event)
        except (Exception, Interrupted) as error:  # noqa: BLE001 - reported
            self.loop.call_exception_handler({"message": f"supervision hook failed on {event}", "exception": error})

    def root_down(self, reason: Exit) -> None:
        """The root has ended, by itself when there still is a body. Called by the kernel."""
        if self._body is not None:
            self._fell = reason
            self._body.cancel()

    def pull(self, actor: Actor, reason: Exit) -> None:
        """End a life for that of another it is linked to, once that one's end has been told. Called by the kernel."""
        assert self._pulled is not None, "only an end pulls"
        self._pulled.append((actor, reason))

    def hold_links(self) -> bool:
        """Let those wait that an end pulls, until it has been told: so one is brought back before others link to it.

        Returns whether the caller is to let them go: nobody else does already. Of a chain of links one ends after the
        other, not one inside the other: it may be longer than the stack. Called by the kernel.
        """
        if self._pulled is not None:
            return False
        self._pulled = deque()
        return True

    def pull_links(self) -> None:
        """End the lives that were pulled. Called by the kernel."""
        try:
            while self._pulled:
                actor, reason = self._pulled.popleft()
                end(actor.ref, actor, reason)
        finally:
            self._pulled = None

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


RUNNING: Final[set[System]] = set()
"""The trees that run in this process, for the watchdog: it has no other way from a loop to them."""


@asynccontextmanager
async def running(
    tree: Supervisor,
    *,
    hook: Hook | None = None,
    entropy: Callable[[], float] = random.random,
    watchdog: Watchdog | None = None,
) -> AsyncIterator[System]:
    """Run `tree` for the length of the body: started left to right before, stopped right to left after.

    `hook` hears every Event. `entropy` returns uniform numbers in [0, 1), for jitter. `watchdog` watches the loop from
    before the start until after the stop. Raises StartFailed; and when the root ends by itself, cancels the body and
    raises TreeDown.
    """
    system = System(tree, hook, entropy)
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
