"""Tasks have ended when their owner is closed, also those that do not notice at first."""

import asyncio

import pytest

from nodes.links import tasks as module
from nodes.links.tasks import Tasks


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    swallowed: list[bool] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed.append(True)

    tasks = Tasks()
    await tasks.open()
    tasks.spawn(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.close()
    assert swallowed
    assert len(tasks) == 0


async def test_a_task_that_fails_while_it_is_closed_says_why() -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the disk is gone")

    tasks = Tasks()
    await tasks.open()
    tasks.spawn(fails())
    await asyncio.sleep(0)
    with pytest.raises(ExceptionGroup) as failed:
        await tasks.close()
    assert failed.group_contains(OSError, match="the disk is gone")
