"""What callers say, as the speech process hears it: real voices, real engines, over the mesh."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from nodes.audio import g711
from nodes.audio.vad import TAIL_FRAMES
from protocols.wire import messages as wire

YEAR = datetime.now(UTC).year + 1


@pytest.mark.parametrize(
    ("state", "said", "voice_name", "intent", "value"),
    [
        ("confirm", "yes", "kal16", "yes", "yes"),
        ("confirm", "no thank you", "slt", "no", "no"),
        ("confirm", "that's right", "awb", "yes", "yes"),
        ("pin", "four two seven one", "rms", "digits", "4271"),
        ("pin", "nine nine five zero", "kal", "digits", "9950"),
        ("age", "forty two", "kal16", "number", "42"),
        ("day", f"the third of march twenty {YEAR % 100}", "slt", "date", None),
        ("hour", "half past three", "rms", "time", None),
        ("amount", "twenty dollars", "kal16", "money", None),
        ("line", "two one two five five five nine one seven six", "slt", "phone", "2125559176"),
        ("team", "the sales team", "kal16", "sales", "sales"),
        ("team", "technical support", "awb", "support", "support"),
        ("confirm", "stop calling me", "kal16", "stop", None),
        ("team", "i want to speak to an agent", "slt", "human", None),
        ("pin", "can you repeat that please", "rms", "repeat", None),
        ("confirm", "you have the wrong number", "kal", "wrong_number", None),
        ("confirm", "yes please", "espeak", "yes", "yes"),
        ("team", "technical support", "rms", "support", "support"),
    ],
)
async def test_an_answer_is_understood(
    caller, voice, state: str, said: str, voice_name: str, intent: str, value: str | None
) -> None:
    heard = await caller.answer(state, voice(said, voice_name))
    assert heard.meaning is not None, heard
    assert heard.meaning.intent == intent
    assert value is None or heard.meaning.slots == {"value": value}
    assert heard.confidence >= 0.5
    assert (heard.channel_id, heard.turn, heard.utterance) == (caller.channel, 1, 1)


def sounds() -> dict[str, bytes]:
    """A second of what is no speech, between silences."""
    rng = np.random.default_rng(1)
    at = np.arange(8000) / 8000
    chord = sum(np.sin(2 * np.pi * hz * at) for hz in (262, 330, 392, 523))
    heard = {
        "white noise": rng.normal(0, 4000, 8000),
        "a tone": 9000 * np.sin(2 * np.pi * 440 * at),
        "music": 4000 * chord * (1 + np.sin(2 * np.pi * 3 * at)),
        "clicks": np.where(rng.random(8000) < 0.003, 20000, 0),
        "full scale": np.where(at % 0.01 < 0.005, 32000, -32000),
    }
    quiet = b"\xff" * 2400
    return {name: quiet + g711.encode(sound.astype(np.int16)) + quiet for name, sound in heard.items()} | {
        "any bytes": quiet + rng.bytes(8000) + quiet
    }


@pytest.mark.parametrize("sound", sounds().values(), ids=sounds().keys())
async def test_what_is_no_speech_is_no_answer_and_stops_no_prompt(caller, voice, sound: bytes) -> None:
    await caller.listen("confirm")
    frames = caller.frames(sound)
    caller.send([replace(frame, voiced=2400 <= 160 * frame.index < 10400) for frame in frames])
    heard = await caller.next_heard()
    assert heard.meaning is None
    assert heard.words == ""
    while not caller.partials.empty():
        assert not caller.partials.get_nowait().in_grammar
    again = await caller.answer("confirm", voice("yes"), turn=2)
    assert again.meaning is not None, "and the engine hears on"


async def test_other_speech_is_no_answer(caller, voice) -> None:
    heard = await caller.answer("pin", voice("the children are playing in the garden"))
    assert heard.meaning is None


async def test_a_complete_answer_is_told_long_before_the_tail_ends(caller, voice) -> None:
    await caller.listen("confirm")
    frames = caller.frames(voice("yes", after_ms=180), is_over=False)
    caller.send(frames)
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.speech_ended_s < frames[-8].at_s
    assert heard.decided_s >= heard.speech_ended_s - 1.0


async def test_an_answer_that_may_go_on_is_waited_for(caller, voice) -> None:
    await caller.listen("age")
    first = voice("twenty", after_ms=300)
    caller.send(caller.frames(first + voice("three", before_ms=0, after_ms=820)))
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": "23"}


@pytest.mark.parametrize("voice_name", ["kal16", "slt", "awb", "rms", "espeak"])
@pytest.mark.parametrize(
    ("state", "said"), [("pin", "four two seven"), ("line", "two one two five five five"), ("day", "the day after")]
)
async def test_what_is_missing_of_an_answer_is_not_made_up(caller, voice, state, said, voice_name) -> None:
    heard = await caller.answer(state, voice(said, voice_name))
    assert heard.meaning is None


@pytest.mark.parametrize("pause_ms", [300, 500, 700, 900, 1200])
@pytest.mark.parametrize(
    ("state", "said", "then", "value"),
    [
        ("pin", "four two", "seven one", "4271"),
        ("line", "two one two", "five five five nine one seven six", "2125559176"),
        ("hour", "half past", "nine", "09:30"),
    ],
)
async def test_whoever_pauses_in_the_middle_of_an_answer_is_waited_for(
    caller, voice, silence, pause_ms: int, state: str, said: str, then: str, value: str
) -> None:
    await caller.listen(state)
    first = caller.frames(voice(said, after_ms=0) + silence(pause_ms), is_over=False)
    n_voiced = max(frame.index for frame in first if frame.voiced) + 1
    cut = n_voiced + TAIL_FRAMES  # where media ends an utterance; it begins another 300 ms before somebody speaks again
    ends = len(first) > cut
    caller.send([*first[: cut - 1], replace(first[cut - 1], last=True)] if ends else first)
    second = caller.frames(voice(then, before_ms=0))
    if not ends:
        second = tuple(replace(one, utterance=1, index=one.index + len(first)) for one in second)
    caller.send(second)
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": value}
    assert caller.heard.empty()


@pytest.mark.parametrize("pause_ms", [300, 500, 700])
@pytest.mark.parametrize(
    ("state", "said", "then", "value"),
    [("amount", "two hundred", "and ten dollars", "210.00"), ("hour", "three", "thirty p m", "15:30")],
)
async def test_whoever_may_well_go_on_is_waited_for_as_long_as_people_pause(
    caller, voice, silence, pause_ms: int, state: str, said: str, then: str, value: str
) -> None:
    await caller.listen(state)
    caller.send(caller.frames(voice(said, after_ms=0) + silence(pause_ms) + voice(then, before_ms=0, after_ms=1000)))
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": value}


async def test_an_answer_that_might_be_another_of_the_grammar_is_told_with_less_confidence(caller, voice) -> None:
    clear = await caller.answer("pin", voice("nine five zero three", "slt"))
    assert clear.meaning is not None
    assert clear.confidence > 0.9
    both = [
        g711.decode(voice(words, "slt")).astype(np.int32) for words in ("nine five zero three", "five nine zero three")
    ]
    length = min(map(len, both))
    mixed = g711.encode(((both[0][:length] + both[1][:length]) // 2).astype(np.int16))
    unclear = await caller.answer("pin", mixed, turn=2)
    assert unclear.confidence < 0.9 < clear.confidence


async def test_words_of_the_grammar_are_told_while_they_are_said(caller, voice) -> None:
    await caller.listen("line")
    frames = caller.frames(voice("two one two five five five nine one seven six"))
    caller.send(frames[:100])
    async with asyncio.timeout(60):
        partial = await caller.partials.get()
    caller.send(frames[100:])
    heard = await caller.next_heard()
    assert partial.in_grammar
    assert partial.words.startswith("two")
    assert (partial.turn, partial.utterance) == (heard.turn, heard.utterance)


async def test_an_okay_while_the_bot_speaks_is_no_answer_and_stops_nothing_and_after_it_it_is_one(
    caller, voice
) -> None:
    await caller.listen("confirm")
    caller.send(caller.frames(voice("okay")))
    heard = await caller.next_heard()
    assert (heard.meaning, heard.words) == (None, "")
    while not caller.partials.empty():
        assert not caller.partials.get_nowait().in_grammar
    caller.send([replace(frame, over_prompt=False) for frame in caller.frames(voice("okay"))])
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.intent == "yes"


async def test_what_is_said_while_nothing_is_played_is_told_once_when_it_is_understood(caller, voice) -> None:
    await caller.listen("line")
    frames = caller.frames(voice("two one two five five five nine one seven six"))
    caller.send([replace(frame, over_prompt=False) for frame in frames])
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": "2125559176"}
    assert caller.partials.empty()


async def test_frames_that_come_twice_or_never_change_little(caller, voice) -> None:
    await caller.listen("pin")
    frames = list(caller.frames(voice("four two seven one")))
    rng = random.Random(4)
    lost = set(rng.sample(range(40, 70), 2))
    ragged = [frame for frame in frames if frame.index not in lost]
    caller.send([copy for frame in ragged for copy in [frame] * rng.choice([1, 1, 2])])
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": "4271"}


async def test_frames_of_any_length_and_content_do_no_harm(caller, voice) -> None:
    await caller.listen("confirm")
    rng = random.Random(2)
    frames = caller.frames(voice("yes"))
    caller.send([replace(frame, payload=rng.randbytes(rng.randrange(0, 400))) for frame in frames])
    assert (await caller.next_heard()).meaning is None
    assert (await caller.answer("confirm", voice("yes"), turn=2)).meaning is not None


async def test_an_engine_that_takes_over_hears_the_same_from_the_replay(caller, voice) -> None:
    frames = caller.frames(voice("the third of march"))
    await caller.listen("day")
    caller.send(frames[:60])
    caller.edge.tell(caller.engine, wire.Deafen(caller.channel))  # here the engine has died, and the next is asked
    await caller.listen("day")
    caller.send(frames)
    replayed = await caller.next_heard()
    whole = await caller.answer("day", voice("the third of march"), turn=2)
    assert replayed.meaning == whole.meaning
    assert whole.meaning is not None
    assert whole.meaning.slots["value"].endswith("-03-03")


async def test_an_engine_that_takes_over_after_an_answer_hears_what_was_said_after_it_and_not_the_answer(
    caller, voice
) -> None:
    frames = caller.frames(voice("no", after_ms=300) + voice("i want to speak to an agent", before_ms=0))
    split = next(n for n in range(40, len(frames)) if not any(frame.voiced for frame in frames[n - 9 : n]))
    await caller.listen("confirm", turn=1)
    caller.send(frames[:split])
    first = await caller.next_heard()
    caller.edge.tell(caller.engine, wire.Deafen(caller.channel))  # here another is asked, and media replays
    await caller.listen("team", turn=2, after_s=first.speech_ended_s)
    caller.send(frames[:split])
    await caller.settle()
    caller.send(frames[split:])
    second = await caller.next_heard()
    assert second.meaning is not None
    assert (second.turn, second.meaning.intent) == (2, "human")
    assert caller.heard.empty()


async def test_what_is_said_after_an_answer_is_heard_for_the_next_turn(caller, voice) -> None:
    await caller.listen("confirm", turn=1)
    both = voice("no", after_ms=300) + voice("i want to speak to an agent", before_ms=0)
    frames = caller.frames(both)
    split = next(n for n in range(40, len(frames)) if not any(frame.voiced for frame in frames[n - 9 : n]))
    caller.send(frames[:split])
    first = await caller.next_heard()
    await caller.listen("team", turn=2)
    caller.send(frames[split:])
    second = await caller.next_heard()
    assert first.meaning is not None
    assert second.meaning is not None
    assert (first.turn, first.meaning.intent) == (1, "no")
    assert (second.turn, second.meaning.intent) == (2, "human")


async def test_a_channel_is_heard_on_after_what_was_no_answer(caller, voice) -> None:
    assert (await caller.answer("confirm", voice("the weather is nice"))).meaning is None
    caller.send(caller.frames(voice("yes")))
    assert (await caller.next_heard()).meaning is not None


async def test_nothing_is_heard_after_the_answer_until_somebody_asks(caller, voice) -> None:
    assert (await caller.answer("confirm", voice("yes"))).meaning is not None
    caller.send(caller.frames(voice("no")))
    assert (await caller.answer("confirm", voice("yes"), turn=2)).turn == 2
    assert caller.heard.empty()


async def test_an_utterance_whose_frames_stop_coming_is_over(caller, voice) -> None:
    await caller.listen("pin")
    caller.send(caller.frames(voice("four two seven one", after_ms=0), is_over=False))
    heard = await caller.next_heard()
    assert heard.meaning is not None
    assert heard.meaning.slots == {"value": "4271"}


async def test_silence_is_never_told(caller, voice, silence) -> None:
    await caller.listen("confirm")
    caller.send(caller.frames(silence(2000)))
    await caller.settle()
    assert (await caller.answer("confirm", voice("yes"), turn=2)).turn == 2
    assert caller.heard.empty()


async def test_forty_callers_are_heard_at_once(caller, voice) -> None:
    others = [caller.another(f"caller {n}") for n in range(40)]
    answers = await asyncio.gather(*(other.answer("pin", voice("four two seven one")) for other in others))
    assert {heard.meaning.slots["value"] if heard.meaning else None for heard in answers} == {"4271"}


async def test_a_successor_who_asks_for_an_answered_turn_is_told_the_answer_again(caller, voice) -> None:
    first = await caller.answer("confirm", voice("yes"))
    await caller.listen("confirm", turn=1)
    assert await caller.next_heard() == first
    second = await caller.answer("confirm", voice("no"), turn=2)
    assert second.meaning is not None
    assert second.meaning.intent == "no"
