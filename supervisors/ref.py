"""The address of an actor: ask it, tell it, wait for its end.

A Ref is stable: restarts put a new actor behind it, and what was addressed to the old one fails at once. What the
kernel itself keeps of the child is in the same object, and described where that is (`cell.py`).
"""

from __future__ import annotations

import asyncio
from asyncio import Future, current_task
from collections.abc import Awaitable, Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, overload

from supervisors.cell import Cell, Life
from supervisors.errors import AskedItself, Gone, Overloaded
from supervisors.exits import NoProc
from supervisors.mailbox import Mailbox, Message, WhenFull

A_co = TypeVar("A_co", bound=Life, covariant=True)
L = TypeVar("L", bound=Life)
P = ParamSpec("P")
R = TypeVar("R")


class Ref(Cell, Generic[A_co]):
    """The address of an actor of class A."""

    __slots__ = ()

    _actor: A_co | None

    @overload
    def ask(
        self, handler: Callable[Concatenate[A_co, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]: ...

    @overload
    def ask(
        self, handler: Callable[Concatenate[A_co, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]: ...

    def ask(self, handler: Callable[..., object], /, *args: object, **kwargs: object) -> object:
        """Have the actor run `handler` and return a future of its answer; the deadline is 5 s.

        The future fails with Gone (it was, or went, away), AskTimeout, Overloaded, AskedItself, or the Refused its
        handler raised. It never hangs: an actor that ends fails all it owes at once.
        """
        system = self._system
        future: Future[object] = Future(loop=system.loop)
        actor = self._actor
        if actor is None:
            future.set_exception(Gone(self.path, NoProc()))
        elif self._scheduled and self._is_asking(actor):
            future.set_exception(AskedItself(self.path))
        elif self._accept(actor, (handler, args, kwargs, future)):
            deadlines = system.deadlines
            deadlines.fresh[future] = self
            if deadlines.ticking is None:
                deadlines.begin()
        else:
            future.set_exception(Overloaded(self.path, actor.mailbox_limit))
        return future

    def within(self, seconds: float) -> Within[A_co]:
        """Return this address with another deadline: `await ref.within(0.5).ask(Pool.take)`. INFINITY: none.

        Raises ValueError or TypeError when that is no number of seconds.
        """
        if not seconds >= 0:
            raise ValueError(f"a deadline is a number of seconds, not {seconds!r}")
        return Within(self, seconds)

    def tell(self, handler: Callable[Concatenate[A_co, P], object], /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Have the actor run `handler`; return False when it is not there or its mailbox is full."""
        actor = self._actor
        return actor is not None and self._accept(actor, (handler, args, kwargs, None))

    async def room(self) -> None:
        """Return when a `tell` would be taken (until another sender is quicker). Raises Gone."""
        while True:
            actor, box = self._actor, self._box
            if actor is None:
                raise Gone(self.path, NoProc())
            if box is None or len(box.user) < actor.mailbox_limit:
                return
            if box.waiters is None:
                box.waiters = []
            waiter: asyncio.Future[None] = self._system.loop.create_future()
            box.waiters.append(waiter)
            await waiter

    def _is_asking(self, actor: Life) -> bool:
        """Return whether it is this actor that runs now."""
        return self._system.current is self or (actor._task is not None and actor._task is current_task())

    def _accept(self, actor: Life, message: Message) -> bool:
        """Put `message` into the user lane; return whether it was taken."""
        system = self._system
        if system.abandoned and system.is_fenced:
            return False
        box = self._box
        if box is None:
            box = self._box = system.spare.pop() if system.spare else Mailbox()
        elif len(box.user) >= actor.mailbox_limit and not self._overflow(actor, box, message):
            system.n_refused += 1
            return False
        box.user.append(message)
        if not self._scheduled:
            self._scheduled = True
            actor._wake()
        return True

    def _overflow(self, actor: Life, box: Mailbox, message: Message) -> bool:
        """Return whether a full user lane takes `message` after all."""
        if actor.when_full is WhenFull.REFUSE:
            return False
        if actor.when_full is WhenFull.WAIT:
            return message[3] is not None  # an asker waits for its answer: the senders bound this lane
        dropped = box.user.popleft()[3]
        if dropped is not None and not dropped.done():
            dropped.set_exception(Overloaded(self.path, actor.mailbox_limit))
        self._system.n_dropped += 1
        return True


class Within(Generic[A_co]):
    """An address with a deadline."""

    __slots__ = ("_ref", "_seconds")

    def __init__(self, ref: Ref[A_co], seconds: float) -> None:
        self._ref = ref
        self._seconds = seconds

    @overload
    def ask(
        self, handler: Callable[Concatenate[A_co, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]: ...

    @overload
    def ask(
        self, handler: Callable[Concatenate[A_co, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[R]: ...

    def ask(self, handler: Callable[..., object], /, *args: object, **kwargs: object) -> object:
        """As `Ref.ask`, with this deadline."""
        future: Future[object] = self._ref.ask(handler, *args, **kwargs)
        self._ref._system.deadlines.change(future, self._seconds)
        return future


def expect(cell: Cell, cls: type[L]) -> Ref[L]:
    """Return the typed address of `cell`. Raises TypeError when its actor, if there is one now, is no `cls`."""
    if cell._actor is not None and not isinstance(cell._actor, cls):
        raise TypeError(f"{cell.path} is a {type(cell._actor).__name__}, not a {cls.__name__}")
    return cell  # type: ignore[return-value] # every cell is made as a Ref; checked as far as it can be
