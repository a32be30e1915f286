"""The address of an actor: ask it, tell it, wait for its end.

A Ref is stable: restarts put a new actor behind it, and what was addressed to the old one fails at once. It is also
the kernel's cell for one child (mailbox, phase, what its supervisor means to do with it), because a second object per
actor would be a third of its memory. The underscored slots belong to `life.py`, `engine.py` and `overseer.py`.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, current_task
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

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


class Phase(Enum):
    """Where a life is."""

    DOWN = "no life"
    STARTING = "init has not returned"
    UP = "handles messages"
    STOPPING = "handles no more, has not ended"


class Intent(Enum):
    """What the supervisor means to do when the child ends."""

    KEEP = "go by its restart kind"
    HALT = "nothing: it was stopped on purpose"


class Start:
    """Another intent: it is being started by hand. One that is terminated and started again meanwhile has another."""


class Repair:
    """Another intent: nothing, for it is being brought back already. One attempt, the same for all that it moves.

    A child that was stopped and has crashed again since then has another, and what the first has left behind (a wait, a
    timer) does not move it any more.
    """

    __slots__ = ("group",)

    def __init__(self, group: list[Ref[Actor]]) -> None:
        self.group = group


# By these names, because looking a member up on its class costs 0.09 us on 3.11 and a name of a module 0.01: a quarter
# of a start, which compares a dozen of them.
DOWN, STARTING, UP, STOPPING = Phase
KEEP, HALT = Intent


Watchers: TypeAlias = "dict[Any, Callable[[Ref[Actor], Exit], None] | None]"
"""Who is to be told of an end. With None the key is a future of it."""


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
        "_failure",
        "_handled",
        "_intent",
        "_kind",
        "_last",
        "_lives",
        "_make",
        "_phase",
        "_prefix",
        "_scheduled",
        "_since",
        "_spec",
        "_system",
        "_watchers",
        "id",
    )

    _kind: type[Actor]  # of the last life; there once one has ended, for the census

    def __init__(
        self, system: System, above: Ref[Overseer] | None, spec: Child[Actor], make: Callable[[], Actor], id: str
    ) -> None:
        self.id = id
        self._system = system
        self._above = above
        self._spec = spec
        self._make: Callable[[], Actor] | None = make
        self._actor: A_co | None = None
        self._phase = DOWN
        self._intent: Intent | Repair | Start = KEEP
        self._lives = 0
        self._since = 0.0
        self._last: Exit | str | None = None
        self._failure: tuple[str, str] | None = None  # the text of the error, and the handler
        self._handled = 0
        self._box: Mailbox | None = None
        self._scheduled = False
        self._watchers: Watchers | Future[Exit] | None = None
        self._children: dict[str, Ref[Actor]] | None = None
        self._closing: Closing | None = None
        self._prefix: str | None = None  # of its children's paths
        self._context: Context | None = None

    def __repr__(self) -> str:
        return f"<Ref {self.path} {self._phase.name.lower()}>"

    @property
    def path(self) -> str:
        """The ids from the root down, as in `links/zmq`; the root is `/`."""
        above = self._above
        if above is None:
            return "/"
        if above._prefix is None:
            above._prefix = "" if above._above is None else f"{above.path}/"
        return above._prefix + self.id

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

    def down(self) -> asyncio.Future[Exit]:
        """Return a future of how the present life ends; NoProc at once when there is none."""
        end: Future[Exit] = Future(loop=self._system.loop)
        if self._phase is DOWN:
            end.set_result(NoProc())
        elif self._watchers is None:
            self._watchers = end  # a dict for the usual one would be three times as large as all else here
        else:
            watchers = self._all_watchers()
            n = len(watchers)
            if not n & (n - 1):  # now and then, those given up are forgotten: this life may be a long one
                self._watchers = watchers = {key: watch for key, watch in watchers.items() if watch or not key.done()}
            watchers[end] = None
        return end

    def _watch(self, key: object, callback: Callable[[Ref[Actor], Exit], None]) -> None:
        self._all_watchers()[key] = callback

    def _unwatch(self, key: object) -> None:
        if isinstance(self._watchers, dict):
            self._watchers.pop(key, None)

    def _all_watchers(self) -> Watchers:
        watchers = self._watchers
        if not isinstance(watchers, dict):
            self._watchers = watchers = {} if watchers is None else {watchers: None}
        return watchers

    def _is_asking(self, actor: Actor) -> bool:
        """Return whether it is this actor that runs now."""
        return self._system.current is self or (actor._task is not None and actor._task is current_task())

    def _accept(self, actor: Actor, message: Message) -> bool:
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
            spare = self._system.spare
            box = self._box = spare.pop() if spare else Mailbox()
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
        future: Future[object] = self._ref.ask(handler, *args, **kwargs)
        self._ref._system.deadlines.change(future, self._seconds)
        return future
