"""A crowd of calls on a stage: as many up as the node takes, and what they live through in a window of time.

What it does: orders calls until so many are up, orders those again that were refused, looks at events, callees and
processor time. What it does not: print. The pure part, from what was seen to a row, is `row_of`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from nodes.commands.call import new_order
from nodes.commands.judge import percentile
from nodes.commands.stage import Stage
from nodes.links.errors import LinkError, Refused
from nodes.links.roster import Roster, State
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, Identity
from protocols.wire.messages import EndCall, PlaceCall

ORDER_S: Final = 1.0
"""So often all are ordered that are wanted and not up."""
RAMP_S: Final = 60.0
"""So long may it take until as many are up as will be."""
STEADY_S: Final = 13.0
"""When so long no further call has come up, none will: one rings for 6 s, and is proven 5 s later."""
SETTLE_S: Final = 4.0
"""From the last call's coming up to the window: its greeting and first question."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
CALLEES: Final = "callees"
BENCH: Final = "bench"


@dataclass(frozen=True, slots=True)
class Row:
    """One window. `calls_up`: on average. `refused`: of the wanted ones at the end of the window, by `node_full`.

    `cpu_s_per_call_min`: of the node alone; `by_process` has the same unit, with the callees and this command, too.
    `gap_max_ms`: in any callee's ear. `nomatch_share`: of the turns in which somebody spoke.
    """

    calls_wanted: int
    calls_up: float
    refused: int
    capacity: float
    cpu_s_per_call_min: float
    by_process: dict[str, float]
    turns: int
    turn_p50_ms: float | None
    turn_p95_ms: float | None
    gap_max_ms: float
    nomatch_share: float
    seconds: float
    load: float
    scheduler: str


@dataclass(frozen=True, slots=True)
class Window:
    """When, and what the processes had taken by its end: seconds of processor time, by name."""

    wanted: int
    refused: int
    capacity: float
    began_s: float
    ended_s: float
    began: datetime
    ended: datetime
    cpu_s: Mapping[str, float]
    load: float
    scheduler: str


class Crowd:
    """The calls of a bench. `take` gets every event of the node."""

    def __init__(self, stage: Stage, script: str) -> None:
        self._stage, self._pattern = stage, new_order("sip:nobody", script, {})  # a script is checked once
        self._users = count(1)
        self._live: dict[CallId, bool] = {}
        self._wanted = 0
        self._came_up_s = 0.0
        self.events: list[CallEvent] = []
        self.n_orders_refused = 0

    @property
    def n_up(self) -> int:
        """Calls that are answered and not over."""
        return sum(self._live.values())

    def take(self, event: CallEvent) -> None:
        """Note what has become of a call."""
        self.events.append(event)
        if event.kind is Kind.ANSWERED and event.call_id in self._live:
            self._live[event.call_id] = True
            self._came_up_s = time.monotonic()
        elif event.kind is Kind.ENDED:
            self._live.pop(event.call_id, None)

    async def want(self, n: int) -> None:
        """Have `n` calls up from now on; return when they are, or when no more come."""
        self._wanted = n
        for call_id in list(self._live)[n:]:
            await self._stage.client.mesh.ask(self._edge(call_id), EndCall(call_id))
        began_s = self._came_up_s = time.monotonic()
        while self.n_up < n and (now := time.monotonic()) < began_s + RAMP_S and now < self._came_up_s + STEADY_S:
            await self.order()
            await asyncio.sleep(ORDER_S)
        await self.pass_time(SETTLE_S)

    async def pass_time(self, seconds: float) -> None:
        """Go on wanting so many calls, for so long."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            await self.order()
            await asyncio.sleep(min(ORDER_S, left_s))

    async def order(self) -> None:
        """Order all calls that are wanted and not there, at once."""
        orders = [self._order() for _ in range(self._wanted - len(self._live))]
        await asyncio.gather(*map(self._place, orders))

    async def window(self, seconds: float) -> Window:
        """Look at the crowd for so long."""
        before, began, began_s = self._cpu_s(), datetime.now(UTC), time.monotonic()
        await self.pass_time(seconds)
        after, ended, ended_s = self._cpu_s(), datetime.now(UTC), time.monotonic()
        media = await self._stage.client.figures("media")
        return Window(
            wanted=self._wanted,
            refused=self._wanted - len(self._live),
            capacity=(await self._stage.client.figures("edge")).get("capacity", 0.0),
            began_s=began_s,
            ended_s=ended_s,
            began=began,
            ended=ended,
            cpu_s={name: after[name] - before[name] for name in before.keys() & after.keys()},
            load=round(os.getloadavg()[0], 2),
            scheduler="SCHED_RR" if media.get("realtime") else "SCHED_OTHER",
        )

    async def leave(self) -> None:
        """Hang up everywhere; return when every callee has told how it was, or some do not."""
        self._wanted, answered = 0, {event.call_id for event in self.events if event.kind is Kind.ANSWERED}
        for call_id in list(self._live):
            await self._stage.client.mesh.ask(self._edge(call_id), EndCall(call_id))
        for _ in range(round(RAMP_S / ORDER_S)):
            if not answered - {report["call_id"] for report in await asyncio.to_thread(self._stage.lived)}:
                return
            await asyncio.sleep(ORDER_S)

    def _order(self) -> PlaceCall:
        call_id, target = uuid4().hex, self._stage.callee(f"cooperative-{next(self._users)}")
        return replace(self._pattern, attempt_id=AttemptId(call_id), call_id=CallId(call_id), target=target)

    async def _place(self, order: PlaceCall) -> None:
        self._live[order.call_id] = False
        try:
            await self._stage.client.mesh.ask(self._edge(order.call_id), order)
        except Refused:
            self._live.pop(order.call_id, None)
            self.n_orders_refused += 1
        except LinkError:  # nobody knows whether it was taken: its events tell
            pass

    def _edge(self, call_id: CallId) -> Identity:
        """Return who has a call, for nobody else is ever asked to take it."""
        return self._stage.client.one("edge", call_id).identity

    def _cpu_s(self) -> dict[str, float]:
        return cpu_of([self._stage.client.roster()], os.getpid())


def cpu_of(rosters: Iterable[Roster], us: int) -> dict[str, float]:
    """Return the processor time so far of nodes, of the callees beside them, and of this command, by name."""
    taken: dict[str, float] = {}
    for name, seconds in cpu_by_pid(rosters, us).values():
        taken[name] = taken.get(name, 0.0) + seconds
    return taken


def cpu_by_pid(rosters: Iterable[Roster], us: int) -> dict[int, tuple[str, float]]:
    """Return name and processor time so far of each process of nodes, of their callees, and of this command."""
    rosters = list(rosters)
    launchers = {roster.launcher.pid for roster in rosters if roster.launcher}
    names = {**dict.fromkeys(launchers, "launcher"), us: BENCH}
    for peer in (peer for roster in rosters for peer in roster.processes):
        names[peer.pid] = f"{peer.name} (spare)" if peer.state is State.SPARE else peer.name
    found: dict[int, tuple[str, float]] = {}
    for pid, parent, comm, seconds in _processes():
        name = names.get(pid) or (comm if parent in launchers else CALLEES if parent == us else "")
        if name:
            found[pid] = name, seconds
    return found


def _processes() -> Iterable[tuple[int, int, str, float]]:
    """Yield pid, parent, name and processor time of every process. Source: proc_pid_stat(5)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:
            continue  # it has ended
        pid, _, comm = head.partition(" (")
        fields = tail.split()
        yield int(pid), int(fields[1]), comm, (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def row_of(window: Window, events: Sequence[CallEvent], lived: Iterable[Mapping[str, Any]]) -> Row:
    """Return what a window came to. `lived`: the callees' reports."""
    answers, gap_ms = [], 0.0
    for report in lived:
        moments = list(zip(report["answered_s"], report["answers_ms"], strict=True))
        answers += [ms for at, ms in moments[1:] if window.began_s <= at < window.ended_s]
        gap_ms = max([gap_ms, *(ms for at, ms in report["gaps"] if window.began_s <= at < window.ended_s)])
    kinds = [event.kind for event in events if window.began <= event.wall < window.ended]
    n_heard, n_not = kinds.count(Kind.HEARD), kinds.count(Kind.NOMATCH)
    seconds = window.ended_s - window.began_s
    n_up = mean_up(events, window.began, window.ended)
    minutes = n_up * seconds / 60 or 1.0
    by_process = {name: round(cpu_s / minutes, 4) for name, cpu_s in sorted(window.cpu_s.items())}
    return Row(
        calls_wanted=window.wanted,
        calls_up=round(n_up, 1),
        refused=window.refused,
        capacity=window.capacity,
        cpu_s_per_call_min=round(sum(by_process[name] for name in by_process.keys() - {CALLEES, BENCH}), 3),
        by_process=by_process,
        turns=n_heard + n_not,
        turn_p50_ms=percentile(answers, 50),
        turn_p95_ms=percentile(answers, 95),
        gap_max_ms=gap_ms,
        nomatch_share=round(n_not / (n_heard + n_not), 4) if n_heard + n_not else 0.0,
        seconds=round(seconds, 1),
        load=window.load,
        scheduler=window.scheduler,
    )


def mean_up(events: Iterable[CallEvent], began: datetime, ended: datetime) -> float:
    """Return how many calls were up between two moments, on average."""
    answered = {event.call_id: event.wall for event in events if event.kind is Kind.ANSWERED}
    over = {event.call_id: event.wall for event in events if event.kind is Kind.ENDED}
    up_s = sum(
        max(0.0, (min(over.get(call, ended), ended) - max(wall, began)).total_seconds())
        for call, wall in answered.items()
    )  # fmt: skip
    return up_s / (ended - began).total_seconds()


__all__ = ["BENCH", "CALLEES", "Crowd", "Row", "Window", "cpu_by_pid", "cpu_of", "mean_up", "row_of"]
