"""A deadline passes behind what has come before it, and not at once for who was away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nodes.edge.alarm import GRACE_S, Alarm
from supervisors import Actor, Child, Ref, Supervisor, running
from supervisors.silence import AWAY_S

SOON_S = 0.05


class Waits(Actor):
    """Waits for an answer, or for its time to be over."""

    mailbox_limit = 2

    def __init__(self) -> None:
        self.alarm = Alarm(self, Waits.expired)
        self.heard: list[str] = []
        self.told = asyncio.Event()

    def wait(self, deadline: float | None) -> None:
        self.alarm.set(deadline)

    def answered(self) -> None:
        self.heard.append("answer")
        self.told.set()

    def expired(self) -> None:
        self.heard.append("expired")
        self.told.set()

    async def until(self, n: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(self.heard) < n:
                await self.told.wait()
                self.told.clear()
        return self.heard


@asynccontextmanager
async def waiting() -> AsyncIterator[tuple[Ref[Waits], Waits]]:
    actor = Waits()
    async with running(Supervisor([Child(lambda: actor, id="a")])) as system:
        yield system.ref("a", Waits), actor


async def test_an_answer_that_waits_when_the_alarm_rings_is_handled_before_it() -> None:
    """It is read in the turn in which the timer rings, as from a socket."""
    async with waiting() as (ref, actor):
        await ref.ask(Waits.wait, time.monotonic() + SOON_S)
        asyncio.get_running_loop().call_soon(ref.tell, Waits.answered)
        time.sleep(2 * SOON_S)  # noqa: ASYNC251 - the process is busy
        assert await actor.until(2) == ["answer", "expired"]


async def test_after_a_pause_an_answer_may_take_a_moment_to_be_read() -> None:
    async with waiting() as (ref, actor):
        await ref.ask(Waits.wait, time.monotonic() + SOON_S)
        time.sleep(AWAY_S + 2 * SOON_S)  # noqa: ASYNC251 - the process stands still
        asyncio.get_running_loop().call_later(GRACE_S / 4, ref.tell, Waits.answered)
        assert await actor.until(2) == ["answer", "expired"]


async def test_what_is_heard_meanwhile_makes_the_moment_no_longer() -> None:
    async with waiting() as (ref, actor):
        deadline = time.monotonic() + SOON_S
        await ref.ask(Waits.wait, deadline)
        time.sleep(AWAY_S + 2 * SOON_S)  # noqa: ASYNC251 - the process stands still
        began_s = time.monotonic()
        while not actor.heard and time.monotonic() - began_s < 4 * GRACE_S:
            await ref.ask(Waits.wait, deadline)  # as after each thing that a call hears
            await asyncio.sleep(GRACE_S / 10)
        assert actor.heard == ["expired"]
        assert time.monotonic() - began_s >= GRACE_S / 2


async def test_it_passes_on_time_and_once() -> None:
    async with waiting() as (ref, actor):
        began = time.monotonic()
        await ref.ask(Waits.wait, began + SOON_S)
        assert await actor.until(1) == ["expired"]
        assert SOON_S <= time.monotonic() - began < AWAY_S
        await asyncio.sleep(2 * SOON_S)
        assert actor.heard == ["expired"]


async def test_who_was_away_waits_a_moment_more_and_then_it_passes() -> None:
    async with waiting() as (ref, actor):
        await ref.ask(Waits.wait, time.monotonic() - 60.0)
        began = time.monotonic()
        assert await actor.until(1) == ["expired"]
        assert time.monotonic() - began >= GRACE_S


async def test_one_that_is_set_anew_or_taken_back_does_not_ring() -> None:
    async with waiting() as (ref, actor):
        await ref.ask(Waits.wait, time.monotonic() + SOON_S)
        await ref.ask(Waits.wait, time.monotonic() + 3600.0)
        await ref.ask(Waits.wait, time.monotonic() + SOON_S)
        await ref.ask(Waits.wait, None)
        await asyncio.sleep(3 * SOON_S)
    assert actor.heard == []


async def test_it_rings_again_where_the_mailbox_was_full() -> None:
    async with waiting() as (ref, actor):
        await ref.ask(Waits.wait, time.monotonic() + SOON_S)
        time.sleep(2 * SOON_S)  # noqa: ASYNC251
        assert ref.tell(Waits.answered)
        assert ref.tell(Waits.answered)
        assert (await actor.until(3))[2] == "expired"
