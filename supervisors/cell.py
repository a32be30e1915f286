"""The ground floor: what the kernel keeps of one child, of one life, and of one tree.

A `Cell` is a child's: its mailbox, its phase, what its supervisor means to do with it. `Ref` is a Cell that others may
talk to: one object and not two, because a second one per actor would be a third of its memory. A `Life` is the kernel's
part of an actor, and `Shared` that of a running tree. The three name each other, so they stand in one module, below all
that works on them. Underscored names are the kernel's own.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeAlias

from supervisors.deadlines import Deadlines
from supervisors.debts import Debt
from supervisors.errors import Interrupted
from supervisors.events import Event, Hook
from supervisors.exits import Exit, NoProc
from supervisors.mailbox import Mailbox, Message, WhenFull
from supervisors.registry import Registry
from supervisors.spec import Child


class LifePhase(Enum):
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
    """The intent of a child that is being started by hand: an object for each start, so a stale one is known."""


class Repair:
    """The intent of a child whose restart is in progress: an object for each attempt, shared by all that it restarts.

    A child that was stopped and has crashed again since then has another Repair; a wait or a timer of the first one
    compares the two, and does nothing.
    """

    __slots__ = ("group",)

    def __init__(self, group: list[Cell]) -> None:
        self.group = group


# By these names, because looking a member up on its class costs 0.09 us on 3.11 and a name of a module 0.01: a quarter
# of a start, which compares a dozen of them.
DOWN, STARTING, UP, STOPPING = LifePhase
KEEP, HALT = Intent


class Cancellable(Protocol):
    """What a life holds: cancelled when it ends."""

    def cancel(self) -> object:
        """Undo it; nothing happens the second time."""


class Ending(Protocol):
    """The end of a life, while it waits for something."""

    def hurry(self) -> None:
        """Wait no longer: kill."""


class Life:
    """The kernel's part of an actor: what one life holds, and what is called of its class (`actor.py` says when)."""

    __slots__ = ("_held", "_owed", "_replying", "_task", "_waker", "ref")

    mailbox_limit: ClassVar[int]
    when_full: ClassVar[WhenFull]
    keeps_mailbox: ClassVar[bool]

    _wake: ClassVar[Callable[[Life], None]]
    _overrides: ClassVar[dict[Callable[..., object], Callable[..., object]]]
    _redacts: ClassVar[bool]
    _inits: ClassVar[bool]
    _terminates: ClassVar[bool]

    ref: Cell
    _held: dict[Cancellable, None] | None  # no sets: what a life has is cancelled in the order it was taken
    _owed: dict[Debt, None] | None
    _replying: Future[object] | None
    _task: asyncio.Task[object] | None
    _waker: Future[None] | None

    def init(self) -> object:
        """Begin."""
        raise NotImplementedError

    def terminate(self, reason: Exit) -> Awaitable[object] | None:
        """End."""
        raise NotImplementedError

    def redact(self, error: BaseException) -> BaseException:
        """Return what is reported of a crash."""
        raise NotImplementedError

    def _child_down(self, child: Cell, reason: Exit) -> None:
        """A child's life has ended. Called once for each that was up, or was stopped on purpose."""
        raise AssertionError("only supervisors have children")

    def _hold(self, thing: Cancellable) -> None:
        """Have `thing` cancelled when this life ends: at once, when it has."""
        if self.ref._actor is not self:
            thing.cancel()
        elif self._held is None:
            self._held = {thing: None}
        else:
            self._held[thing] = None

    def _drop(self, thing: Cancellable) -> None:
        if self._held is not None:
            self._held.pop(thing, None)


Watchers: TypeAlias = "dict[Any, Callable[[Cell, Exit], None] | None]"
"""Who is to be told of an end. With None the key is a future of it."""


class Cell:
    """One child of a supervisor, over all its lives."""

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

    _kind: type[Life]  # of the last life; there once one has ended, for the census
    _actor: Life | None

    def __init__(
        self, system: Shared, above: Cell | None, spec: Child[Life], make: Callable[[], Life], id: str
    ) -> None:
        self.id = id
        self._system = system
        self._above = above
        self._spec = spec
        self._make: Callable[[], Life] | None = make
        self._actor = None
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
        self._children: dict[str, Cell] | None = None
        self._closing: Ending | None = None
        self._prefix: str | None = None  # of its children's paths
        self._context: contextvars.Context | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path} {self._phase.name.lower()}>"

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

    @property
    def own_task(self) -> asyncio.Task[object] | None:
        """The task that runs its handlers or its `init`, if there is one now."""
        return None if self._actor is None else self._actor._task

    def down(self) -> Future[Exit]:
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

    def _watch(self, key: object, callback: Callable[[Cell, Exit], None]) -> None:
        self._all_watchers()[key] = callback

    def _unwatch(self, key: object) -> None:
        if isinstance(self._watchers, dict):
            self._watchers.pop(key, None)

    def _all_watchers(self) -> Watchers:
        watchers = self._watchers
        if not isinstance(watchers, dict):
            self._watchers = watchers = {} if watchers is None else {watchers: None}
        return watchers

    def _urge(self, actor: Life, message: Message, *, deferred: bool = False, first: bool = False) -> None:
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


class Shared:
    """What the lives of one running tree share. `n_refused`, `n_dropped`: messages that full mailboxes did not take."""

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
        "spare",
        "woken",
    )

    def __init__(self, hook: Hook | None, entropy: Callable[[], float]) -> None:
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self.loop)
        self.context = contextvars.copy_context()
        self.hook = hook
        self.entropy = entropy
        self.registry: Registry[Cell] = Registry()
        self.current: Cell | None = None
        """Whose handler runs this moment, in the drain engine; in the other the current task is named for it."""
        self.abandoned: set[asyncio.Task[object] | None] = set()
        """Tasks that outlived the kill ladder. What they send is dropped."""
        self.spare: list[Mailbox] = []
        """Empty mailboxes of actors that went idle, up to N_SPARE: making one costs 0.25 us, 6 % of an ask."""
        self.n_alone = 0
        """How many mailboxes wait for a callback of their own."""
        self.woken: deque[Life] = deque()
        """Whose mailboxes wait for one that drains several, in the order they were woken."""
        self.room = 0
        """How many more the last callback that was scheduled for that will serve."""
        self.n_refused = 0
        self.n_dropped = 0
        self._body: asyncio.Task[object] | None = None
        self._fell: Exit | None = None
        self._pulled: deque[tuple[Life, Exit]] | None = None

    @property
    def is_fenced(self) -> bool:
        """Whether the code that runs now belongs to an abandoned task. What that sends is dropped."""
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

    def pull(self, actor: Life, reason: Exit) -> None:
        """Queue the end of a life whose linked life has ended. Called by the kernel, after `hold_links`."""
        assert self._pulled is not None, "only an end pulls"
        self._pulled.append((actor, reason))

    def hold_links(self) -> bool:
        """From now on queue the lives that end because a linked one has. They end when its end has been told.

        Returns whether the caller is to end the queued ones; False when an outer call does. A chain of links ends one
        after the other and not one inside the other, because it may be longer than the stack. Called by the kernel.
        """
        if self._pulled is not None:
            return False
        self._pulled = deque()
        return True
