"""The promises of the supervision kernel, held against medians: each a figure of ours beside one of the floor.

A round is a few fresh processes, one after the other (`round.py`, `crowd.py`, and those of the peers); a promise is
kept or not by the median of the rounds' ratios, so one disturbed round decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from statistics import median
from typing import Final

from nodes.bench.field import Costs
from nodes.bench.peers import beam
from nodes.errors import NodeError

ROUNDS: Final = 3
OURS: Final = "kernel"
FLOOR: Final = "floor"


class BenchFailed(NodeError):
    """A program that measures has ended without its figures."""

    def __init__(self, program: str, status: int, last: str) -> None:
        super().__init__(f"{program}: ended with {status}: {last or 'no word'}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: `figure` beside `base`, which is the floor's or, to show how a cost grows, the same contender's.

    `must` is promised and `stretch` hoped for, both upper limits in `unit`: the ratio of the two, or the figure itself.
    """

    name: str
    figure: str
    base: str
    must: float | None
    stretch: float | None
    unit: str = "ratio"
    of: str = OURS
    base_of: str = FLOOR


# The floor's ask has a deadline only where it says `asyncio.timeout`; ours always has one.
ROWS: Final = (
    Row("ask with deadline / plain ask", "ask_in_time", "ask", 1.15, 0.95),
    Row("ask with deadline / asyncio.timeout", "ask_in_time", "ask_in_time", 0.65, 0.5),
    Row("100 callers / asyncio.timeout", "ask_by_many", "ask_by_many", 0.4, 0.3),
    Row("ask, the handler waits a turn", "ask_waiting", "ask_waiting", 1.5, 1.2),
    Row("tell", "tell", "tell", 1.1, 0.8),
    Row("start of a child", "spawn", "spawn", 0.2, 0.1),
    Row("stop of a child", "stop", "stop", 0.2, 0.05),
    Row("bytes an idle actor, of 100,000", "memory", "memory", 800, 500, "bytes"),
    Row("crash until next answer, p50", "restart_p50", "restart_p50", 1.2, 1.0),
    Row("the same, its mailbox lost", "restart_p50", "restart_p50", None, None, of="forgetful"),
    Row("crash until next answer, p99", "restart_p99", "restart_p99", None, None),
    Row("storm: 1,000 crash", "storm", "storm", 1.0, 0.7),
    Row("storm: 10,000 / 1,000", "storm_of_many", "storm_of_few", 12, None, base_of=OURS),
    Row("start and stop: 100,000 / 1,000", "start_of_many", "start_of_few", 150, 110, base_of=OURS),
    Row("wake-ups in 1 s, 100,000 idle", "wakeups", "wakeups", 0, None, "wake-ups"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a row. `measured` and `base`: microseconds, or in `unit` when that is no ratio.

    All are medians. None: not measured, or nothing to compare with; of `meets_`, that there is no such limit.
    """

    name: str
    ratio: float | None
    must: float | None
    stretch: float | None
    meets_must: bool | None
    meets_stretch: bool | None
    unit: str
    measured: float | None
    base: float | None
    peers: dict[str, float | None]
    """The ratios of others, by name."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's actors: the programs that measure them, and which version is installed; None: none."""

    programs: tuple[tuple[str, ...], ...]
    version: Callable[[], str | None]


def installed(distribution: str) -> str | None:
    """Return the version of an installed distribution, None when it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _python(name: str) -> tuple[tuple[str, ...], ...]:
    children = (("crowd", "peer", who, "children") for who in (FLOOR, name))
    return ("round", "peer", FLOOR, name), *children, ("crowd", "peer", name, "memory")


PEERS: Final = {
    "mode": Peer(_python("mode"), lambda: installed("mode-streaming")),
    "pykka": Peer(_python("pykka"), lambda: installed("pykka")),
    "Erlang": Peer((("peers.beam", "full"),), beam.release),
}
"""Programs of this package, with their arguments."""

Round = Mapping[str, Costs]
"""What one round has measured, by contender."""


def judged(row: Row, rounds: Sequence[Round], peers: Mapping[str, Sequence[Round]]) -> Verdict:
    """Return what came of `row` in these rounds; `peers` have rounds of their own, each with its floor."""
    ratio = _ratio(row, row.of, rounds)
    measured = _median([costs[row.of].get(row.figure) for costs in rounds])
    held = ratio if row.unit == "ratio" else measured
    return Verdict(
        name=row.name,
        ratio=ratio,
        must=row.must,
        stretch=row.stretch,
        meets_must=_meets(held, row.must),
        meets_stretch=_meets(held, row.stretch),
        unit=row.unit,
        measured=measured,
        base=_median([costs[row.base_of].get(row.base) for costs in rounds]),
        peers={name: _ratio(row, name, theirs) for name, theirs in peers.items()},
    )


def missed(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the names of the rows whose must is not met."""
    return [verdict.name for verdict in verdicts if verdict.meets_must is False]


def _ratio(row: Row, name: str, rounds: Sequence[Round]) -> float | None:
    ratios = []
    for costs in rounds:
        measured = costs[name].get(row.figure)
        base = costs[name if row.base_of == OURS else row.base_of].get(row.base)
        ratios.append(measured / base if measured is not None and base else None)
    return _median(ratios)


def _median(figures: Sequence[float | None]) -> float | None:
    there = [figure for figure in figures if figure is not None]
    return median(there) if there else None


def _meets(held: float | None, limit: float | None) -> bool | None:
    """A figure that is missing meets no limit."""
    return None if limit is None else held is not None and held <= limit


async def measure(
    rounds: int = ROUNDS, size: str = "full", peers: Mapping[str, Peer] = {}
) -> tuple[list[Round], dict[str, list[Round]]]:
    """Return our rounds, and those of each peer. Raises: BenchFailed. Cancelled, it leaves no process behind."""
    ours: list[Round] = []
    theirs: dict[str, list[Round]] = {name: [] for name in peers}
    programs = (
        ("round", size, FLOOR, OURS),
        ("round", size, "forgetful"),
        *(("crowd", size, who, work) for work in ("memory", "children") for who in (FLOOR, OURS)),
        *(("crowd", size, OURS, work) for work in ("idle", "storms", "starts")),
    )
    for _ in range(rounds):
        costs = await _merged({}, programs)
        ours.append(costs)
        for name, peer in peers.items():
            theirs[name].append(await _merged({FLOOR: costs[FLOOR]}, peer.programs))
    return ours, theirs


async def _merged(begun: Round, programs: Sequence[Sequence[str]]) -> Round:
    """Return what these programs have measured on top of `begun`; of what is measured twice, the last."""
    costs: dict[str, Costs] = dict(begun)
    for program in programs:
        for name, more in (await figures(program)).items():
            costs[name] = costs.get(name, {}) | more
    return costs


async def figures(program: Sequence[str]) -> dict[str, Costs]:
    """Run a program of this package, with its arguments, and return what it has measured. Raises: BenchFailed."""
    module, *words = program
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"nodes.bench.{module}", *words, stdout=PIPE, stderr=PIPE
    )
    try:
        out, err = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode:
        said = err.decode(errors="replace").strip().splitlines()
        raise BenchFailed(" ".join(program), running.returncode, said[-1] if said else "")
    figures: dict[str, Costs] = json.loads(out)
    return figures
