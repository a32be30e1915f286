"""How messages become calls: two engines, chosen per class when it is defined.

`drain` serves classes whose handlers are all plain `def`: a callback scheduled by the first message, no task, nothing
at all while idle. `drive` serves the others: one task per actor, made at its first message and parked between them.
Both handle one message at a time, control lane first, and let go of the loop after `BATCH` messages.

A request whose handler raises Refused is refused. Anything else raised ends this life (`end.py`), and so does a Refused
where nobody requested anything (timers, deferred work, Down notices). An answer that is a future is passed on when it
is there, while the actor goes on (OTP: noreply, then reply).
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Final

from supervisors.bonds import run_beside
from supervisors.cell import Cell, Life, Shared
from supervisors.debts import Debt, Reply, pay
from supervisors.end import end
from supervisors.errors import CRASHES, Gone, Refused
from supervisors.exits import Crash
from supervisors.mailbox import N_SPARE

BATCH: Final = 128
"""Messages that one actor handles before others have their turn."""
SERVED: Final = 16
"""Actors that share a callback of the loop."""
ALONE: Final = 2
"""Actors that have one of their own before others share: sharing costs 0.3 us where there is nobody to share with."""

_LATER: Final = (Future, CoroutineType)


def wake_drain(actor: Life) -> None:
    """Have its messages drained in the next turn of the loop.

    A callback costs the loop as much as a message costs us, so where many are woken up to `SERVED` share one.
    """
    ref = actor.ref
    system = ref._system
    if system.n_alone < ALONE:
        system.n_alone += 1
        system.loop.call_soon(drain, ref, actor, context=ref._context)
        return
    system.woken.append(actor)
    if system.room:
        system.room -= 1
    else:
        system.room = SERVED - 1
        system.loop.call_soon(pump, system, context=system.context)


def pump(system: Shared) -> None:
    """Drain the mailboxes of those woken first."""
    woken = system.woken
    left = len(woken)
    if left > SERVED:
        left = SERVED
    else:
        system.room = 0  # nobody else joins these
    try:
        while left:
            left -= 1
            actor = woken.popleft()
            ref = actor.ref
            if ref._actor is actor:
                system.n_alone += 1
                ref._context.run(drain, ref, actor)  # type: ignore[union-attr] # there for as long as the life is
    finally:
        if left:  # somebody wants the whole process to end
            system.loop.call_soon(pump, system, context=system.context)


def wake_drive(actor: Life) -> None:
    """Wake the parked task, or make it."""
    if (waker := actor._waker) is not None:
        if not waker.done():  # else a stranger has cancelled its task, which is about to crash
            waker.set_result(None)
    else:
        ref = actor.ref
        actor._task = ref._system.loop.create_task(drive(ref, actor), name=ref.path, context=ref._context)


def drain(ref: Cell, actor: Life) -> None:
    """Handle what is in the mailbox, up to a batch."""
    system, box = ref._system, ref._box
    system.n_alone -= 1
    if ref._actor is not actor or box is None:
        return
    overrides = actor._overrides
    unanswered, n_handled = system.deadlines.fresh, 0
    system.current = ref
    try:
        while n_handled < BATCH and (lane := box.deferred or box.control or box.user):
            handler, args, kwargs, reply = lane.popleft()
            if reply is not None and reply.done():
                continue  # its asker has stopped waiting
            n_handled += 1
            if overrides:
                handler = overrides.get(handler, handler)
            try:
                answer = handler(actor, *args, **kwargs)
            except CRASHES as error:
                _fail(ref, actor, error, handler, reply, lane is box.user)
                reply = None  # holds the error, whose traceback holds this frame: only the collector would break it
            else:
                if answer is not None and isinstance(answer, _LATER):
                    _owe(actor, answer, reply, lane is box.user)
                elif reply is not None and not reply.done():
                    reply.set_result(answer)
                    unanswered.pop(reply, None)
            if ref._actor is not actor:
                return
    finally:
        system.current = None
        ref._handled += n_handled
    if box.waiters is not None and len(box.user) < actor.mailbox_limit:
        box.release()
    if box.deferred or box.control or box.user:
        wake_drain(actor)
    else:
        ref._box, ref._scheduled = None, False
        if len(system.spare) < N_SPARE:
            system.spare.append(box)


async def drive(ref: Cell, actor: Life) -> None:
    """Handle messages for as long as this life lasts."""
    system, overrides, budget = ref._system, actor._overrides, BATCH
    while ref._actor is actor:
        box, handler, reply, is_request = ref._box, None, None, False
        assert box is not None, "whoever wakes it has put a message there"
        try:
            while lane := box.deferred or box.control or box.user:
                handler, args, kwargs, reply = lane.popleft()
                if box.waiters is not None and len(box.user) < actor.mailbox_limit:
                    box.release()
                if reply is not None and reply.done():
                    continue
                ref._handled += 1
                is_request = lane is box.user
                if overrides:
                    handler = overrides.get(handler, handler)
                answer = handler(actor, *args, **kwargs)
                if isinstance(answer, CoroutineType):
                    actor._replying = reply
                    answer = await answer
                    actor._replying = None
                if answer is not None and isinstance(answer, Future):
                    _owe(actor, answer, reply, is_request)
                elif reply is not None and not reply.done():
                    reply.set_result(answer)
                    system.deadlines.fresh.pop(reply, None)
                if ref._actor is not actor:
                    return
                budget -= 1
                if not budget:
                    budget = BATCH
                    await asyncio.sleep(0)
            ref._box, ref._scheduled, budget = None, False, BATCH
            if len(system.spare) < N_SPARE:
                system.spare.append(box)
            handler, reply, is_request = None, None, False
            args, kwargs, answer = (), {}, None  # what it was told last is not kept while it is parked
            waker: Future[None] = Future(loop=system.loop)
            actor._waker = waker
            await waker
        except CRASHES as error:
            if ref._actor is not actor:
                raise  # this life is being ended; what its task says goes into the exit reason
            actor._replying = None
            _fail(ref, actor, error, handler, reply, is_request)
            reply = None  # as in `drain`


def _fail(
    ref: Cell,
    actor: Life,
    error: BaseException,
    handler: Callable[..., object] | None,
    reply: Reply,
    is_request: bool,
) -> None:
    """What a handler has raised is a refusal, or a crash; without a handler its task was cancelled while it waited."""
    if (trace := error.__traceback__) is not None:
        error.__traceback__ = trace.tb_next  # the engine's own frame tells nobody anything, and is a large one
    is_refusal = is_request and isinstance(error, Refused)
    reason = Crash(error)
    if reply is not None and not reply.done():
        reply.set_exception(error if is_refusal else Gone(ref.path, reason))
    if not is_refusal:
        actor._task = None  # a driver that runs this returns by itself
        end(ref, actor, reason, during=getattr(handler, "__qualname__", "") or getattr(handler, "name", ""))


def _owe(actor: Life, answer: object, reply: Reply, is_request: bool) -> None:
    """Pass `answer` on when it is there. A coroutine here is a stranger's `async def`: it runs as the actor's task."""
    later = run_beside(actor, answer) if isinstance(answer, CoroutineType) else answer
    if not is_request or not isinstance(later, Future):
        return
    if actor._owed is None:
        actor._owed = {}
    debt = (later, reply)
    actor._owed[debt] = None
    later.add_done_callback(partial(_pay, actor, debt))


def _pay(actor: Life, debt: Debt, _: Future[object]) -> None:
    if actor._owed is not None:
        actor._owed.pop(debt, None)
    pay(actor.ref.path, debt)
