"""Children on demand: many of one kind, each started with its own arguments, none before or after another.

OTP's simple_one_for_one and Elixir's DynamicSupervisor: one_for_one, `max_children` counts those coming back, all are
stopped at the same time. A temporary child's arguments are forgotten once it is up: it is never started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count as count_up
from typing import Generic, ParamSpec, TypeVar

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.cell import HALT, STOPPING, Cell
from supervisors.census import Counts
from supervisors.end import cut, end, halt, kill
from supervisors.errors import BadSpec, Gone, NoSuchChild, TooManyChildren
from supervisors.exits import Exit, Killed, NoProc, Shutdown
from supervisors.life import begin, born
from supervisors.overseer import Overseer
from supervisors.ref import Ref
from supervisors.spec import INFINITY, AutoShutdown, Child, Restart

A = TypeVar("A", bound=Actor)
P = ParamSpec("P")


class Dynamic(Overseer, Generic[P, A]):
    """A supervisor of children made by `start(*args)`; `restart`, `shutdown`, `significant` are theirs.

    As a child of its own supervisor it is permanent and stops without a limit. A running one is used through
    `system.dynamic(path, start)`. Raises BadSpec.
    """

    def __init__(
        self,
        start: Callable[P, A],
        *,
        id: str,
        max_children: int | None = None,
        restart: Restart = Restart.TEMPORARY,
        shutdown: float = 5.0,
        significant: bool = False,
        start_timeout_s: float = 30.0,
        intensity: int = 1,
        period_s: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(
            id,
            intensity=intensity,
            period_s=period_s,
            auto_shutdown=auto_shutdown,
            backoff=backoff,
            restart=Restart.PERMANENT,
            shutdown=INFINITY,
            significant=False,
        )
        if max_children is not None and max_children < 1:
            raise BadSpec(f"{id}: max_children must be 1 or more, or None, not {max_children!r}")
        if not callable(start):
            raise BadSpec(f"{id}: start must be callable, not {start!r}")
        self.start = start
        self.max_children = max_children
        self.template: Child[Actor] = Child(
            _never,
            id=id,
            restart=restart,
            shutdown=shutdown,
            significant=significant,
            start_timeout_s=start_timeout_s,
        )

        if not self._ends_for(self.template):
            raise BadSpec(f"{id}: children are significant, but auto_shutdown is NEVER")

    def init(self) -> None:
        """Begin without children."""
        self._open()
        self._ids = map(str, count_up(1))

    async def terminate(self, reason: Exit) -> None:
        """Stop all children at the same time: it takes as long as the slowest."""
        refs = list(self.children.values())
        ending = Shutdown() if self.template.shutdown > 0 else Killed()
        for ref in refs:
            ref._intent = HALT
            if ref._actor is not None:
                end(ref, ref._actor, ending)
        try:
            for ref in refs:
                if ref._phase is STOPPING:
                    await ref.down()
        except asyncio.CancelledError:
            for ref in refs:
                kill(ref)
            raise
        self.children.clear()

    async def start_child(self, *args: P.args, **kwargs: P.kwargs) -> Ref[A]:
        """Start a child; see `DynamicRef.start`, which does it without a message."""
        return await DynamicRef(self.ref).start(*args, **kwargs)

    def _add(self, make: Callable[[], A]) -> Ref[A]:
        """Give a child that has yet to start its address. Raises TooManyChildren."""
        above = self.ref
        children = above._children
        assert children is not None, "there from init on"
        if self.max_children is not None and len(children) >= self.max_children:
            raise TooManyChildren(self.max_children)
        ref: Ref[A] = Ref(above._system, above, self.template, make, next(self._ids))
        children[ref.id] = ref
        return ref

    def count_children(self) -> Counts:
        """As every overseer; all of them have the same one spec."""
        return replace(super().count_children(), specs=1)

    def terminate_child(self, id: str) -> Awaitable[None]:
        """Stop one child for good. Refuses: NoSuchChild."""
        ref = self._child(id)
        self._let_go(ref)
        cut(ref)
        return self.task(halt(ref))

    def _leave(self, ref: Cell) -> None:
        """Forget it, whatever its restart kind: `restart_child` is for fixed children only."""
        self._forget(ref)


class DynamicRef(Generic[P, A]):
    """The typed front door of a running Dynamic; stays good over its restarts."""

    __slots__ = ("ref",)

    def __init__(self, ref: Ref[Dynamic[P, A]]) -> None:
        self.ref = ref

    @property
    def count(self) -> int:
        """How many children there are, those coming back included."""
        return len(self.ref._children or ())

    def __iter__(self) -> Iterator[Ref[A]]:
        """The children as they are now."""
        return iter(list((self.ref._children or {}).values()))  # type: ignore[arg-type] # made by `start`

    async def start(self, *args: P.args, **kwargs: P.kwargs) -> Ref[A]:
        """Start a child with these arguments; return when it is up.

        Cancelling this stops the child. Raises TooManyChildren, StartFailed, Gone (the supervisor is not there, or has
        abandoned who asks).
        """
        dynamic = self.ref._actor
        system = self.ref._system
        if dynamic is None or (system.abandoned and system.is_fenced):
            raise Gone(self.ref.path, NoProc())
        ref = dynamic._add(partial(dynamic.start, *args, **kwargs) if args or kwargs else dynamic.start)
        try:
            started = begin(ref)
            dynamic._ready(ref, started if isinstance(started, bool) else await born(ref, started))
        except BaseException:
            dynamic._let_go(ref)
            raise
        return ref

    async def stop(self, child: Ref[A]) -> None:
        """Stop one child, as its shutdown says; one that has ended is fine. Raises NoSuchChild: it is not ours."""
        if child._above is not self.ref:
            raise NoSuchChild(child.path)
        dynamic = self.ref._actor
        if self.ref._system.is_fenced:
            raise Gone(self.ref.path, NoProc())
        if dynamic is not None:
            dynamic._let_go(child)
        await halt(child)


def _never() -> Actor:
    raise AssertionError("each child of a Dynamic has a start of its own")
