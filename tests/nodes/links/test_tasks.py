"""Tasks have ended when their owner is closed, also those that do not notice at first."""

import asyncio
from contextlib import suppress

import pytest

from nodes.links import tasks as module
from nodes.links.tasks import FAILED, Tasks, closing, failing_at_once


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
    async with asyncio.timeout(60):
        await tasks.close()
    assert swallowed
    assert len(tasks) == 0


async def broken() -> None:
    await asyncio.sleep(0)
    raise RuntimeError("the reason")


@pytest.fixture
async def told() -> list[str]:
    """What the loop's exception handler hears, and what else happens."""
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: heard.append(f"{context['message']}: {context['exception']}")
    )
    return heard


async def test_a_task_that_fails_is_told_of_before_anything_is_stopped_for_it(told: list[str]) -> None:
    class Thing:
        async def close(self) -> None:
            told.append("stopped")

    async def process() -> None:
        async with closing(Thing()), Tasks() as tasks, closing(Thing()):
            tasks.spawn(broken())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await process()
    assert told == [f"{FAILED}: the reason", "stopped", "stopped"]


async def test_so_is_a_block_that_must_not_be_stopped_in_order(told: list[str]) -> None:
    async def process() -> None:
        try:
            with failing_at_once():
                await broken()
        finally:
            told.append("stopped")

    with pytest.raises(RuntimeError):
        await process()
    assert told == [f"{FAILED}: the reason", "stopped"]


async def test_a_task_that_is_cancelled_has_not_failed(told: list[str]) -> None:
    async with Tasks() as tasks:
        tasks.spawn(asyncio.sleep(60))
        await asyncio.sleep(0)
    assert told == []


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


async def test_what_a_timer_wants_begun_while_they_end_or_afterwards_is_not_begun(told: list[str]) -> None:
    """As an edge's timers, which ask other machines: they ring until the process is gone."""
    begun: list[str] = []

    async def work(name: str) -> None:
        begun.append(name)

    tasks = Tasks()

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.spawn(work("while"))

    await tasks.open()
    tasks.spawn(cleans_up())
    await asyncio.sleep(0)
    await tasks.close()
    asyncio.get_running_loop().call_soon(lambda: tasks.spawn(work("afterwards")))
    tasks.spawn_stoppable(work("afterwards"))()
    for _ in range(3):
        await asyncio.sleep(0)
    assert begun == []
    assert told == []


async def test_nor_is_it_begun_when_one_has_failed(told: list[str]) -> None:
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    tasks = Tasks()
    await tasks.open()
    tasks.spawn(broken())
    with suppress(asyncio.CancelledError):  # the group's word that one has failed
        await asyncio.Event().wait()
    tasks.spawn(work())
    with pytest.raises(ExceptionGroup):
        await tasks.close()
    assert begun == []


async def test_tasks_within_a_task_that_is_cancelled_are_cancelled_again_like_those_of_anybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a process that is told to end waits for ever for what one of its parts has begun."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    left = 5

    async def deaf() -> None:
        nonlocal left
        while left:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                left -= 1

    async def part() -> None:
        async with Tasks() as tasks:
            tasks.spawn(deaf())
            await asyncio.Event().wait()

    async with asyncio.timeout(60):
        async with Tasks() as tasks:
            tasks.spawn(part())
            await asyncio.sleep(0.01)
    assert not left
