"""The end of a life: fail what it owes, stop its tasks, call `terminate`, tell those who watch.

The order: no more messages; every ask it owes fails; timers, monitors and names go; its tasks are cancelled and end;
`terminate` runs; then DOWN, Down notices, and the supervisor. All of it within the child's `shutdown`, then the kill
ladder (`ladder.py`). Without tasks and without an `async def terminate` nothing waits and all of it happens at once.
What a mailbox keeps (`Actor.keeps_mailbox`) fails last, when no other life has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import Context
from types import CoroutineType
from typing import Final

from supervisors.cell import DOWN, HALT, KEEP, STOPPING, UP, Cell, Life, Shared
from supervisors.debts import pay
from supervisors.errors import CRASHES, Gone, KernelError
from supervisors.events import ChildExited, WouldNotStop
from supervisors.exits import Crash, Exit, Killed, Shutdown, text_of
from supervisors.ladder import Tasks, climb, consume, settle
from supervisors.mailbox import N_SPARE, Mailbox

_OWN_END_S: Final = 5.0
"""What a BRUTAL_KILL kind of child gets when it ends by itself; OTP runs its `terminate` then, too."""


def end(ref: Cell, actor: Life, reason: Exit, during: str = "") -> None:
    """End this life, for `reason`; a life that is over already stays over. `during`: the handler that crashed."""
    if ref._actor is not actor:
        return
    is_up = ref._phase is UP
    has_begun = is_up or _is_good(actor._task) or _has_living(ref)
    ref._actor, ref._kind = None, type(actor)
    ref._phase, ref._scheduled = STOPPING, False
    kept: Mailbox | None = None
    if (box := ref._box) is not None:
        ref._box = None
        if actor.keeps_mailbox and box.user and ref._intent is KEEP:  # else nobody follows at once
            kept = box
            kept.deferred = kept.control = None
        else:
            _drop(ref, box, reason)
    if actor._replying is not None or actor._owed is not None:
        _fail(ref, _owed(ref, actor), reason)
    tasks = _release(actor) if actor._held is not None or actor._task is not None else ()
    last: Awaitable[object] | None = None
    if has_begun and actor._terminates and not tasks and not isinstance(reason, Killed):
        last, reason = _terminate(ref, actor, reason)
    if tasks or last is not None or (ref._children and isinstance(reason, Killed)):
        ref._closing = Closing(ref, actor, reason, during, is_up, has_begun, tasks, last, kept)
    else:
        _finish(ref, actor, reason, during, is_up, kept)


def _is_good(init: asyncio.Task[object] | None) -> bool:
    """Return whether this init has returned, though its starter has not been told yet."""
    return init is not None and init.done() and not init.cancelled() and init.exception() is None


def _has_living(ref: Cell) -> bool:
    """Return whether it has children that live: those of a supervisor whose init failed, or said IGNORE, after them."""
    return any(child._phase is not DOWN for child in (ref._children or {}).values())


def stop(actor: Life, reason: Exit) -> None:
    """End this life after the handler that runs now, whose answer still goes out; before any other message."""
    actor.ref._urge(actor, (_stop, (reason,), {}, None), deferred=True, first=True)


def _stop(actor: Life, reason: Exit) -> None:
    actor._task = None  # which runs this, and returns by itself
    end(actor.ref, actor, reason)


def kill(ref: Cell) -> None:
    """End the life now: no `terminate`, no waiting; hastens an end that is under way."""
    if ref._actor is not None:
        end(ref, ref._actor, Killed())
    elif ref._closing is not None:
        ref._closing.hurry()


def cut(ref: Cell) -> None:
    """Stop the child as its spec says: when this returns it takes no more messages, and is down or on the way."""
    if ref._spec.shutdown == 0:
        kill(ref)
    elif ref._actor is not None:
        end(ref, ref._actor, Shutdown())


async def halt(ref: Cell) -> None:
    """`cut` it, and return when its life is over."""
    cut(ref)
    if ref._phase is STOPPING:
        await ref.down()


class Closing:
    """The part of an end that waits."""

    __slots__ = (
        "_actor",
        "_during",
        "_has_begun",
        "_is_patient",
        "_is_up",
        "_kept",
        "_reason",
        "_ref",
        "_task",
        "_until",
    )

    def __init__(
        self,
        ref: Cell,
        actor: Life,
        reason: Exit,
        during: str,
        is_up: bool,
        has_begun: bool,
        tasks: Tasks,
        last: Awaitable[object] | None,
        kept: Mailbox | None,
    ) -> None:
        loop = ref._system.loop
        self._kept = kept
        self._ref = ref
        self._actor = actor
        self._reason = reason
        self._during = during
        self._is_up = is_up
        self._has_begun = has_begun
        self._is_patient = False
        self._until = loop.time() + (ref._spec.shutdown or _OWN_END_S)
        # `terminate` becomes a task here and not in ours: a loop that is closing may cancel ours before its first step.
        left = tasks if last is None else [*tasks, self._last_words(last)]
        for task in tasks:
            task.add_done_callback(consume)  # whoever ends it reads what it raised, unless it was cut short
        self._task = loop.create_task(self._run(left, last is not None), name=f"{ref.path} ends")
        self._task.add_done_callback(self._cut_short)

    def hurry(self) -> None:
        """Go straight to the ladder."""
        self._reason = Killed()
        if self._is_patient:
            self._is_patient = False
            self._task.cancel()

    async def _run(self, left: Tasks, is_terminating: bool) -> None:
        """Wait for what is left, then for `terminate` if it is not among it; climb the ladder when too late."""
        self._is_patient = not isinstance(self._reason, Killed)
        try:
            if self._is_patient:
                left = await self._settle(left)
            if self._is_patient and not left and self._has_begun and self._actor._terminates and not is_terminating:
                last, self._reason = _terminate(self._ref, self._actor, self._reason)
                left = [] if last is None else [self._last_words(last)]
                left = await self._settle(left)
        except asyncio.CancelledError:  # by `hurry`: this task is the kernel's own
            left = [task for task in left if not task.done()]
        self._is_patient = False
        if left:
            self._reason = Killed()
            self._abandon(await climb(left))
        if isinstance(self._reason, Killed):
            await _orphan(self._ref)
        _finish(self._ref, self._actor, self._reason, self._during, self._is_up, self._kept)

    def _cut_short(self, task: asyncio.Task[None]) -> None:
        """End the life although this task was cancelled, as when the loop is closed: others wait for its end."""
        if self._ref._closing is self and task.cancelled():
            for child in reversed((self._ref._children or {}).values()):
                kill(child)
            _finish(self._ref, self._actor, Killed(), self._during, self._is_up, self._kept)

    def _last_words(self, last: Awaitable[object]) -> asyncio.Task[object]:
        task = task_of(self._ref._system.loop, last, f"{self._ref.path} terminate")
        task.add_done_callback(consume)
        return task

    async def _settle(self, tasks: Tasks) -> Tasks:
        left = await settle(tasks, self._until - self._ref._system.loop.time())
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self._reason = self._reason if isinstance(self._reason, Crash) else Crash(error)
        return left

    def _abandon(self, tasks: Tasks) -> None:
        system = self._ref._system
        for task in tasks:
            system.abandoned.add(task)
            task.add_done_callback(system.abandoned.discard)
        if tasks and system.hook is not None:
            system.emit(WouldNotStop(self._ref.path, len(tasks)))


async def _orphan(ref: Cell) -> None:
    """Kill the children of a supervisor that was killed, right to left: it has stopped none (OTP: links do)."""
    children = list(reversed((ref._children or {}).values()))
    for child in children:
        child._intent = HALT
        kill(child)
    for child in children:
        await child.down()


def _drop(ref: Cell, box: Mailbox, reason: Exit) -> None:
    """Fail every ask in a mailbox, and put it aside for the next who needs one."""
    if box.deferred or box.control or box.user or box.waiters:
        _fail(ref, box.empty(), reason)
    if len(ref._system.spare) < N_SPARE:
        ref._system.spare.append(box)


def _hand_on(ref: Cell, box: Mailbox, reason: Exit) -> None:
    """Give the next life the messages that the last one has not begun. When no next life has begun, they fail."""
    successor = ref._actor
    if successor is None:
        _drop(ref, box, reason)
        return
    if ref._box is not None:  # what its init has put there
        box.deferred, box.control = ref._box.deferred, ref._box.control
        box.user.extend(ref._box.user)
    ref._box = box
    if not ref._scheduled:
        ref._scheduled = True
        successor._wake()


def _owed(ref: Cell, actor: Life) -> list[asyncio.Future[object]]:
    """Return who waits for the running handler, or was promised an answer; pass on the answers that are there."""
    asks = [] if actor._replying is None else [actor._replying]
    owed, actor._owed = actor._owed, None
    actor._replying = None
    for later, reply in owed or ():
        if later.done():
            pay(ref.path, (later, reply))
        elif reply is not None:
            asks.append(reply)
    return asks


def _fail(ref: Cell, asks: list[asyncio.Future[object]], reason: Exit) -> None:
    for ask in asks:
        if not ask.done():
            ask.set_exception(Gone(ref.path, reason))


def _release(actor: Life) -> Tasks:
    """Cancel timers, monitors, names and tasks of this life; return the tasks that must end first."""
    held, actor._held = actor._held, None
    task = actor._task
    tasks: list[asyncio.Task[object]] = []
    if task is not None and not task.done():
        task.cancel()
        tasks.append(task)
    for thing in held or ():
        thing.cancel()
        if isinstance(thing, asyncio.Task) and not thing.done():
            tasks.append(thing)
    return tasks


def _terminate(ref: Cell, actor: Life, reason: Exit) -> tuple[Awaitable[object] | None, Exit]:
    """Call `terminate`; return what of it is still to be awaited, and the reason, which may have become its crash."""
    assert ref._context is not None
    system = ref._system
    outer, system.current = system.current, ref
    try:
        return ref._context.copy().run(actor.terminate, reason), reason
    except CRASHES as error:
        return None, Crash(error)
    finally:
        system.current = outer


def _finish(ref: Cell, actor: Life, reason: Exit, during: str, is_up: bool, kept: Mailbox | None) -> None:
    """Tell everybody that the life is over. Of a life that never was up the supervisor is not told: its starter is."""
    ref._phase = DOWN
    ref._last = told = reason
    if isinstance(reason, Crash):
        told = crash = _redacted(actor, reason) if actor._redacts else reason
        ref._failure = text_of(crash.error), during
        if is_up:
            ref._last = ref._failure[0]
    ref._closing = ref._context = None
    system = ref._system
    if system.hook is not None:
        system.emit(ChildExited(ref.path, told, during, is_up and ref._intent is not KEEP))
    watchers, ref._watchers = ref._watchers, None
    is_chain = isinstance(watchers, dict) and system.hold_links()
    try:
        if isinstance(watchers, dict):
            for key, watch in watchers.items():
                if watch is not None:
                    watch(ref, reason)
                elif not key.done():
                    key.set_result(reason)
        elif watchers is not None and not watchers.done():
            watchers.set_result(reason)
        if is_up or ref._intent is HALT:
            above = ref._above
            if above is None:
                system.root_down(reason)
            elif above._actor is not None:
                above._actor._child_down(ref, reason)
        if kept is not None:
            _hand_on(ref, kept, reason)
    finally:
        if is_chain:
            _pull_links(system)


def _pull_links(system: Shared) -> None:
    """End the lives that were pulled, one after the other."""
    try:
        while system._pulled:
            actor, reason = system._pulled.popleft()
            end(actor.ref, actor, reason)
    finally:
        system._pulled = None


def _redacted(actor: Life, crash: Crash) -> Crash:
    """Return the crash as its actor wants it reported; when it cannot say, only of what kind it was."""
    try:
        error = actor.redact(crash.error)
    except CRASHES:
        error = KernelError(f"{type(crash.error).__name__}, which could not be redacted")
    return crash if error is crash.error else Crash(error)


def task_of(
    loop: asyncio.AbstractEventLoop, waiting: Awaitable[object], name: str, context: Context | None = None
) -> asyncio.Task[object]:
    """Return a task that awaits `waiting`: the coroutine itself, so that cancelling it early leaves none unawaited."""
    work = waiting if isinstance(waiting, CoroutineType) else _await(waiting)
    return loop.create_task(work, name=name, context=context)


async def _await(waiting: Awaitable[object]) -> object:
    return await waiting
