"""The address of an actor: ask it, tell it, wait for its end.

A Ref is stable: restarts put a new actor behind it, and what was addressed to the old one fails at once. It is also
the kernel's cell for one child (mailbox, phase, what its supervisor means to do with it), because a second object per
actor would be a third of its memory. The underscored slots belong to `life.py`, `engine.py` and `overseer.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from supervisors.errors import AskedItself, Gone, Overloaded
from supervisors.exits import Exit, NoProc
from supervisors.mailbox import Mailbox, Message, WhenFull

if TYPE_CHECKING:
    from contextvars import Context

    from supervisors.actor import Actor
    from supervisors.end import Closing
    from supervisors.overseer import Overseer
    from supervisors.spec import Child
    from supervisors.system import System

A_co = TypeVar("A_co", bound="Actor", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")

DEADLINE_S: Final = 5.0
"""How long an ask waits unless `within` says otherwise; OTP's default."""


class Phase(Enum):
    """Where a life is."""

    DOWN = "no life"
    STARTING = "init has not returned"
    UP = "handles messages"
    STOPPING = "handles no more, has not ended"


class Intent(Enum):
    """What the supervisor means to do when the child ends."""

    KEEP = "go by its restart kind"
    REPAIR = "nothing: it is being brought back already"
    HALT = "nothing: it was stopped on purpose"


class Ref(Generic[A_co]):
    """The address of an actor of class A."""

    __slots__ = (
        "__weakref__",
        "_above",
        "_actor",
        "_box",
        "_children",
        "_closing",
        "_context",
        "_intent",
        "_last",
        "_lives",
        "_make",
        "_phase",
        "_scheduled",
        "_since",
        "_spec",
        "_system",
        "_watchers",
        "id",
    )

    def __init__(
        self, system: System, above: Ref[Overseer] | None, spec: Child[Actor], make: Callable[[], Actor], id: str
    ) -> None:
        self.id = id
        self._system = system
        self._above = above
        self._spec = spec
        self._make: Callable[[], Actor] | None = make
        self._actor: A_co | None = None
        self._phase = Phase.DOWN
        self._intent = Intent.KEEP
        self._lives = 0
        self._since = 0.0
        self._last: Exit | str | None = None
        self._box: Mailbox | None = None
        self._scheduled = False
        self._watchers: dict[object, Callable[[Ref[Actor], Exit], None]] | None = None
        self._children: dict[str, Ref[Actor]] | None = None
        self._closing: Closing | None = None
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<Ref {self.path} {self._phase.name.lower()}>"

    @property
    def path(self) -> str:
        """The ids from the root down, as in `links/zmq`; the root is `/`."""
        if self._above is None:
            return "/"
        return self.id if self._above._above is None else f"{self._above.path}/{self.id}"

    @property
    def is_alive(self) -> bool:
        """Whether messages are taken: it is up, or starting."""
        return self._actor is not None

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
        return self._request(DEADLINE_S, handler, args, kwargs)

    def within(self, seconds: float) -> Within[A_co]:
        """Return this address with another deadline: `await ref.within(0.5).ask(Pool.take)`."""
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

    def down(self) -> asyncio.Future[Exit]:
        """Return a future of how the present life ends; NoProc at once when there is none."""
        future: asyncio.Future[Exit] = self._system.loop.create_future()
        if self._phase is Phase.DOWN:
            future.set_result(NoProc())
        else:
            self._watch(future, lambda _, reason: None if future.done() else future.set_result(reason))
        return future

    def _watch(self, key: object, callback: Callable[[Ref[Actor], Exit], None]) -> None:
        if self._watchers is None:
            self._watchers = {}
        self._watchers[key] = callback

    def _unwatch(self, key: object) -> None:
        if self._watchers is not None:
            self._watchers.pop(key, None)

    def _request(
        self, seconds: float, handler: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> asyncio.Future[object]:
        system = self._system
        future: asyncio.Future[object] = system.loop.create_future()
        actor = self._actor
        if actor is None:
            future.set_exception(Gone(self.path, NoProc()))
        elif system.current is self or (actor._task is not None and actor._task is asyncio.current_task()):
            future.set_exception(AskedItself(self.path))
        elif self._accept(actor, (handler, args, kwargs, future)):
            system.wheel.arm(future, seconds)
        else:
            future.set_exception(Overloaded(self.path, actor.mailbox_limit))
        return future

    def _accept(self, actor: Actor, message: Message) -> bool:
        """Put `message` into the user lane; return whether it was taken."""
        system = self._system
        if system.abandoned and asyncio.current_task() in system.abandoned:
            return False
        box = self._box
        if box is None:
            box = self._box = Mailbox()
        if len(box.user) >= actor.mailbox_limit and not self._overflow(actor, box, message):
            system.n_refused += 1
            return False
        box.user.append(message)
        if not self._scheduled:
            self._scheduled = True
            actor._wake()
        return True

    def _overflow(self, actor: Actor, box: Mailbox, message: Message) -> bool:
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

    def _urge(self, actor: Actor, message: Message, *, deferred: bool = False, first: bool = False) -> None:
        """Put `message` for this very life into the control lane, or before it."""
        if self._actor is not actor:
            return
        box = self._box
        if box is None:
            box = self._box = Mailbox()
        if deferred:
            box.defer(message, first)
        else:
            box.urge(message)
        if not self._scheduled:
            self._scheduled = True
            actor._wake()


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
        return self._ref._request(self._seconds, handler, args, kwargs)
