"""What nats-py raises is one word, and never keeps a task from ending."""

import asyncio
from contextlib import suppress

import nats.errors
import pytest

from nodes.bus.connection import away_for_errors
from nodes.bus.login import StrictClient
from nodes.links.errors import BusAway


@pytest.mark.parametrize("answer", [None, nats.errors.NoRespondersError(), OSError("reset")])
async def test_a_task_that_is_told_to_end_as_its_answer_comes_ends_whatever_that_is(answer: Exception | None) -> None:
    """Before Python 3.12 `asyncio.wait_for` returns or raises the answer, and the cancellation has gone by.

    Whoever tries again until the bus is back, at a stream that is not made yet, would never end.
    """
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def tries_again() -> None:
        while True:
            try:
                with away_for_errors():
                    await asyncio.wait_for(asyncio.shield(asked), 60)
            except BusAway:
                await asyncio.Event().wait()

    task = asyncio.create_task(tries_again())
    await asyncio.sleep(0.01)
    asked.set_result(None) if answer is None else asked.set_exception(answer)
    await asyncio.sleep(0)  # the answer is on its way to who waits
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


async def test_a_client_that_ends_has_ended_although_its_reconnecting_has_not_noticed() -> None:
    async def reconnects() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    client = StrictClient(False)
    client._status = client.CLOSED  # as a server that knows its login no more has it
    client._reconnection_task = task = asyncio.create_task(reconnects())
    await asyncio.sleep(0)
    await client.end()
    assert task.done()


async def test_a_client_that_ends_does_not_wait_for_a_reconnecting_that_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nodes.bus.login.AGAIN_S", 0.001)
    is_told = asyncio.Event()

    async def reconnects() -> None:
        while not is_told.is_set():
            with suppress(asyncio.CancelledError):
                await is_told.wait()

    client = StrictClient(False)
    client._status = client.CLOSED
    client._reconnection_task = task = asyncio.create_task(reconnects())
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await client.end()
    assert not task.done()
    is_told.set()
    await task


async def test_a_time_limit_around_it_is_a_time_limit_still() -> None:
    async def waits() -> None:
        async with asyncio.timeout(0.01):
            with away_for_errors():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await waits()
