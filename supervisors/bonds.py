"""What ties a life to time and to other lives: timers, monitors, links.

Each belongs to the life that made it and is cancelled at its end; all of them speak through the control lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from supervisors.exits import Exit, NoProc, Normal

if TYPE_CHECKING:
    import asyncio

    from supervisors.actor import Actor
    from supervisors.ref import Ref


class Cancellable(Protocol):
    """What a life holds: cancelled when it ends."""

    def cancel(self) -> object:
        """Undo it; nothing happens the second time."""


class Timer:
    """A message to oneself, later. Cancelling works until the handler begins, even when the time has come."""

    __slots__ = ("_actor", "_args", "_handle", "_handler", "_kwargs")

    def __init__(
        self,
        actor: Actor,
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

    def __call__(self, actor: Actor) -> object:
        """Run the handler, once: what the mailbox does when it is this timer's turn."""
        handler = self._handler
        if handler is None:
            return None
        handler = actor._overrides.get(handler, handler)
        return handler(actor, *self._args, **self._kwargs)


class Monitor:
    """One Down notice, `on_down(ref, reason)`, when the present life of `ref` ends; NoProc when there is none.

    Cancelling works until the handler begins, as with a timer.
    """

    __slots__ = ("_actor", "_is_cancelled", "_target")

    def __init__(self, actor: Actor, target: Ref[Actor]) -> None:
        self._actor = actor
        self._target = target
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

    def _notice(self, ref: Ref[Actor], reason: Exit) -> None:
        self._actor._drop(self)
        self._actor.ref._urge(self._actor, (self, (ref, reason), {}, None))

    @property
    def name(self) -> str:
        """What it runs, for reports."""
        return type(self._actor).on_down.__qualname__

    def __call__(self, actor: Actor, ref: Ref[Actor], reason: Exit) -> object:
        """Run the handler: what the mailbox does when it is this notice's turn."""
        return None if self._is_cancelled else actor.on_down(ref, reason)


class Link:
    """Two lives that end together: when one ends other than Normal, the other ends for the same reason."""

    __slots__ = ("_actor", "_target")

    def __init__(self, actor: Actor, target: Ref[Actor]) -> None:
        self._actor = actor
        self._target = target
        other = target._actor
        if actor.ref._actor is not actor:
            return  # it is not there any more, or in its `terminate`
        if other is None:
            actor.stop(NoProc())
            return
        target._watch(self, lambda _, reason: self._pull(actor, reason))
        actor.ref._watch(self, lambda _, reason: self._pull(other, reason))
        actor._hold(self)

    def cancel(self) -> None:
        """They part; but when it is the end of this life that cancels, the other still hears of it."""
        self._target._unwatch(self)
        if self._actor.ref._actor is self._actor:
            self._actor.ref._unwatch(self)
        self._actor._drop(self)

    def _pull(self, survivor: Actor, reason: Exit) -> None:
        self._actor._drop(self)
        survivor.ref._unwatch(self)
        if not isinstance(reason, Normal):
            survivor.ref._system.pull(survivor, reason)
