"""One round: a fresh process in which contenders take turns at the same work, on processor time.

`python -m nodes.bench.round SIZES CONTENDER...` prints one JSON object: by contender and figure, microseconds.
Processor time, because the machine may be shared and nothing here ever idles; the best of several turns, because what
disturbs a turn only ever adds to it; turns in alternation, so that what disturbs for longer disturbs all alike.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from time import process_time
from typing import Final

from nodes.bench.contender import Contender
from nodes.bench.field import Costs, Sizes, entered

N_CALLERS: Final = 100
BURST: Final = 500
"""Messages told before the actor is waited for: half of what a mailbox holds."""


async def ask(it: Contender, sizes: Sizes) -> Costs:
    """One caller, without a deadline where that is possible."""
    return {"ask": await _asked(it.ask, sizes.asks)}


async def ask_in_time(it: Contender, sizes: Sizes) -> Costs:
    """One caller, with a deadline."""
    return {"ask_in_time": await _asked(it.ask_in_time, sizes.asks)}


async def ask_by_many(it: Contender, sizes: Sizes) -> Costs:
    """A hundred callers at the same time, with a deadline."""

    async def caller() -> None:
        for n in range(each):
            await it.ask_in_time(n)

    each = sizes.asks // N_CALLERS
    began = process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(N_CALLERS):
            group.create_task(caller())
    return {"ask_by_many": (process_time() - began) / (each * N_CALLERS) * 1e6}


async def ask_waiting(it: Contender, sizes: Sizes) -> Costs:
    """One caller, a handler that waits."""
    return {"ask_waiting": await _asked(it.ask_waiting, sizes.asks)}


async def tell(it: Contender, sizes: Sizes) -> Costs:
    """Bursts of messages that nobody answers, each waited for by one that is."""
    began = process_time()
    for _ in range(sizes.tells // BURST):
        for n in range(BURST):
            it.tell(n)
        await it.ask(0)
    return {"tell": (process_time() - began) / (sizes.tells // BURST * BURST) * 1e6}


async def restart(it: Contender, sizes: Sizes) -> Costs:
    """One child crashed again and again: from the message that crashes it to the first answer of its replacement."""
    await it.spawn(1)
    gc.collect()
    times = []
    for _ in range(sizes.restarts):
        began = process_time()
        it.crash(0)
        await it.back(0)
        times.append(process_time() - began)
    await it.stop()
    times.sort()
    return {"restart_p50": times[len(times) // 2] * 1e6, "restart_p99": times[len(times) * 99 // 100] * 1e6}


async def storm(it: Contender, sizes: Sizes) -> Costs:
    """All children crashed at the same time, until all replacements have answered; for each child."""
    return {"storm": await stormed(it, sizes.storm) / sizes.storm}


WORK: Final = (ask, ask_in_time, ask_by_many, ask_waiting, tell, restart, storm)


async def stormed(it: Contender, n: int) -> float:
    """Return the microseconds of a storm of `n`: all crash at the same time, and then each is asked."""
    await it.spawn(n)
    gc.collect()
    began = process_time()
    for i in range(n):
        it.crash(i)
    for i in range(n):
        await it.back(i)
    took = process_time() - began
    await it.stop()
    return took * 1e6


async def _asked(ask: Callable[[int], Awaitable[int]], n_asks: int) -> float:
    began = process_time()
    for n in range(n_asks):
        await ask(n)
    return (process_time() - began) / n_asks * 1e6


async def round_of(entries: dict[str, Callable[[], Contender]], sizes: Sizes) -> dict[str, Costs]:
    """Return what each contender's work costs, by contender: microseconds, the best of its turns."""
    contenders = {name: made() for name, made in entries.items()}
    best: dict[str, Costs] = {name: {} for name in entries}
    for it in contenders.values():
        await it.open()
    for work in WORK:
        for _ in range(sizes.turns):
            for name, it in contenders.items():
                for key, cost in (await work(it, sizes)).items():
                    best[name][key] = min(cost, best[name].get(key, cost))
    for it in contenders.values():
        await it.close()
    return best


def main(argv: Sequence[str]) -> None:
    """Print the round that `SIZES CONTENDER...` asks for. Raises: SystemExit, for names that are not known."""
    sizes, entries = entered(argv[0], argv[1:])
    sys.stdout.write(json.dumps(asyncio.run(round_of(entries, sizes))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
