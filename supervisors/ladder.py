"""How a task is made to stop: the kill ladder. asyncio has no kill, so each rung is a stronger word.

1. `cancel`, and wait as long as the child's shutdown allows.
2. `cancel` at every turn of the loop, five times: a `finally` that awaits takes two, swallowing twice takes three.
3. Close the coroutine: ends the frame of a task that swallows every CancelledError.
4. Abandon: the task lives on, but nothing waits for it, and what it sends is dropped (`System.abandoned`).

Measured on 3.11: only a task that swallows BaseException reaches the last rung.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from supervisors.errors import Interrupted

N_CANCELS: Final = 5

Tasks = Collection["asyncio.Task[object]"]


async def settle(tasks: Tasks, within_s: float) -> Tasks:
    """Wait for cancelled `tasks` to end; return those that have not after `within_s` seconds (may be infinite)."""
    if tasks:
        await asyncio.wait(tasks, timeout=within_s if within_s < float("inf") else None)
    return [task for task in tasks if not task.done()]


async def climb(tasks: Tasks) -> Tasks:
    """Take rungs 2 and 3; return the tasks that would not stop. Takes seven turns of the loop at most."""
    for _ in range(N_CANCELS):
        tasks = [task for task in tasks if not task.done()]
        if not tasks:
            return tasks
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
    for task in tasks:
        if not task.done():
            _close(task)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [task for task in tasks if not task.done()]


def _close(task: asyncio.Task[object]) -> None:
    task.add_done_callback(consume)
    coroutine = task.get_coro()
    try:
        coroutine.close()
    except (Exception, Interrupted):  # noqa: BLE001 - whatever its frame says while it is closed, it has had its chance
        return
    task.cancel()  # wakes the task, which finds its frame ended


def consume(task: asyncio.Future[object]) -> None:
    """Look at its exception, so that asyncio does not log it as forgotten."""
    if not task.cancelled():
        task.exception()
