"""A channel's task is woken by the frame with which there is something to do, and not by each."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.rules.rule import Completeness
from nodes.audio.vad import DECISIVE_FRAMES, TAIL_FRAMES
from nodes.speech import channel as module
from nodes.speech.channel import Channel, Hearing, Surroundings
from nodes.speech.turn import NOTHING_MS, Guess, Step
from nodes.speech.utterance import FRAME_MS, LONGEST_MS, Utterance
from protocols.pauses import INCOMPLETE_S
from protocols.wire.ids import ChannelId, Identity, ScriptHash
from protocols.wire.messages import AudioFrame, Hear, Heard, Meaning, Partial

EDGE = Identity("n1.edge-0:1")
LONG_S = 1000.0


class Deaf:
    """Stands in for an ear, which cannot be in pytest's process: whatever is said is the same guess."""

    def __init__(self, completeness: Completeness) -> None:
        self.guess = Guess("yes", completeness, 0.9, Meaning("yes_no", "yes"), more=0.0)
        self.asked: list[str] = []

    def begin(self, rules: Sequence[str], today: date) -> "Deaf":
        return self

    def feed(self, audio: bytes) -> None:
        self.asked.append("feed")

    def so_far(self, speech_ms: int) -> Guess:
        self.asked.append("so_far")
        return self.guess

    def finish(self, speech_ms: int) -> Guess:
        self.asked.append("finish")
        return self.guess

    def close(self) -> None:
        pass


class Line:
    """A channel whose caller this is."""

    def __init__(self, ear: Deaf, executor: ThreadPoolExecutor) -> None:
        self.told: asyncio.Queue[object] = asyncio.Queue()
        around = Surroundings(executor, self._tell, time.monotonic, date.today, Counter())
        self.channel, self._n, self._utterance = Channel(around), 0, 1
        self.channel.hear(Hear(ChannelId("c"), EDGE, ScriptHash(""), ("yes_no",), 1), ear)  # type: ignore[arg-type]

    def _tell(self, to: Identity, message: object) -> bool:
        self.told.put_nowait(message)
        return True

    def say(self, n_frames: int, *, voiced: bool, over_prompt: bool = False, last: bool = False) -> None:
        for n in range(n_frames):
            at_s, is_last = 100.0 + self._n * 0.02, last and n == n_frames - 1
            self.channel.take(
                AudioFrame(ChannelId("c"), self._utterance, self._n, voiced, bytes(160), at_s, is_last, over_prompt)
            )  # fmt: skip
            self._n += 1
            self._utterance += is_last

    async def next_told(self) -> object:
        async with asyncio.timeout(60):
            return await self.told.get()


@pytest.mark.parametrize(
    ("completeness", "n_silent"),
    [(Completeness.COMPLETE, 8), (Completeness.EXTENDABLE, 15), (Completeness.NO, 40)],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_an_answer_is_told_with_the_frame_of_silence_that_makes_it_one(
    completeness: Completeness, n_silent: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert n_silent in DECISIVE_FRAMES, "media lets no such frame wait"
    monkeypatch.setattr(module, "STALL_S", LONG_S)  # else a task that was not woken would find it out in a second
    ear = Deaf(completeness)
    with ThreadPoolExecutor(1) as executor:
        line = Line(ear, executor)
        attending = asyncio.ensure_future(line.channel.attend())
        for said, n in ((False, 15), (True, 30), (False, n_silent)):
            for _ in range(1 if at_once else n):
                line.say(n if at_once else 1, voiced=said)
                await asyncio.sleep(0)
        told = await line.next_told()
        line.channel.leave()
        await attending
    assert isinstance(told, Heard)
    assert told.meaning == ear.guess.meaning


async def test_what_it_may_become_is_asked_only_while_something_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", LONG_S)
    ear = Deaf(Completeness.COMPLETE)
    with ThreadPoolExecutor(1) as executor:
        line = Line(ear, executor)
        attending = asyncio.ensure_future(line.channel.attend())
        line.say(30, voiced=True, over_prompt=True)
        first = await line.next_told()
        n_asked = ear.asked.count("so_far")
        for _ in range(40):
            line.say(1, voiced=True)
            await asyncio.sleep(0.001)
        line.say(8, voiced=False)
        second = await line.next_told()
        line.channel.leave()
        await attending
    assert isinstance(first, Partial)
    assert isinstance(second, Heard)
    assert ear.asked.count("so_far") == n_asked
    assert ear.asked.count("feed") > 2, "and it is decoded all the same"


async def test_whoever_pauses_longer_than_the_tail_goes_on_with_the_same_phrase() -> None:
    ear = Deaf(Completeness.PREFIX)
    with ThreadPoolExecutor(1) as executor:
        line = Line(ear, executor)
        attending = asyncio.ensure_future(line.channel.attend())
        line.say(30, voiced=True)
        line.say(TAIL_FRAMES, voiced=False, last=True)
        while "finish" not in ear.asked:
            await asyncio.sleep(0.001)
        line.say(15, voiced=False)
        line.say(30, voiced=True)
        ear.guess = Guess("yes indeed", Completeness.COMPLETE, 0.9, Meaning("yes_no", "yes"))
        line.say(TAIL_FRAMES, voiced=False, last=True)
        told = await line.next_told()
        line.channel.leave()
        await attending
    assert isinstance(told, Heard)
    assert (told.words, told.utterance) == ("yes indeed", 2)
    assert line.told.empty(), "two halves are one answer"


async def test_whoever_stops_in_the_middle_of_a_phrase_is_not_waited_for_longer_than_patience_lasts() -> None:
    ear = Deaf(Completeness.PREFIX)
    ear.guess = Guess("yes", Completeness.PREFIX, 0.9, None)
    with ThreadPoolExecutor(1) as executor:
        line = Line(ear, executor)
        attending = asyncio.ensure_future(line.channel.attend())
        line.say(30, voiced=True)
        line.say(TAIL_FRAMES, voiced=False, last=True)
        began_s = time.monotonic()
        told = await line.next_told()
        took_s = time.monotonic() - began_s
        line.say(30, voiced=True)
        line.say(TAIL_FRAMES, voiced=False, last=True)
        again = await line.next_told()
        line.channel.leave()
        await attending
    assert isinstance(told, Heard)
    assert isinstance(again, Heard)
    assert (told.meaning, told.utterance, again.utterance) == (None, 1, 2)
    assert took_s > INCOMPLETE_S - NOTHING_MS / 1000 - 0.05


@given(st.floats(0, 1e7), st.integers(40, 70), st.floats(0.8, 2.5))
def test_whoever_wakes_when_an_answer_is_due_finds_it_due(latest_s: float, n_silent: int, incomplete_s: float) -> None:
    """Not a rounding error before it: nothing would wake the task again."""
    utterance = Utterance()
    for n in range(30 + n_silent):
        utterance.add(AudioFrame(ChannelId("c"), 1, n, n < 30, bytes(160), n * 0.02, n == 29 + n_silent))
    wanted = Hear(ChannelId("c"), EDGE, ScriptHash(""), ("yes_no",), 1, 0.3, incomplete_s)
    hearing = Hearing(utterance, wanted, latest_s=latest_s)
    hearing.guess = Guess("yes", Completeness.PREFIX, 0.9, None)
    assert hearing.step(hearing.due_s) is Step.ANSWER


async def test_of_one_that_is_too_long_nothing_is_waited_for() -> None:
    ear = Deaf(Completeness.PREFIX)
    with ThreadPoolExecutor(1) as executor:
        line = Line(ear, executor)
        attending = asyncio.ensure_future(line.channel.attend())
        line.say(LONGEST_MS // FRAME_MS, voiced=True)
        told = await line.next_told()
        line.channel.leave()
        await attending
    assert isinstance(told, Heard)
