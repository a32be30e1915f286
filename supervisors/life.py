"""One life of an actor: its beginning. Its end is in `end.py`.

A life is one instance of the actor's class behind its Ref; `ref._actor is actor` is the fence that every message, timer
and task of it must pass. The phases and what moves them:

    DOWN --begin--> STARTING --(init returned)--> UP --end--> STOPPING --(tasks and terminate done)--> DOWN

Whatever can be done without waiting is done at once, inside the call that asked for it: an actor without tasks crashes,
is told to its supervisor, and is back before the failing drain returns. Only waiting makes a task.

A life that ends before it is UP is reported to who started it (StartFailed), not to its supervisor.
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable
from contextvars import Context
from typing import Final

from supervisors.cell import DOWN, STARTING, STOPPING, UP, Cell, Life
from supervisors.end import end, task_of
from supervisors.errors import CRASHES, StartFailed
from supervisors.events import ChildExited, ChildStarted
from supervisors.exits import Crash, Exit, Normal, Shutdown, text_of
from supervisors.ladder import consume


class Ignore:
    """What `init` returns to say: no life now, and that is not an error (OTP: ignore)."""


IGNORE: Final = Ignore()


async def launch(ref: Cell) -> bool:
    """Begin a life and wait until it is up; False when its init said IGNORE. Raises StartFailed."""
    if ref._phase is STOPPING:
        await ref.down()
    started = begin(ref)
    return started if isinstance(started, bool) else await born(ref, started)


def begin(ref: Cell) -> bool | asyncio.Task[object]:
    """Begin a life. True: it is up. False: ignored. A task: its init waits; hand it to `born`. Raises StartFailed."""
    system = ref._system
    ref._context = context = system.context.copy()
    outer, system.current = system.current, ref
    try:
        return context.run(_begin, ref, context)
    except CRASHES as error:
        return _stillborn(ref, error)
    finally:
        system.current = outer


def _begin(ref: Cell, context: Context) -> bool | asyncio.Task[object]:
    assert ref._make is not None, "a temporary child starts once"
    assert ref._phase is DOWN, ref
    actor = ref._make()
    if not isinstance(actor, Life):
        raise TypeError(f"start must make an actor, not {actor!r}")
    actor.ref = ref
    actor._held = actor._owed = actor._replying = actor._task = actor._waker = None
    ref._actor = actor
    ref._phase = STARTING
    ref._scheduled = True  # messages wait until init has returned
    result = actor.init() if actor._inits else None
    if result is None or isinstance(result, Ignore):
        return _decide(ref, actor, result)
    if not isinstance(result, Awaitable):
        raise _rubbish(result)
    actor._task = task_of(ref._system.loop, result, f"{ref.path} init", context)
    return actor._task


async def born(ref: Cell, init: asyncio.Task[object]) -> bool:
    """Wait for an init that waits; as `launch`. Whoever gives up waiting stops the child."""
    actor, limit = ref._actor, ref._spec.start_timeout_s
    init.add_done_callback(consume)  # its error is told as the exit reason, or comes too late to matter
    down = ref.down()  # of this life; may come first: an init that would not stop is abandoned
    try:
        await asyncio.wait((init, down), timeout=limit if limit < float("inf") else None, return_when=FIRST_COMPLETED)
    except asyncio.CancelledError:
        down.cancel()
        if actor is not None:
            end(ref, actor, Shutdown("start cancelled"))
        raise
    if actor is not None and ref._actor is actor:
        if (reason := _outcome(init, limit)) is None:
            down.cancel()
            actor._task = None
            return _decide(ref, actor, init.result())
        end(ref, actor, reason, during="init")
    raise StartFailed(ref.path, await down)


def _outcome(init: asyncio.Task[object], limit: float) -> Exit | None:
    """Return why this init has failed, None when it has not."""
    if not init.done():
        return Crash(TimeoutError(f"init took over {limit} s"))
    if init.cancelled():
        return Crash(asyncio.CancelledError())
    error = init.exception()
    if error is None and not isinstance(result := init.result(), Ignore | None):
        error = _rubbish(result)
    return None if error is None else Crash(error)


def _rubbish(result: object) -> TypeError:
    return TypeError(f"init must return None or IGNORE, not {result!r}")


def _decide(ref: Cell, actor: Life, result: object) -> bool:
    """Init has returned: up, unless it said IGNORE."""
    if isinstance(result, Ignore):
        end(ref, actor, Normal())
        return False
    system = ref._system
    ref._phase = UP
    ref._since = system.loop.time()
    ref._lives += 1
    if system.hook is not None:
        system.emit(ChildStarted(ref.path, ref._lives - 1))
    if ref._box is None:
        ref._scheduled = False
    else:
        actor._wake()
    return True


def _stillborn(ref: Cell, error: BaseException) -> asyncio.Task[object]:
    """The class or its init raised. What it has begun is ended first, in a task when that takes waiting."""
    reason = Crash(error)
    if ref._actor is not None:
        end(ref, ref._actor, reason, during="init")
    else:
        ref._last, ref._failure = reason, (text_of(error), "start")
        if ref._system.hook is not None:
            ref._system.emit(ChildExited(ref.path, reason, "start"))
    if ref._phase is STOPPING:
        return task_of(ref._system.loop, ref.down(), f"{ref.path} ends")
    raise StartFailed(ref.path, reason)
