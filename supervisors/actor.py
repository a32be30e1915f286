"""The actor: a plain class whose methods are its messages.

Everything inside runs one handler at a time, in one thread. What it holds (tasks, timers, monitors, names) belongs to
one life and ends with it. State belongs to one life too: a restart makes a new instance.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import ClassVar, Concatenate, ParamSpec, Self, TypeVar

from supervisors import far
from supervisors.bonds import Link, Monitor, Timer, run_beside
from supervisors.cell import Cancellable, Life
from supervisors.end import stop
from supervisors.engine import wake_drain, wake_drive
from supervisors.errors import BadSpec, NoSuchChild
from supervisors.exits import Exit, Normal
from supervisors.life import Ignore
from supervisors.mailbox import WhenFull
from supervisors.ref import Ref, expect
from supervisors.registry import Name
from supervisors.system import System

A = TypeVar("A", bound="Actor")
P = ParamSpec("P")
R = TypeVar("R")

Handler = Callable[..., object]


class Actor(Life):
    """Subclass it; write the messages as methods, `def` or `async def`.

    All `def` (but for `init` and `terminate`): handlers run in a callback, an idle actor has no task. Any `async def`:
    one task per actor. `__init__` takes what the start gives and does no work: `self.ref` is there from `init` on.
    """

    __slots__ = ()

    mailbox_limit: ClassVar[int] = 1000
    """Messages the user lane holds."""
    when_full: ClassVar[WhenFull] = WhenFull.REFUSE
    """What happens to the next."""
    keeps_mailbox: ClassVar[bool] = False
    """Whether messages that a life has not begun are the next one's, if that begins in the same turn of the loop."""

    _wake: ClassVar[Callable[[Life], None]] = wake_drain
    _overrides: ClassVar[dict[Handler, Handler]] = {}
    _redacts: ClassVar[bool] = False
    _inits: ClassVar[bool] = False
    _terminates: ClassVar[bool] = False

    ref: Ref[Self]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.mailbox_limit < 1:
            raise BadSpec(f"{cls.__name__}: mailbox_limit must be 1 or more, not {cls.mailbox_limit}")
        handlers = {name: getattr(cls, name) for name in dir(cls) if inspect.isfunction(getattr(cls, name, None))}
        waits = any(inspect.iscoroutinefunction(handlers[name]) for name in handlers.keys() - {"init", "terminate"})
        cls._wake = wake_drive if waits else wake_drain
        cls._redacts = cls.redact is not Actor.redact
        cls._inits = cls.init is not Actor.init
        cls._terminates = cls.terminate is not Actor.terminate
        cls._overrides = {
            base.__dict__[name]: handler
            for name, handler in handlers.items()
            for base in cls.__mro__
            if inspect.isfunction(base.__dict__.get(name)) and base.__dict__[name] is not handler
        }

    def init(self) -> Awaitable[Ignore | None] | Ignore | None:
        """Begin; `def` or `async def`. The start returns when this has. May return IGNORE."""
        return None

    def terminate(self, reason: Exit) -> Awaitable[None] | None:
        """End; `def` or `async def`. Runs after a crash as well, not after a kill. Clean up at the start as well."""
        return None

    def on_down(self, ref: Ref[Actor] | far.FarRef, reason: Exit) -> Awaitable[None] | None:
        """A monitored life has ended; `def` or `async def`."""
        return None

    def redact(self, error: BaseException) -> BaseException:
        """Return what is reported of `error`, this life's crash: itself, or another where it may quote somebody.

        For events and the census (OTP: format_status); whoever asked, monitors or is linked gets the error itself.
        """
        return error

    @property
    def system(self) -> System:
        """The running system this actor lives in."""
        return self.ref._system  # type: ignore[return-value] # what lives share is always made as a System

    def after(
        self, seconds: float, handler: Callable[Concatenate[Self, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> Timer:
        """Have `handler` run in `seconds`, unless cancelled. It goes before other people's messages."""
        return Timer(self, seconds, handler, args, kwargs)

    def defer(self, handler: Callable[Concatenate[Self, P], object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have `handler` run next, before any message; several run in the order deferred (OTP: continue)."""
        self.ref._urge(self, (handler, args, kwargs, None), deferred=True)

    def task(self, work: Coroutine[object, None, R]) -> asyncio.Task[R]:
        """Run `work` beside the handlers. It is cancelled when this life ends; if it raises, this life crashes.

        Return the task from a handler to answer with its result later; a Refused it raises is then the answer.
        """
        return run_beside(self, work)

    def monitor(self, ref: Ref[Actor] | far.FarRef) -> Cancellable:
        """Have `on_down` called, once, when the present life of `ref` ends; cancelled: not any more."""
        if isinstance(ref, far.FarRef):
            return far.monitor(self, ref, self.on_down)
        return Monitor(self, ref, self.on_down)

    def link(self, ref: Ref[Actor] | far.FarRef) -> Cancellable:
        """End together with the present life of `ref`, unless it ends Normal, and the other way round."""
        if isinstance(ref, far.FarRef):
            return far.link(self, self.ref, ref)
        return Link(self, ref)

    def stop(self, reason: Exit = Normal()) -> None:  # noqa: B008 - a frozen value
        """End after the handler that runs now, whose answer still goes out; before any other message."""
        stop(self, reason)

    def register(self, name: Name[Self]) -> None:
        """Be found by `name` for the rest of this life. Raises NameTaken."""
        self._hold(self.ref._system.registry.register(name.key, self.ref))

    def sibling(self, id: str, cls: type[A]) -> Ref[A]:
        """Return another child of the same supervisor. Raises NoSuchChild; TypeError when it is no `cls`."""
        above = self.ref._above
        children = above._children if above is not None else None
        if not children or id not in children:
            raise NoSuchChild(id)
        return expect(children[id], cls)
