"""What very many children cost: a fresh process for one contender and one work, with up to a hundred thousand of them.

`python -m nodes.bench.crowd SIZES CONTENDER WORK` prints one JSON object, as `round.py` does. The works are `memory`,
`idle`, `children`, `storms` and `starts`. One work a process, because each leaves the heap in another order for the
next. Where it is shown how a cost grows the collector is rare, as in all our processes: its share grows with the heap.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import selectors
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Final

from nodes import collector
from nodes.bench.contender import Contender
from nodes.bench.field import Costs, Sizes, entered, known_or_exit
from nodes.bench.round import stormed

IDLE_S: Final = 1.0
FEW: Final = 100
"""Starts are measured of a crowd, and of one this many times smaller."""
MORE: Final = 10
"""Storms are measured of the usual size, and of one this many times larger."""
TURNS: Final = 3
WARM: Final = 10
"""Children started and stopped before: what is made once is not an actor's memory."""


class Counting(selectors.DefaultSelector):
    """Counts how often its loop slept and was woken, by a timer or from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.n_wakeups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        self.n_wakeups += timeout is None or timeout > 0
        return found


async def idle(it: Contender, sizes: Sizes, selector: Counting) -> Costs:
    """How often a crowd that has nothing to do wakes its loop in a second. No watchdog here: it has ten ticks."""
    await it.spawn(sizes.crowd)
    before = selector.n_wakeups
    await asyncio.sleep(IDLE_S)
    woken = selector.n_wakeups - before - 1  # but for the end of this pause
    await it.stop()
    return {"wakeups": woken / IDLE_S}


async def memory(it: Contender, sizes: Sizes, _: Counting) -> Costs:
    """What an idle child keeps of the machine's memory: bytes, of the process's resident set."""
    await it.spawn(WARM)
    await it.stop()
    gc.collect()
    before = resident()
    await it.spawn(sizes.crowd)
    gc.collect()
    kept = resident() - before
    await it.stop()
    return {"memory": kept / sizes.crowd}


async def children(it: Contender, sizes: Sizes, _: Counting) -> Costs:
    """Idle children started, and stopped together: microseconds for each, the best of several turns."""
    spawned, stopped = [], []
    for _turn in range(sizes.turns):
        gc.collect()
        began = process_time()
        await it.spawn(sizes.children)
        between = process_time()
        await it.stop()
        spawned.append((between - began) / sizes.children * 1e6)
        stopped.append((process_time() - between) / sizes.children * 1e6)
    return {"spawn": min(spawned), "stop": min(stopped)}


async def storms(it: Contender, sizes: Sizes, _: Counting) -> Costs:
    """All of some children crashed, and all of ten times as many: microseconds for all."""
    collector.settle()
    few, many = sizes.storm, sizes.storm * MORE
    took = [(await stormed(it, few), await stormed(it, many)) for _ in range(TURNS)]
    return {"storm_of_few": min(few for few, _ in took), "storm_of_many": min(many for _, many in took)}


async def starts(it: Contender, sizes: Sizes, _: Counting) -> Costs:
    """A crowd started and stopped, and one of a hundredth: microseconds for all."""
    collector.settle()
    few, many = sizes.crowd // FEW, sizes.crowd
    took = [(await _started(it, few), await _started(it, many)) for _ in range(TURNS)]
    return {"start_of_few": min(few for few, _ in took), "start_of_many": min(many for _, many in took)}


async def _started(it: Contender, n: int) -> float:
    gc.collect()
    began = process_time()
    await it.spawn(n)
    await it.stop()
    return (process_time() - began) * 1e6


WORK: Final[dict[str, Callable[[Contender, Sizes, Counting], Awaitable[Costs]]]] = {
    work.__name__: work for work in (memory, idle, children, storms, starts)
}


def resident() -> int:
    """Return the bytes of memory that this process has now. Source: proc(5), statm."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def crowd_of(it: Contender, work: str, sizes: Sizes, selector: Counting) -> Costs:
    """Return the figures of this work."""
    await it.open()
    costs = await WORK[work](it, sizes, selector)
    await it.close()
    return costs


def main(argv: Sequence[str]) -> None:
    """Print what `SIZES CONTENDER WORK` asks for. Raises: SystemExit, for names that are not known."""
    size, name, work = argv
    sizes, entries = entered(size, [name])
    known_or_exit([work], WORK)
    selector = Counting()

    async def measured() -> Costs:
        return await crowd_of(entries[name](), work, sizes, selector)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        sys.stdout.write(json.dumps({name: runner.run(measured())}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
