"""The supervisor: children in order, started left to right, stopped right to left, restarted by strategy.

An instance is the description; starting it runs a copy, so the same literal serves every restart. It follows OTP's
supervisor.erl: strategies, restart kinds, auto_shutdown, and the administration asks below, which answer at any time.
For children started on demand see `dynamic.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.cell import DOWN, HALT, KEEP, Cell, Repair, Start
from supervisors.end import cut, halt, kill
from supervisors.errors import (
    AlreadyPresent,
    AlreadyStarted,
    BadSpec,
    ChildRestarting,
    ChildRunning,
    Refused,
    StartFailed,
)
from supervisors.exits import Exit, Shutdown
from supervisors.life import launch
from supervisors.overseer import Overseer, _Starting
from supervisors.ref import Ref, expect
from supervisors.spec import INFINITY, AutoShutdown, Child, Restart, Strategy, is_a

A = TypeVar("A", bound=Actor)


class Supervisor(Overseer):
    """A supervisor of `children`, which are Child specs or other supervisors, written in place.

    More than `intensity` restarts in `period_s` seconds end it. `id`, `restart`, `shutdown` and `significant` describe
    it as a child of its own supervisor. Raises BadSpec.
    """

    def __init__(
        self,
        children: Sequence[Child[Actor] | Overseer] = (),
        *,
        id: str = "supervisor",
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 1,
        period_s: float = 5.0,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        backoff: Backoff | None = None,
        restart: Restart = Restart.PERMANENT,
        shutdown: float = INFINITY,
        significant: bool = False,
    ) -> None:
        super().__init__(
            id,
            intensity=intensity,
            period_s=period_s,
            auto_shutdown=auto_shutdown,
            backoff=backoff,
            restart=restart,
            shutdown=shutdown,
            significant=significant,
        )
        if not is_a(strategy, Strategy):
            raise BadSpec(f"{id}: strategy must be a Strategy, not {strategy!r}")
        self.strategy = strategy
        self._is_ordered = strategy is not Strategy.ONE_FOR_ONE
        self.specs = tuple(self._spec_of(child) for child in children)
        if len({spec.id for spec in self.specs}) < len(self.specs):
            raise BadSpec(f"{id}: two children have the same id: {[spec.id for spec in self.specs]}")

    async def init(self) -> None:
        """Start the children left to right; when one fails, stop those before it and fail."""
        known = self._open()
        self._backlog: list[tuple[Cell, Exit | Repair]] = []
        self._n_busy = 0
        self._hold_back()
        try:
            for spec in self.specs:
                ref = self._add(spec, known.get(spec.id))
                self._ready(ref, await launch(ref))
        except BaseException:
            await self._stop_all()
            raise
        self.defer(Supervisor._rest)  # it may be its own end, which is for one that is up

    async def terminate(self, reason: Exit) -> None:
        """Stop the children right to left, each within its shutdown."""
        await self._stop_all()

    def _child_down(self, ref: Cell, reason: Exit) -> None:
        """As every overseer, but where order matters one thing at a time: other ends wait for it (OTP: mailbox)."""
        if self._n_busy and ref._intent is KEEP:
            self._backlog.append((ref, reason))
        else:
            super()._child_down(ref, reason)

    def start_child(self, child: Child[A]) -> Awaitable[Ref[A]]:
        """Add a child on the right and start it. Refuses with AlreadyStarted, AlreadyPresent, StartFailed."""
        try:
            spec = self._spec_of(child)
        except BadSpec as wrong:
            raise Refused(str(wrong)) from wrong
        if (known := self.children.get(spec.id)) is not None:
            raise AlreadyStarted(spec.id) if _runs(known) else AlreadyPresent(spec.id)
        return self._start(self._add(spec, None), is_new=True)  # type: ignore[return-value] # a Ref of this spec

    def terminate_child(self, id: str) -> Awaitable[None]:
        """Stop a child and leave it stopped; a temporary one is forgotten. Twice is once. Refuses: NoSuchChild."""
        ref = self._child(id)
        self._let_go(ref)
        cut(ref)
        return self.task(halt(ref))

    def restart_child(self, id: str) -> Awaitable[Ref[Actor]]:
        """Start a child that is stopped; not counted as a restart. Refuses: ChildRunning, ChildRestarting, ..."""
        return self._start(self._stopped(id), is_new=False)

    def delete_child(self, id: str) -> None:
        """Forget a child that is stopped. Refuses: ChildRunning, ChildRestarting, NoSuchChild."""
        del self.children[self._stopped(id).id]

    def _spec_of(self, child: Child[Actor] | Overseer) -> Child[Actor]:
        spec = child.as_child if isinstance(child, Overseer) else child
        if not is_a(spec, Child):
            raise BadSpec(f"{self.as_child.id}: a child is a Child or a supervisor, not {spec!r}")
        if not self._ends_for(spec):
            raise BadSpec(f"{self.as_child.id}: {spec.id} is significant, but auto_shutdown is NEVER")
        return spec

    def _add(self, spec: Child[Actor], known: Cell | None) -> Cell:
        """Put a child on the right; it keeps the address it had."""
        ref = known or Ref(self.system, self.ref, spec, spec.start, spec.id)
        ref._spec = replace(spec, start=_forgotten) if spec.restart is Restart.TEMPORARY else spec
        ref._make, ref._intent = spec.start, KEEP
        self.children[spec.id] = ref
        return ref

    def _stopped(self, id: str) -> Cell:
        ref = self._child(id)
        if isinstance(ref._intent, Repair):
            raise ChildRestarting(id)
        if _runs(ref) or ref._phase is not DOWN:
            raise ChildRunning(id)
        return ref

    def _start(self, ref: Cell, is_new: bool) -> Awaitable[Ref[Actor]]:
        ref._intent = start = Start()
        self._hold_back()
        return self.task(self._started(ref, is_new, start))

    async def _started(self, ref: Cell, is_new: bool, start: Start) -> Ref[Actor]:
        try:
            if ref._intent is not start:
                raise StartFailed(ref.path, Shutdown("terminated before it began"))
            self._ready(ref, await launch(ref))
        except StartFailed:
            if ref._intent is start:
                ref._intent = HALT
                if is_new:
                    self._forget(ref)
            raise
        finally:
            self._rest()
        return expect(ref, Actor)

    def _group(self, failed: Cell) -> list[Cell]:
        if not self._is_ordered:
            return [failed]
        children = list(self.children.values())
        return children if self.strategy is Strategy.ONE_FOR_ALL else children[children.index(failed) :]

    def _go_on(self, repair: Repair, delay: float, started: _Starting | None = None) -> None:
        self._hold_back()
        super()._go_on(repair, delay, started)

    async def _repair(self, repair: Repair, delay: float, started: _Starting | None) -> None:
        try:
            await super()._repair(repair, delay, started)
        finally:
            self._rest()

    def _try_again(self, failed: Cell, repair: Repair) -> None:
        if self._n_busy:
            self._backlog.append((failed, repair))
        else:
            super()._try_again(failed, repair)

    def _hold_back(self) -> None:
        """Where order matters, queue exits and retries until `_rest`."""
        self._n_busy += self._is_ordered

    def _rest(self) -> None:
        """Handle the queued exits and retries, unless another operation still runs."""
        self._n_busy = max(0, self._n_busy - 1)
        if self._n_busy or self.ref._actor is not self:
            return
        backlog, self._backlog = self._backlog, []
        for ref, what in backlog:
            if self.ref._actor is not self:
                return  # the one before was its end
            if ref._phase is not DOWN:
                continue  # another repair has brought it back, or is about to
            if isinstance(what, Repair):
                self._try_again(ref, what)
            else:
                self._child_down(ref, what)

    async def _stop_all(self) -> None:
        refs = list(reversed(self.children.values()))
        for ref in refs:
            ref._intent = HALT
        try:
            for ref in refs:
                await halt(ref)
        except asyncio.CancelledError:
            for ref in refs:
                kill(ref)
            raise


def _runs(ref: Cell) -> bool:
    """Return whether the child is up, or being started by hand."""
    return ref._intent is KEEP or isinstance(ref._intent, Start)


def _forgotten() -> Actor:
    raise AssertionError("a temporary child starts once")
