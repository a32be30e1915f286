"""Operating-system processes as children: one alone, or an active one with warm spares.

    Supervisor([
        Pair.child("edge", Program((sys.executable, "-m", "nodes.edge")), on_change=roster.changed),
        OsProcess.child("recorder", Program((sys.executable, "-m", "nodes.recorder")), on_change=roster.changed),
    ])

Both are actors: the process is up before the start returns, its death is the actor's crash (exit code 0: a Normal end),
stopping the actor stops the process. `on_change` hears of every process and every change of its standing, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final, TypedDict

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.end import end
from supervisors.errors import BadSpec
from supervisors.exits import Crash, Exit, Normal
from supervisors.intensity import RestartWindow
from supervisors.leash import Leash
from supervisors.program import (
    OnChange,
    ProcessDied,
    ProcessExit,
    ProcessReport,
    Program,
    Standing,
)
from supervisors.spec import Child, Restart

__all__ = ["OsProcess", "Pair", "Program", "ProcessReport", "ProcessExit", "ProcessDied", "Standing"]

_KILL_S: Final = 2.0
"""What the kernel may take to end a process that was killed."""
_SPARE_BACKOFF: Final = Backoff(first_s=0.5, top_s=30.0)
SLOWER_S: Final = 0.5
"""A start takes about a second of a core: so often at most is one begun while active processes die and die."""


class _Keeper(Actor):
    """What has processes: spawns them on a leash, reports them, and lets none outlive its own life."""

    def __init__(self, program: Program, on_change: OnChange | None) -> None:
        self.program = program
        self._on_change = on_change
        self._leashes: list[Leash] = []

    async def terminate(self, reason: Exit) -> None:
        """Stop them all at the same time."""
        await asyncio.gather(*(leash.stop() for leash in self._leashes))

    def reports(self) -> list[ProcessReport]:
        """Return how its processes are now, the oldest first."""
        return [self._report(leash) for leash in self._leashes]

    def inform(self, body: Mapping[str, object]) -> None:
        """Send `body` to every process that is ready, as Told. What comes later must be told when it is reported."""
        for leash in self._leashes:
            if leash.standing is not Standing.STARTING:
                leash.tell(body)

    def _spawn(self, *, is_spare: bool) -> Leash:
        leash = Leash(self.program, is_spare=is_spare, changed=self._changed)
        self._leashes.append(leash)
        self.ref._watch(leash, lambda *_: leash.kill("its keeper is gone"))  # after a kill there is no terminate
        return leash

    async def _ready(self, leash: Leash) -> None:
        """Wait for it to be ready; a start that is cancelled leaves no process."""
        try:
            await leash.ready()
        except BaseException:
            leash.kill("its start was cancelled")
            await leash.gone()
            raise

    def _changed(self, leash: Leash) -> None:
        if self._on_change is not None and leash.pid:  # soon, in this order: a take-over does not wait for its audience
            self.system.loop.call_soon(self._on_change, self._report(leash))
        if leash.is_gone:
            self._leashes.remove(leash)
            self.ref._unwatch(leash)
            if self.ref._actor is self:
                self._lost(leash)

    def _report(self, leash: Leash) -> ProcessReport:
        return ProcessReport(self.ref.id, leash.pid, leash.standing, leash.info, leash.exit)

    def _lost(self, leash: Leash) -> None:
        """A process has ended by itself: so does this life, unless a subclass knows better."""
        assert leash.exit is not None
        reason = Normal() if leash.exit.code == 0 else Crash(ProcessDied(leash.pid, leash.exit))
        end(self.ref, self, reason, during=self.program.argv[0])


class OsProcess(_Keeper):
    """One process."""

    def __init__(self, program: Program, on_change: OnChange | None = None) -> None:
        super().__init__(program, on_change)

    @staticmethod
    def child(
        id: str,
        program: Program,
        *,
        on_change: OnChange | None = None,
        restart: Restart = Restart.PERMANENT,
        significant: bool = False,
    ) -> Child[OsProcess]:
        """Return the spec of a process as a child, with a shutdown that leaves time for SIGTERM and SIGKILL."""
        start = partial(OsProcess, program, on_change)
        return Child(start, id=id, restart=restart, significant=significant, **_times(program))

    async def init(self) -> None:
        """Spawn it; return when it is ready. Raises ProcessDied, OSError."""
        await self._ready(self._spawn(is_spare=False))


class Pair(_Keeper):
    """An active process and `spares` warm ones of the same program.

    When the active one has ended and is reaped, the spare that has been ready longest is told Activate in the same turn
    of the loop; when none is ready, the first that becomes so. Each is told once. This life ends only when the last of
    its processes does: then its supervisor starts it cold.

    New spares are spawned in the turn after; `SLOWER_S` later, while another one is there, when there were more than
    `intensity` take-overs in `period_s` seconds. A spare that ends by itself is replaced after an ever longer pause.
    Neither keeps a spare that is there from its work: who holds the records is never thrown away.
    """

    def __init__(
        self,
        program: Program,
        on_change: OnChange | None = None,
        *,
        spares: int = 1,
        intensity: int = 5,
        period_s: float = 60.0,
    ) -> None:
        super().__init__(program, on_change)
        self._window = RestartWindow(intensity, period_s)
        self._n_spares = spares
        self._active: Leash | None = None
        self._spares: list[Leash] = []
        """The oldest first, ready or not."""
        self._n_lost_spares = 0

    @staticmethod
    def child(
        id: str,
        program: Program,
        *,
        on_change: OnChange | None = None,
        spares: int = 1,
        intensity: int = 5,
        period_s: float = 60.0,
        restart: Restart = Restart.PERMANENT,
        significant: bool = False,
    ) -> Child[Pair]:
        """Return the spec of a pair as a child, with a shutdown that leaves time for SIGTERM and SIGKILL.

        Raises BadSpec.
        """
        if spares < 1:
            raise BadSpec(f"{id}: a pair without a spare is an OsProcess")
        start = partial(Pair, program, on_change, spares=spares, intensity=intensity, period_s=period_s)
        return Child(start, id=id, restart=restart, significant=significant, **_times(program))

    async def init(self) -> None:
        """Spawn the active process; when it is ready, spawn the spares and return. Raises ProcessDied, OSError."""
        self._active = self._spawn(is_spare=False)
        await self._ready(self._active)
        self._fill()

    def _fill(self) -> None:
        """Spawn the spares that are missing."""
        try:
            while len(self._spares) < self._n_spares:
                self._spares.append(self._spawn(is_spare=True))
        except OSError:  # no process to be had: not the active one's fault
            self._fill_later()

    def _fill_later(self) -> None:
        self._n_lost_spares += 1
        self.after(_SPARE_BACKOFF.delay(self._n_lost_spares, self.system.entropy()), Pair._fill)

    def _changed(self, leash: Leash) -> None:
        super()._changed(leash)
        if leash.standing is Standing.SPARE and self.ref._actor is self:
            self._n_lost_spares = 0
            if self._active is None:
                self._take_over(leash)

    def _lost(self, leash: Leash) -> None:
        is_spare = leash is not self._active
        if is_spare:
            self._spares.remove(leash)
        else:
            self._active = None
        if self._active is None and not self._spares:
            return super()._lost(leash)
        if is_spare:
            self._fill_later()
        elif ready := next((spare for spare in self._spares if spare.standing is Standing.SPARE), None):
            self._take_over(ready)

    def _take_over(self, spare: Leash) -> None:
        self._spares.remove(spare)
        self._active = spare
        spare.activate()
        if self._window.admits(self.system.loop.time()) or not self._spares:
            self.defer(Pair._fill)  # in the next turn: a fork takes milliseconds
        else:
            self.after(SLOWER_S, Pair._fill)


class _Times(TypedDict):
    shutdown: float
    start_timeout_s: float


def _times(program: Program) -> _Times:
    return {"shutdown": program.stop_s + _KILL_S, "start_timeout_s": program.ready_s + _KILL_S}
