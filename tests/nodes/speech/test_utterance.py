"""An utterance's frames: in order, each once, none missing, whoever sends them."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Self, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.speech import channel
from nodes.speech.channel import FRAME_BYTES, LONGEST_MS, Utterance
from nodes.speech.recogniser import Ear
from nodes.speech.turn import Guess
from protocols.wire.ids import ChannelId, Identity, ScriptHash
from protocols.wire.messages import AudioFrame, Hear, Heard


def frames(voiced: Sequence[bool], number: int = 7, start_s: float = 100.0) -> list[AudioFrame]:
    """Frames whose bytes are their index."""
    return [
        AudioFrame(ChannelId("c"), number, index, said, bytes([index % 250]) * FRAME_BYTES, start_s + index * 0.02)
        for index, said in enumerate(voiced)
    ]


def heard(given_frames: Sequence[AudioFrame]) -> Utterance:
    utterance = Utterance()
    for frame in given_frames:
        utterance.add(frame)
    return utterance


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_frames_that_come_again_change_nothing(voiced: list[bool], rng) -> None:
    sent = frames(voiced)
    again = [copy for n, frame in enumerate(sent) for copy in (frame, *rng.sample(sent[: n + 1], rng.randrange(2)))]
    once, twice = heard(sent), heard(again)
    assert twice.audio == once.audio
    assert (twice.silence_ms, twice.speech_ms) == (once.silence_ms, once.speech_ms)


LOUD, SOUND, HISS, QUIET = 0x80, 0xC0, 0xE8, 0xFE
"""A voice, a sound 24 dB below it, a noisy line 39 dB below it, and a quiet one."""


@pytest.mark.parametrize(
    ("line", "after", "silence_ms"),
    [
        (QUIET, [QUIET] * 8, 160),
        (QUIET, [SOUND] * 6 + [QUIET] * 8, 160),  # the "s" of "yes"
        (QUIET, [QUIET] * 5 + [SOUND] * 3, 100),  # the first breath of the next word
        (HISS, [HISS] * 8, 160),
        (SOUND, [SOUND] * 8, 160),  # all of the line is so loud
        (QUIET, [SOUND] * 20, 200),  # a line that has become noisy holds nobody up for long
    ],
)
def test_a_silence_is_what_neither_a_voice_nor_a_sound_is_in(line: int, after: list[int], silence_ms: int) -> None:
    heard_bytes = [line] * 15 + [LOUD] * 10 + after
    sent = frames([byte == LOUD for byte in heard_bytes])
    made = [replace(one, payload=bytes([byte]) * FRAME_BYTES) for one, byte in zip(sent, heard_bytes, strict=True)]
    assert heard(made).silence_ms == silence_ms


def test_a_voice_ends_a_silence_with_all_its_sounds() -> None:
    assert heard(frames([True, False, False, True])).silence_ms == 0


@given(st.integers(2, 60), st.data())
def test_a_lost_frame_is_a_frame_of_silence(n_frames: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, n_frames - 2))) if n_frames > 2 else set()
    utterance = heard([frame for frame in frames([True] * n_frames) if frame.index not in lost])
    assert len(utterance.audio) == n_frames * FRAME_BYTES
    for index in range(n_frames):
        byte = 0xFF if index in lost else index
        assert utterance.audio[index * FRAME_BYTES] == byte


@given(st.binary(max_size=400))
def test_a_payload_of_another_length_is_as_good_as_lost(payload: bytes) -> None:
    utterance = heard([replace(frames([True])[0], payload=payload)])
    assert len(utterance.audio) == FRAME_BYTES


def test_silence_counts_from_the_last_voiced_frame() -> None:
    utterance = heard(frames([False] * 15 + [True] * 10 + [False] * 8))
    assert utterance.silence_ms == 160
    assert utterance.speech_ms == 200
    assert utterance.last_voiced_s == 100.0 + 24 * 0.02


def test_before_the_first_voiced_frame_nothing_has_been_said() -> None:
    utterance = heard(frames([False] * 15))
    assert (utterance.silence_ms, utterance.speech_ms, utterance.last_voiced_s) == (0, 0, None)


def test_numbers_that_change_in_the_middle_are_the_same_speech_from_a_successor() -> None:
    first, second = frames([True] * 10, number=7), frames([True] * 10, number=900, start_s=100.3)
    utterance = heard([*first, *second])
    assert len(utterance.audio) == 20 * FRAME_BYTES
    assert utterance.number == 900


def test_a_late_frame_of_the_utterance_before_is_refused() -> None:
    utterance = heard(frames([True] * 5, number=8, start_s=105.0))
    assert not utterance.add(frames([True] * 3, number=7)[2])
    assert not utterance.is_newer(frames([True] * 3, number=7)[2])


def test_the_last_frame_ends_it() -> None:
    *sent, last = frames([True] * 5)
    utterance = heard([*sent, replace(last, last=True)])
    assert utterance.is_over
    assert not utterance.add(replace(last, index=9, at_s=200.0))


def test_what_goes_on_after_the_end_comes_after_as_much_silence_as_there_was() -> None:
    *sent, last = frames([True] * 5 + [False] * 40)
    utterance = heard([*sent, replace(last, last=True)])
    more = frames([False, True], number=200, start_s=101.1)  # ten frames were not sent
    utterance.go_on(more[0])
    assert utterance.silence_ms == 1000
    assert all(utterance.add(frame) for frame in more)
    assert not utterance.is_over
    assert len(utterance.audio) == (5 + 40 + 10 + 2) * FRAME_BYTES
    assert (utterance.number, utterance.silence_ms, utterance.speech_ms) == (200, 0, 1140)


def test_a_caller_who_never_pauses_is_cut() -> None:
    utterance = heard(frames([True] * (LONGEST_MS // 20 + 50)))
    assert utterance.is_over
    assert len(utterance.audio) == LONGEST_MS * 8


def test_an_index_out_of_the_blue_does_not_fill_the_memory() -> None:
    utterance = heard([frames([True])[0], replace(frames([True])[0], index=2**40, at_s=101.0)])
    assert len(utterance.audio) <= (LONGEST_MS + 40) * 8


def test_the_rest_begins_with_the_silence_and_goes_on_counting() -> None:
    sent = frames([True] * 10 + [False] * 8 + [True] * 5)
    utterance = heard(sent[:18])
    rest = utterance.rest()
    assert bytes(rest.audio) == b"".join(frame.payload for frame in sent[10:18])
    assert not rest.add(sent[17])
    for frame in sent[18:]:
        assert rest.add(frame)
    assert rest.speech_ms == 100


class Counting:
    """An ear that hears nothing, and counts."""

    def __init__(self) -> None:
        self.n_begun = self.n_freed = 0

    def begin(self, *_: object) -> Self:
        self.n_begun += 1
        return self

    def feed(self, audio: bytes) -> None:
        sum(range(1000))  # it costs something

    def finish(self, speech_ms: int) -> Guess:
        self.n_freed += 1
        return channel.NOTHING

    def so_far(self, speech_ms: int) -> Guess:
        return channel.NOTHING

    def close(self) -> None:
        self.n_freed += 1


@pytest.mark.parametrize(("limit_s", "n_begun", "n_cut"), [(1e-9, 1, 1), (channel.DECODE_S, 5, 0)])
async def test_an_utterance_that_has_cost_too_much_is_decoded_no_further_and_not_understood(
    monkeypatch: pytest.MonkeyPatch, limit_s: float, n_begun: int, n_cut: int
) -> None:
    """Noise with pauses in it is heard anew after each: that is the square of its length. The next one is heard."""
    monkeypatch.setattr(channel, "DECODE_S", limit_s)
    ear, counts, told = Counting(), Counter[str](), asyncio.Queue[object]()
    with ThreadPoolExecutor(1) as thread:
        around = channel.Surroundings(
            thread, lambda _, message: told.put_nowait(message), time.monotonic, date.today, counts
        )
        hears = channel.Channel(around)
        hears.hear(Hear(ChannelId("c"), Identity("n1.edge-0:1"), ScriptHash("s"), ("yes_no",), 1), cast(Ear, ear))
        attending = asyncio.create_task(hears.attend())
        try:
            for number in (1, 2):
                for frame in frames(([True] * 10 + [False] * 9) * 5, number, start_s=100.0 * number):
                    n_freed = ear.n_freed
                    hears.take(frame)
                    async with asyncio.timeout(60):  # after each pause it is heard anew, or not any more
                        while frame.index % 19 == 18 and n_freed == ear.n_freed and counts["over_time"] < number:
                            await asyncio.sleep(0.001)
                for frame in frames([False] * 45, number, start_s=100.0 * number + 2):
                    hears.take(replace(frame, index=frame.index + 95))
                answer = await asyncio.wait_for(told.get(), 60)
                assert isinstance(answer, Heard)
                assert answer.meaning is None
        finally:
            hears.leave()
            await attending
    assert counts == {"not_understood": 2, **({"over_time": 2 * n_cut} if n_cut else {})}
    assert (ear.n_begun, ear.n_freed) == (2 * n_begun, 2 * n_begun)
