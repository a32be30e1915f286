"""A stream is read in rounds: seldom, and at once for whoever asks."""

from __future__ import annotations

import asyncio

from nodes.recorder.rounds import Rounds


async def test_a_round_is_not_followed_by_another_until_somebody_asks() -> None:
    rounds = Rounds(pause_s=60.0)
    rounds.begin()
    pause = asyncio.create_task(rounds.end())
    await asyncio.sleep(0)
    assert not pause.done()
    asking = asyncio.create_task(rounds.fresh())
    await pause
    assert not asking.done()
    rounds.begin()
    following = asyncio.create_task(rounds.end())
    await asking
    following.cancel()


async def test_who_asks_in_the_middle_of_a_round_is_answered_by_the_next_one() -> None:
    rounds = Rounds(pause_s=60.0)
    rounds.begin()
    asking = asyncio.create_task(rounds.fresh())
    await asyncio.sleep(0)
    await rounds.end()  # without a pause: somebody has asked
    assert not asking.done()
    rounds.begin()
    following = asyncio.create_task(rounds.end())
    await asking
    following.cancel()


async def test_who_asked_during_a_round_that_failed_is_answered_by_one_that_does_not() -> None:
    rounds = Rounds(pause_s=0.0)
    asking = asyncio.create_task(rounds.fresh())
    given_up = asyncio.create_task(rounds.fresh())
    await asyncio.sleep(0)
    rounds.begin()
    given_up.cancel()
    rounds.begin()  # the first one has met a server that is away
    await rounds.end()
    await asking
