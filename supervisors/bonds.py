"""What ties a life to time, to work of its own and to other lives: timers, tasks, monitors, links.

Each belongs to the life that made it and is cancelled at its end; all of them speak through the control lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Generic, TypeVar

from supervisors.cell import Cell, Life
from supervisors.end import end, stop
from supervisors.errors import Gone, Refused
from supervisors.exits import Crash, Exit, NoProc, Normal

C = TypeVar("C", bound=Cell)
R = TypeVar("R")


def run_beside(actor: Life, work: Coroutine[object, None, R]) -> asyncio.Task[R]:
    """Run `work` beside the handlers; see `Actor.task`."""
    ref = actor.ref
    if ref._actor is not actor:
        work.close()
        raise Gone(ref.path, NoProc())
    task = ref._system.loop.create_task(work, name=f"{ref.path} {getattr(work, '__qualname__', work)}")
    actor._hold(task)
    task.add_done_callback(partial(_task_ended, actor))
    return task


def _task_ended(actor: Life, task: asyncio.Task[R]) -> None:
    actor._drop(task)
    ref = actor.ref
    if ref._actor is not actor:
        return
    if task.cancelled():
        if task.cancelling() == 0:  # nobody cancelled it: a CancelledError has leaked out of something inside
            end(ref, actor, Crash(asyncio.CancelledError()), during=task.get_name())
        return
    error = task.exception()
    is_answer = actor._owed is not None and any(later is task for later, _ in actor._owed)
    if error is not None and not (is_answer and isinstance(error, Refused)):
        end(ref, actor, Crash(error), during=task.get_name())


class Timer:
    """A message to oneself, later. Cancelling works until the handler begins, even when the time has come."""

    __slots__ = ("_actor", "_args", "_handle", "_handler", "_kwargs")

    def __init__(
        self,
        actor: Life,
        seconds: float,
        handler: Callable[..., object],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        self._actor = actor
        self._handler: Callable[..., object] | None = handler
        self._args = args
        self._kwargs = kwargs
        self._handle: asyncio.TimerHandle = actor.ref._system.loop.call_later(seconds, self._ring)
        actor._hold(self)

    def cancel(self) -> None:
        """The message is not handled any more."""
        self._handler = None
        self._handle.cancel()
        self._actor._drop(self)

    def _ring(self) -> None:
        self._actor._drop(self)
        self._actor.ref._urge(self._actor, (self, (), {}, None))

    @property
    def name(self) -> str:
        """What it runs, for reports."""
        return getattr(self._handler, "__qualname__", "")

    def __call__(self, actor: Life) -> object:
        """Run the handler, once: what the mailbox does when it is this timer's turn."""
        handler = self._handler
        if handler is None:
            return None
        handler = actor._overrides.get(handler, handler)
        return handler(actor, *self._args, **self._kwargs)


class Monitor(Generic[C]):
    """One Down notice, `on_down(ref, reason)`, when the present life of `ref` ends; NoProc when there is none.

    Cancelling works until the handler begins, as with a timer.
    """

    __slots__ = ("_actor", "_is_cancelled", "_on_down", "_target")

    def __init__(self, actor: Life, target: C, on_down: Callable[[C, Exit], object]) -> None:
        self._actor = actor
        self._target = target
        self._on_down = on_down
        self._is_cancelled = False
        if target.is_alive:
            target._watch(self, self._notice)
            actor._hold(self)
        else:
            self._notice(target, NoProc())

    def cancel(self) -> None:
        """No notice any more."""
        self._is_cancelled = True
        self._target._unwatch(self)
        self._actor._drop(self)

    def _notice(self, _: Cell, reason: Exit) -> None:
        self._actor._drop(self)
        self._actor.ref._urge(self._actor, (self, (reason,), {}, None))

    @property
    def name(self) -> str:
        """What it runs, for reports."""
        return getattr(self._on_down, "__qualname__", "")

    def __call__(self, _: Life, reason: Exit) -> object:
        """Run the handler: what the mailbox does when it is this notice's turn."""
        return None if self._is_cancelled else self._on_down(self._target, reason)


class Link:
    """Two lives that end together: when one ends other than Normal, the other ends for the same reason."""

    __slots__ = ("_actor", "_target")

    def __init__(self, actor: Life, target: Cell) -> None:
        self._actor = actor
        self._target = target
        other = target._actor
        if actor.ref._actor is not actor:
            return  # it is not there any more, or in its `terminate`
        if other is None:
            stop(actor, NoProc())
            return
        target._watch(self, lambda _, reason: self._pull(actor, reason))
        actor.ref._watch(self, lambda _, reason: self._pull(other, reason))
        actor._hold(self)

    def cancel(self) -> None:
        """Undo the link. When this life's own end cancels it, the other life is still told of that end."""
        self._target._unwatch(self)
        if self._actor.ref._actor is self._actor:
            self._actor.ref._unwatch(self)
        self._actor._drop(self)

    def _pull(self, survivor: Life, reason: Exit) -> None:
        self._actor._drop(self)
        survivor.ref._unwatch(self)
        if not isinstance(reason, Normal):
            survivor.ref._system.pull(survivor, reason)
