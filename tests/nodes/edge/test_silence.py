"""A callee of whom nothing is heard: when they count as gone is in the record, whichever life of the call reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from nodes.call import record as records
from nodes.call.record import GONE_AFTER_S, CallPhase, CallRecord
from nodes.edge.alarm import Alarm
from nodes.edge.call import Call
from nodes.edge.keeper import Keeper
from protocols.sip import Media, MediaChanged
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity
from protocols.wire.messages import AudioArrived, AudioLost, Channel, PlaceCall
from supervisors import Child, Ref, Supervisor, running

ORDER = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ann@192.0.2.1", "")
CHANNEL = Channel(ChannelId("c1"), Identity("n1.edge-0:1"), 40000, 1, 2, 3, 1000.0)
TALKS = CallRecord(ORDER, phase=CallPhase.CONVERSING, answered_s=1000.0, channel=CHANNEL)


def test_who_is_silent_since_the_answer_is_waited_for_from_the_answer_on() -> None:
    assert replace(TALKS, silent_since_s=990.0).gone_at_s == 1000.0 + GONE_AFTER_S
    assert replace(TALKS, silent_since_s=1100.0).gone_at_s == 1100.0 + GONE_AFTER_S


@pytest.mark.parametrize(
    "changes",
    [
        {"silent_since_s": 0.0},
        {"answered_s": 0.0, "phase": CallPhase.RINGING},
        {"phase": CallPhase.ENDING},
        {"phase": CallPhase.DONE},
        {"channel": replace(CHANNEL, sends=False)},
    ],
    ids=["heard", "ringing", "ending", "over", "on hold"],
)
def test_nobody_is_waited_for_who_is_heard_or_need_not_be(changes: dict[str, Any]) -> None:
    assert replace(TALKS, **{"silent_since_s": 1100.0, **changes}).gone_at_s is None


class HungUp(Call):
    """A call without a telephone: only what media tells, and whether it hangs up."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper, self._bot, self._alarm = keeper, None, Alarm(self, Call.expired)
        self._handing = self._line = self  # type: ignore[assignment]
        self.deadline = None
        self.ended: list[str] = []

    def init(self) -> None: ...
    def agree(self, media: Media, now: float) -> None: ...
    def arrived(self, told: AudioArrived) -> None: ...
    def terminate(self, reason: object) -> None: ...

    def hang_up(self, disposition: str, cause: str) -> None:
        self.ended.append(cause)
        self._keeper.write(phase=CallPhase.ENDING)

    def told_so(self) -> list[str]:
        return self.ended


@asynccontextmanager
async def life(keeper: Keeper) -> AsyncIterator[Ref[HungUp]]:
    async with running(Supervisor([Child(lambda: HungUp(keeper), id="call")])) as system:
        yield system.ref("call", HungUp)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(records, "GONE_AFTER_S", 0.3)
    return Keeper(replace(TALKS, answered_s=time.monotonic() - 60.0), lambda keeper: None)


async def test_told_twice_that_nothing_is_heard_and_then_that_they_are_nobody_hangs_up(keeper: Keeper) -> None:
    async with life(keeper) as call:
        for news in (AudioLost("c1", 0.2), AudioLost("c1", 0.2), AudioArrived("c1", 0.0)):  # type: ignore[arg-type]
            await call.ask(Call.told, news)
        assert keeper.record.gone_at_s is None
        await asyncio.sleep(0.2)
        assert await call.ask(HungUp.told_so) == []


async def test_a_second_word_does_not_give_them_more_time(keeper: Keeper) -> None:
    async with life(keeper) as call:
        await call.ask(Call.told, AudioLost(ChannelId("c1"), 0.2))
        before = keeper.record.gone_at_s
        await call.ask(Call.told, AudioLost(ChannelId("c1"), 0.1))
        assert keeper.record.gone_at_s == before


async def test_another_far_end_is_waited_for_anew(keeper: Keeper) -> None:
    async with life(keeper) as call:
        await call.ask(Call.told, AudioLost(ChannelId("c1"), 0.2))
        before = keeper.record.gone_at_s
        await call.ask(Call.happened, MediaChanged(Media("192.0.2.2", 5, 0, -1, True, True)))
        assert before is not None
        assert keeper.record.gone_at_s is not None
        assert keeper.record.gone_at_s > before


async def test_who_stays_silent_is_hung_up_on_once(keeper: Keeper) -> None:
    async with life(keeper) as call:
        await call.ask(Call.told, AudioLost(ChannelId("c1"), 0.29))
        while not await call.ask(HungUp.told_so):
            await asyncio.sleep(0.01)
        assert await call.ask(HungUp.told_so) == ["no_audio"]
