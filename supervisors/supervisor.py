"""The supervisor: children in order, started left to right, stopped right to left, restarted by strategy.

An instance is the description; starting it runs a copy, so the same literal serves every restart. It follows OTP's
supervisor.erl: strategies, restart kinds, auto_shutdown, and the administration asks below, which answer at any time.
For children started on demand see `dynamic.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.census import Census, Counts, count, row
from supervisors.end import halt, kill
from supervisors.errors import (
    AlreadyPresent,
    AlreadyStarted,
    BadSpec,
    ChildRestarting,
    ChildRunning,
    NoSuchChild,
    Refused,
    StartFailed,
)
from supervisors.exits import Exit
from supervisors.life import launch
from supervisors.overseer import Overseer, _Starting
from supervisors.ref import Intent, Phase, Ref
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
        self.specs = tuple(self._spec_of(child) for child in children)
        if len({spec.id for spec in self.specs}) < len(self.specs):
            raise BadSpec(f"{id}: two children have the same id: {[spec.id for spec in self.specs]}")

        for spec in self.specs:
            if not self._ends_for(spec):
                raise BadSpec(f"{id}: {spec.id} is significant, but auto_shutdown is NEVER")

    async def init(self) -> None:
        """Start the children left to right; when one fails, stop those before it and fail."""
        known = self._open()
        self._backlog: list[tuple[Ref[Actor], Exit]] = []
        self._is_busy = self.strategy is not Strategy.ONE_FOR_ONE
        try:
            for spec in self.specs:
                ref = self._add(spec, known.get(spec.id))
                self._ready(ref, await launch(ref))
        except BaseException:
            await self._stop_all()
            raise
        self._rest()

    async def terminate(self, reason: Exit) -> None:
        """Stop the children right to left, each within its shutdown."""
        await self._stop_all()

    def child_down(self, ref: Ref[Actor], reason: Exit) -> None:
        """As every overseer, but one repair of an ordered group at a time: other ends wait for it (OTP: mailbox)."""
        if self._is_busy:
            self._backlog.append((ref, reason))
        else:
            super().child_down(ref, reason)

    def start_child(self, child: Child[A]) -> Awaitable[Ref[A]]:
        """Add a child on the right and start it. Refuses with AlreadyStarted, AlreadyPresent, StartFailed."""
        spec = self._spec_of(child)
        if (known := self.children.get(spec.id)) is not None:
            raise AlreadyStarted(spec.id) if known.is_alive else AlreadyPresent(spec.id)
        if not self._ends_for(spec):
            raise Refused("significant, but auto_shutdown is NEVER")
        return self.task(self._start(self._add(spec, None), is_new=True))  # type: ignore[arg-type] # a Ref of this spec

    def terminate_child(self, id: str) -> Awaitable[None]:
        """Stop a child and leave it stopped; a temporary one is forgotten. Twice is once. Refuses: NoSuchChild."""
        ref = self._child(id)
        self._let_go(ref)
        return self.task(halt(ref))

    def restart_child(self, id: str) -> Awaitable[Ref[Actor]]:
        """Start a child that is stopped; not counted as a restart. Refuses: ChildRunning, ChildRestarting, ..."""
        return self.task(self._start(self._stopped(id), is_new=False))

    def delete_child(self, id: str) -> None:
        """Forget a child that is stopped. Refuses: ChildRunning, ChildRestarting, NoSuchChild."""
        del self.children[self._stopped(id).id]

    def which_children(self) -> list[Census]:
        """Return the children as data, in start order."""
        return [row(ref) for ref in self.children.values()]

    def count_children(self) -> Counts:
        """Return how many children there are, how many run, how many are supervisors."""
        return count(self.children.values())

    @staticmethod
    def _spec_of(child: Child[A] | Overseer) -> Child[Actor]:
        return child.as_child if isinstance(child, Overseer) else child

    def _add(self, spec: Child[Actor], known: Ref[Actor] | None) -> Ref[Actor]:
        """Put a child on the right; it keeps the address it had."""
        ref = known or Ref(self.system, self.ref, spec, spec.start, spec.id)
        ref._spec, ref._make, ref._intent = spec, spec.start, Intent.KEEP
        self.children[spec.id] = ref
        return ref

    def _child(self, id: str) -> Ref[Actor]:
        if id not in self.children:
            raise NoSuchChild(id)
        return self.children[id]

    def _stopped(self, id: str) -> Ref[Actor]:
        ref = self._child(id)
        if ref._intent is Intent.REPAIR:
            raise ChildRestarting(id)
        if ref._phase is not Phase.DOWN:
            raise ChildRunning(id)
        return ref

    async def _start(self, ref: Ref[Actor], is_new: bool) -> Ref[Actor]:
        ref._intent = Intent.KEEP
        try:
            self._ready(ref, await launch(ref))
        except StartFailed:
            if ref._intent is Intent.KEEP:
                ref._intent = Intent.HALT
                if is_new:
                    self.children.pop(ref.id, None)
            raise
        return ref

    def _group(self, failed: Ref[Actor]) -> list[Ref[Actor]]:
        children = list(self.children.values())
        match self.strategy:
            case Strategy.ONE_FOR_ONE:
                return [failed]
            case Strategy.ONE_FOR_ALL:
                return children
            case Strategy.REST_FOR_ONE:
                return children[children.index(failed) :]

    async def _repair(self, group: list[Ref[Actor]], delay: float, started: _Starting | None = None) -> None:
        self._is_busy = self.strategy is not Strategy.ONE_FOR_ONE
        try:
            await super()._repair(group, delay, started)
        finally:
            self._rest()

    def _rest(self) -> None:
        """See to the ends that came meanwhile."""
        self._is_busy = False
        if self.ref._actor is not self:
            return
        backlog, self._backlog = self._backlog, []
        for ref, reason in backlog:
            if ref._phase is Phase.DOWN:
                self.child_down(ref, reason)

    def _try_again(self, failed: Ref[Actor]) -> None:
        if not self._is_busy:  # else a wider repair has taken it along
            super()._try_again(failed)

    async def _stop_all(self) -> None:
        refs = list(reversed(self.children.values()))
        for ref in refs:
            ref._intent = Intent.HALT
        try:
            for ref in refs:
                await halt(ref)
        except asyncio.CancelledError:
            for ref in refs:
                kill(ref)
            raise
