"""Lives in other processes, monitored and linked as those of this one.

What it does: a FarRef says which process and which actor, and its *herald* hears of the end; the wait for that is a
task of the life that waits. What it does not: connect processes (whoever does is the herald), ask or tell (what
travels between processes is a message of its own).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from supervisors.bonds import run_beside
from supervisors.cell import Life
from supervisors.end import end
from supervisors.exits import Exit, Normal
from supervisors.ref import Ref


@dataclass(frozen=True, slots=True)
class FarRef:
    """The address of an actor in another process. `path`: its path there, or the key of the name it has registered."""

    process: str
    path: str
    herald: Herald = field(repr=False, compare=False)


class Herald(Protocol):
    """Who hears from other processes; its refs name it."""

    async def end_of(self, ref: FarRef, linked: Ref[Any] | None = None) -> Exit:
        """Wait for the end of the life that is at `ref` now, and return its reason.

        NoProc, at once, when there is none. NoConnection when its process goes, or is not heard any more. `linked`: it
        is to end with the present life of `linked`, unless that ends Normal. Cancelled: wait no longer; a `linked` that
        still lives is linked no more.
        """
        ...


class Vigil:
    """The wait for an end in another process: what `monitor` and `link` give for a FarRef."""

    __slots__ = ("_task", "_told")

    def __init__(self, actor: Life, ending: Coroutine[object, None, Exit], told: Callable[[Exit], None]) -> None:
        self._told: Callable[[Exit], None] | None = told
        self._task: asyncio.Task[Exit] | None = None
        if actor.ref._actor is actor:
            self._task = run_beside(actor, ending)
            self._task.add_done_callback(self._ended)
        else:  # it is in its `terminate`
            ending.close()

    def __call__(self, _: Life, notice: Callable[[], object]) -> object:
        """Run `notice`, unless cancelled: what the mailbox does when it is its turn."""
        return None if self._told is None else notice()

    @property
    def name(self) -> str:
        """What it runs, for reports."""
        return "on_down"

    def cancel(self) -> None:
        """No notice any more; what was linked parts."""
        self._told = None
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[Exit]) -> None:
        if self._told is not None and not task.cancelled() and task.exception() is None:
            self._told(task.result())


def monitor(actor: Life, ref: FarRef, on_down: Callable[[FarRef, Exit], object]) -> Vigil:
    """Have `on_down` called with `ref` when the life that is there now ends."""

    def notice(reason: Exit) -> None:
        actor.ref._urge(actor, (vigil, (partial(on_down, ref, reason),), {}, None))

    vigil = Vigil(actor, ref.herald.end_of(ref), notice)
    return vigil


def link(actor: Life, near: Ref[Any], ref: FarRef) -> Vigil:
    """Have both lives end together, unless Normal. `near`: the address of `actor`."""
    return _tied(actor, ref.herald.end_of(ref, near))


def tie(ref: Ref[Any], ending: Coroutine[object, None, Exit]) -> None:
    """End the present life of `ref` for the reason that `ending` returns, unless Normal.

    For heralds: the near half of a link that was made in another process.
    """
    if ref._actor is None:
        ending.close()
    else:
        assert ref._context is not None
        ref._context.copy().run(_tied, ref._actor, ending)


def _tied(actor: Life, ending: Coroutine[object, None, Exit]) -> Vigil:
    def pull(reason: Exit) -> None:
        if not isinstance(reason, Normal):
            end(actor.ref, actor, reason)

    return Vigil(actor, ending, pull)
