"""What static and dynamic supervisors share: deciding what the end of a child means, and bringing it back.

`_child_down` is a direct call from the end of the child's life, not a message: a child without tasks is back before its
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
from supervisors.cell import DOWN, HALT, KEEP, Cell, Life, Repair
from supervisors.census import Census, Counts, count, row
from supervisors.end import end, halt
from supervisors.errors import BadSpec, NoSuchChild, StartFailed
from supervisors.events import BackingOff, GaveUp
from supervisors.exits import Exit, Shutdown, is_abnormal
from supervisors.intensity import RestartWindow
from supervisors.life import begin, born, launch
from supervisors.spec import AutoShutdown, Child, Restart, is_a

_Starting = asyncio.Task[object]
_PERMANENT, _TRANSIENT, _TEMPORARY = Restart  # see cell.py


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

    def _open(self) -> dict[str, Cell]:
        """Begin a life's own state; return the children the address has from the life before."""
        self._window = RestartWindow(self.intensity, self.period_s)
        self._streaks: dict[Cell, int] = {}
        known, self.ref._children = self.ref._children or {}, {}
        return known

    @property
    def children(self) -> dict[str, Cell]:
        """The children by id, in the order they start."""
        children = self.ref._children
        assert children is not None, "there from init on"
        return children

    def which_children(self) -> list[Census]:
        """Return the children as data, in start order."""
        return [row(ref) for ref in self.children.values()]

    def count_children(self) -> Counts:
        """Return how many children there are, how many run, how many are supervisors."""
        return count(self.children.values())

    def get_childspec(self, id: str) -> Child[Life]:
        """Return how a child is described, but for a `start` that is forgotten. Refuses: NoSuchChild."""
        return self._child(id)._spec

    def _child(self, id: str) -> Cell:
        if id not in self.children:
            raise NoSuchChild(id)
        return self.children[id]

    def _child_down(self, ref: Cell, reason: Exit) -> None:
        """A child's life has ended. Called by the kernel, once for each that was up, or was stopped on purpose."""
        if ref._intent is not KEEP:
            if ref._intent is HALT:
                self._leave(ref)
            return
        restart = ref._spec.restart
        if restart is _PERMANENT or (restart is _TRANSIENT and is_abnormal(reason)):
            if self.backoff is not None and self._has_lasted(ref, self.backoff):
                self._streaks.pop(ref, None)
            self._restart(ref)
            return
        self._let_go(ref)
        if ref._spec.significant and self._ends_too():
            end(self.ref, self, Shutdown("auto_shutdown"))

    def _let_go(self, ref: Cell) -> None:
        """Do not restart this child any more."""
        ref._intent = HALT
        self._streaks.pop(ref, None)
        if ref._phase is DOWN:
            self._leave(ref)

    def _leave(self, ref: Cell) -> None:
        """A child that will not be restarted is down now. A temporary one is forgotten."""
        if ref._spec.restart is _TEMPORARY:
            self._forget(ref)

    def _forget(self, ref: Cell) -> None:
        if self.children.get(ref.id) is ref:  # another may have its id by now
            del self.children[ref.id]

    def _ends_too(self) -> bool:
        """Return whether this supervisor ends, now that a significant child has."""
        if self.auto_shutdown is not AutoShutdown.ALL_SIGNIFICANT:
            return self.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
        return not any(ref._spec.significant and ref._intent is not HALT for ref in self.children.values())

    def _has_lasted(self, ref: Cell, backoff: Backoff) -> bool:
        enough = self.period_s if backoff.reset_after_s is None else backoff.reset_after_s
        return self.system.loop.time() - ref._since >= enough

    def _group(self, failed: Cell) -> list[Cell]:
        """Return who is brought back with `failed`, in start order."""
        return [failed]

    def _restart(self, failed: Cell) -> None:
        """Make one attempt to bring back `failed` and its group, unless this is one too many."""
        if not self._window.admits(self.ref._system.loop.time()):
            self._give_up(failed)
            return
        group = self._group(failed)
        delay = 0.0 if self.backoff is None else self._delay(failed, self.backoff)
        if delay or len(group) > 1:
            self._go_on(Repair(group), delay)
            return
        try:
            started = begin(failed)
        except StartFailed:
            self._try_later(failed, Repair(group))
        else:
            if started is True:
                failed._intent = KEEP
            elif started is False:
                self._let_go(failed)
            else:
                self._go_on(Repair(group), 0.0, started)

    def _give_up(self, failed: Cell) -> None:
        self.system.emit(GaveUp(self.ref.path, self.intensity, self.period_s, failed.id))
        end(self.ref, self, Shutdown("restart intensity reached"))

    def _delay(self, failed: Cell, backoff: Backoff) -> float:
        """Return the seconds to wait before this attempt, and tell the hook."""
        self._streaks[failed] = streak = self._streaks.get(failed, 0) + 1
        delay = backoff.delay(streak, self.system.entropy())
        self.system.emit(BackingOff(failed.path, delay))
        return delay

    def _go_on(self, repair: Repair, delay: float, started: _Starting | None = None) -> None:
        """Continue an attempt that has to wait, in a task of its own."""
        for ref in repair.group:
            ref._intent = repair
        _ = self.task(self._repair(repair, delay, started))

    async def _repair(self, repair: Repair, delay: float, started: _Starting | None) -> None:
        """One attempt that waits: stop right to left, pause, start left to right. Ends at the first that fails.

        `started`: the start of the group's only member, when it has begun already.
        """
        group = repair.group
        for ref in reversed(group) if started is None else ():
            await halt(ref)
            if ref._spec.restart is _TEMPORARY:
                self._let_go(ref)
        if delay:
            await asyncio.sleep(delay)
        for ref in group:
            if ref._intent is not repair:
                continue  # stopped for good while this went on
            try:
                self._ready(ref, await (launch(ref) if started is None else born(ref, started)))
            except StartFailed:
                for behind in group[group.index(ref) + 1 :]:
                    if behind._intent is repair:  # else it has been started by hand meanwhile
                        behind._intent = HALT  # OTP: down, until the next attempt or until started by hand
                if ref._intent is repair:
                    self._try_later(ref, repair)
                return

    def _ready(self, ref: Cell, is_up: bool) -> None:
        """Take note of a start that has not failed. `is_up`: False when the child has said IGNORE."""
        if not is_up:
            self._let_go(ref)
            return
        ref._intent = KEEP
        if ref._spec.restart is _TEMPORARY:
            ref._make = None  # and what it was started with: it never starts again

    def _try_later(self, failed: Cell, repair: Repair) -> None:
        failed._intent = repair
        self.after(0.0, Overseer._try_again, failed, repair)  # one attempt a turn: asks are answered between

    def _try_again(self, failed: Cell, repair: Repair) -> None:
        if failed._intent is repair:
            self._restart(failed)


def _check(id: str, intensity: int, period_s: float, auto_shutdown: AutoShutdown, backoff: Backoff | None) -> None:
    if not (is_a(intensity, int) and intensity >= 0):
        raise BadSpec(f"{id}: intensity must be a whole number of restarts, not {intensity!r}")
    if not (is_a(period_s, int | float) and 0 < period_s < math.inf):
        raise BadSpec(f"{id}: period_s must be above 0 and finite, not {period_s!r}")
    if not is_a(auto_shutdown, AutoShutdown):
        raise BadSpec(f"{id}: auto_shutdown must be an AutoShutdown, not {auto_shutdown!r}")
    if backoff is not None and backoff.reset_after_s is None and backoff.top_s * max(intensity, 1) > period_s:
        raise BadSpec(f"{id}: a wait of {backoff.top_s} s lets the window empty; give the backoff a reset_after_s")
