"""What static and dynamic supervisors share: deciding what the end of a child means, and bringing it back.

`child_down` is a direct call from the end of the child's life, not a message: a child without tasks is back before its
failing drain returns. What has to wait (an init that waits, siblings that must stop first, a backoff) goes on in a
*repair*, a task of the supervisor. A start that fails is tried again in the next turn of the loop (OTP:
try_again_restart), so a child that cannot start never keeps its supervisor from answering.

Every attempt counts one against the restart intensity, however many children it moves.
"""

from __future__ import annotations

import asyncio
import copy
import math
from typing import Self

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.end import end, halt
from supervisors.errors import BadSpec, StartFailed
from supervisors.events import BackingOff, GaveUp
from supervisors.exits import Exit, Shutdown, is_abnormal
from supervisors.intensity import RestartWindow
from supervisors.life import begin, born, launch
from supervisors.ref import Intent, Ref
from supervisors.spec import AutoShutdown, Child, Restart, is_a

_Starting = asyncio.Task[object]


class Overseer(Actor):
    """The base of Supervisor and Dynamic. The children belong to its address, not to one of its lives."""

    def __init__(
        self: Self,
        id: str,
        *,
        intensity: int,
        period_s: float,
        auto_shutdown: AutoShutdown,
        backoff: Backoff | None,
        restart: Restart,
        shutdown: float,
        significant: bool,
    ) -> None:
        _check(id, intensity, period_s, auto_shutdown, backoff)
        self.intensity = intensity
        self.period_s = period_s
        self.auto_shutdown = auto_shutdown
        self.backoff = backoff
        self.as_child: Child[Self] = Child(
            lambda: copy.copy(self),  # this one is the description, each life a copy of it
            id=id,
            restart=restart,
            shutdown=shutdown,
            significant=significant,
            start_timeout_s=math.inf,
        )
        """This supervisor as a child of another."""

    def _ends_for(self, child: Child[Actor]) -> bool:
        """Return whether the description holds together: a significant child is one this supervisor may end for."""
        return not child.significant or self.auto_shutdown is not AutoShutdown.NEVER

    def _open(self) -> dict[str, Ref[Actor]]:
        """Begin a life's own state; return the children the address has from the life before."""
        self._window = RestartWindow(self.intensity, self.period_s)
        self._streaks: dict[Ref[Actor], int] = {}
        known, self.ref._children = self.ref._children or {}, {}
        return known

    @property
    def children(self) -> dict[str, Ref[Actor]]:
        """The children by id, in the order they start."""
        children = self.ref._children
        assert children is not None, "there from init on"
        return children

    def child_down(self, ref: Ref[Actor], reason: Exit) -> None:
        """A child's life has ended. Called by the kernel, once for each life that was up."""
        if ref._intent is not Intent.KEEP:
            return
        restart = ref._spec.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and is_abnormal(reason)):
            if self.backoff is not None and self._has_lasted(ref, self.backoff):
                self._streaks.pop(ref, None)
            self._restart(ref)
            return
        self._let_go(ref)
        if ref._spec.significant and self._ends_too():
            end(self.ref, self, Shutdown("auto_shutdown"))

    def _let_go(self, ref: Ref[Actor]) -> None:
        """A child is not brought back; a temporary one leaves no trace."""
        ref._intent = Intent.HALT
        self._streaks.pop(ref, None)
        if ref._spec.restart is Restart.TEMPORARY:
            self.children.pop(ref.id, None)

    def _ends_too(self) -> bool:
        """Return whether the end of a significant child is the end of this supervisor."""
        if self.auto_shutdown is not AutoShutdown.ALL_SIGNIFICANT:
            return self.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
        return not any(ref._spec.significant and ref._intent is not Intent.HALT for ref in self.children.values())

    def _has_lasted(self, ref: Ref[Actor], backoff: Backoff) -> bool:
        enough = self.period_s if backoff.reset_after_s is None else backoff.reset_after_s
        return self.system.loop.time() - ref._since >= enough

    def _group(self, failed: Ref[Actor]) -> list[Ref[Actor]]:
        """Return who is brought back with `failed`, in start order."""
        return [failed]

    def _restart(self, failed: Ref[Actor]) -> None:
        """Make one attempt to bring back `failed` and its group, unless this is one too many."""
        if not self._window.admits(self.system.loop.time()):
            self._give_up()
            return
        group = self._group(failed)
        for ref in group:
            ref._intent = Intent.REPAIR
        delay = self._delay(failed)
        if delay or len(group) > 1:
            _ = self.task(self._repair(group, delay))
            return
        try:
            started = begin(failed)
        except StartFailed:
            self._try_later(failed)
        else:
            if isinstance(started, bool):
                self._ready(failed, started)
            else:
                _ = self.task(self._repair(group, 0.0, started))

    def _give_up(self) -> None:
        self.system.emit(GaveUp(self.ref.path, self.intensity, self.period_s))
        end(self.ref, self, Shutdown("restart intensity reached"))

    def _delay(self, failed: Ref[Actor]) -> float:
        """Return the seconds to wait before this attempt, and tell the hook."""
        if self.backoff is None:
            return 0.0
        self._streaks[failed] = streak = self._streaks.get(failed, 0) + 1
        delay = self.backoff.delay(streak, self.system.entropy())
        self.system.emit(BackingOff(failed.path, delay))
        return delay

    async def _repair(self, group: list[Ref[Actor]], delay: float, started: _Starting | None = None) -> None:
        """One attempt that waits: stop right to left, pause, start left to right. Ends at the first that fails.

        `started`: the start of the group's only member, when it has begun already.
        """
        for ref in reversed(group) if started is None else ():
            await halt(ref)
            if ref._spec.restart is Restart.TEMPORARY:
                self._let_go(ref)
        if delay:
            await asyncio.sleep(delay)
        for ref in group:
            if ref._intent is not Intent.REPAIR:
                continue  # stopped for good while this went on
            try:
                self._ready(ref, await (launch(ref) if started is None else born(ref, started)))
            except StartFailed:
                if ref._intent is Intent.REPAIR:
                    self._try_later(ref)
                    return

    def _ready(self, ref: Ref[Actor], is_up: bool) -> None:
        """A start has succeeded; a child that said IGNORE is kept, but not running."""
        if is_up:
            ref._intent = Intent.KEEP
        else:
            self._let_go(ref)

    def _try_later(self, failed: Ref[Actor]) -> None:
        self.after(0.0, Overseer._try_again, failed)  # one attempt a turn: asks are answered between

    def _try_again(self, failed: Ref[Actor]) -> None:
        if failed._intent is Intent.REPAIR:
            self._restart(failed)


def _check(id: str, intensity: int, period_s: float, auto_shutdown: AutoShutdown, backoff: Backoff | None) -> None:
    if not (is_a(intensity, int) and intensity >= 0):
        raise BadSpec(f"{id}: intensity must be a whole number of restarts, not {intensity!r}")
    if not 0 < period_s < math.inf:
        raise BadSpec(f"{id}: period_s must be above 0 and finite, not {period_s!r}")
    if not is_a(auto_shutdown, AutoShutdown):
        raise BadSpec(f"{id}: auto_shutdown must be an AutoShutdown, not {auto_shutdown!r}")
    if backoff is not None and backoff.reset_after_s is None and backoff.top_s * max(intensity, 1) > period_s:
        raise BadSpec(f"{id}: a wait of {backoff.top_s} s lets the window empty; give the backoff a reset_after_s")
