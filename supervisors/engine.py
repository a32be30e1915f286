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
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Final

from supervisors.debts import Debt, Reply, pay
from supervisors.end import end
from supervisors.errors import Gone, Refused
from supervisors.exits import Crash
from supervisors.mailbox import Mailbox, Message

if TYPE_CHECKING:
    from supervisors.actor import Actor
    from supervisors.ref import Ref

BATCH: Final = 128

_CRASHES = (Exception, asyncio.CancelledError)  # KeyboardInterrupt and SystemExit go through untouched


def wake_drain(actor: Actor) -> None:
    """Schedule a drain."""
    ref = actor.ref
    ref._system.loop.call_soon(drain, ref, actor, context=ref._context)


def wake_drive(actor: Actor) -> None:
    """Wake the parked task, or make it."""
    ref = actor.ref
    if actor._waker is not None:
        actor._waker.set_result(None)
        actor._waker = None
    else:
        actor._task = ref._system.loop.create_task(drive(ref, actor), name=ref.path, context=ref._context)


def drain(ref: Ref[Actor], actor: Actor) -> None:
    """Handle what is in the mailbox, up to a batch."""
    box = ref._box
    if ref._actor is not actor or box is None:
        return
    system, overrides = ref._system, actor._overrides
    system.current = ref
    try:
        for _ in range(BATCH):
            lane = box.deferred or box.control or box.user
            if not lane:
                break
            handler, args, kwargs, reply = lane.popleft()
            if reply is not None and reply.done():
                continue  # its asker has stopped waiting
            if overrides:
                handler = overrides.get(handler, handler)
            try:
                answer = handler(actor, *args, **kwargs)
            except _CRASHES as error:
                if isinstance(error, Refused) and lane is box.user:
                    _refuse(reply, error)
                    continue
                return _crash(ref, actor, error, handler, reply)
            else:
                if answer is not None and isinstance(answer, asyncio.Future | CoroutineType):
                    _owe(actor, answer, reply, lane is box.user)
                elif reply is not None and not reply.done():
                    reply.set_result(answer)
            if ref._actor is not actor:
                return
    finally:
        system.current = None
    _rest(ref, actor, box)


def _rest(ref: Ref[Actor], actor: Actor, box: Mailbox) -> None:
    """After a batch: let waiting senders know, then go on later or give the mailbox back."""
    if box.waiters is not None and len(box.user) < actor.mailbox_limit:
        box.release()
    if box.lane():
        wake_drain(actor)
    else:
        ref._scheduled, ref._box = False, None


async def drive(ref: Ref[Actor], actor: Actor) -> None:
    """Handle messages for as long as this life lasts."""
    loop, overrides, budget = ref._system.loop, actor._overrides, BATCH
    while ref._actor is actor:
        box = ref._box
        if box is not None and box.waiters is not None and len(box.user) < actor.mailbox_limit:
            box.release()
        if box is None or not (lane := box.deferred or box.control or box.user):
            ref._box, ref._scheduled, budget = None, False, BATCH
            actor._waker = waker = loop.create_future()
            await waker
            continue
        handler, args, kwargs, reply = lane.popleft()
        if reply is not None and reply.done():
            continue
        if overrides:
            handler = overrides.get(handler, handler)
        await _handle(ref, actor, (handler, args, kwargs, reply), lane is box.user)
        budget -= 1
        if not budget:
            budget = BATCH
            await asyncio.sleep(0)


async def _handle(ref: Ref[Actor], actor: Actor, message: Message, is_request: bool) -> None:
    """Run one handler of the `drive` engine to its end."""
    handler, args, kwargs, reply = message
    try:
        answer = handler(actor, *args, **kwargs)
        if isinstance(answer, CoroutineType):
            actor._replying = reply
            answer = await answer
            actor._replying = None
    except _CRASHES as error:
        if ref._actor is not actor:
            raise  # this life is being ended; what its task says goes into the exit reason
        actor._replying = None
        if isinstance(error, Refused) and is_request:
            _refuse(reply, error)
        else:
            _crash(ref, actor, error, handler, reply)
    else:
        if isinstance(answer, asyncio.Future):
            _owe(actor, answer, reply, is_request)
        elif reply is not None and not reply.done():
            reply.set_result(answer)


def _refuse(reply: Reply, refusal: Refused) -> None:
    if reply is not None and not reply.done():
        reply.set_exception(refusal)


def _crash(ref: Ref[Actor], actor: Actor, error: BaseException, handler: Callable[..., object], reply: Reply) -> None:
    reason = Crash(error)
    if reply is not None and not reply.done():
        reply.set_exception(Gone(ref.path, reason))
    during = getattr(handler, "__qualname__", "") or getattr(handler, "name", "")
    end(ref, actor, reason, during)


def _owe(actor: Actor, answer: object, reply: Reply, is_request: bool) -> None:
    """Pass `answer` on when it is there. A coroutine here is a stranger's `async def`: it runs as the actor's task."""
    later = actor.task(answer) if isinstance(answer, CoroutineType) else answer
    if not is_request or not isinstance(later, asyncio.Future):
        return
    if actor._owed is None:
        actor._owed = set()
    debt = (later, reply)
    actor._owed.add(debt)
    later.add_done_callback(partial(_pay, actor, debt))


def _pay(actor: Actor, debt: Debt, _: asyncio.Future[object]) -> None:
    if actor._owed is not None:
        actor._owed.discard(debt)
    pay(actor.ref.path, debt)
