"""What callees say where the node is measured: a few answers of each meaning, ready before the first call."""

import random
from datetime import date

import pytest

from grammars.rules.compile import compile_rule
from grammars.rules.spec import RuleSpec
from nodes.rehearsal import repertoire, voices
from nodes.rehearsal.repertoire import Repertoire, few

YES_NO = compile_rule(RuleSpec("yes_no"), date(2026, 3, 3))
STOP = compile_rule(RuleSpec("stop"), date(2026, 3, 3))


def test_a_few_phrases_of_each_intent_are_kept_and_the_seed_decides_which() -> None:
    phrases = few(YES_NO, 2, random.Random(1))
    assert sorted(meaning.intent for _, meaning in phrases) == ["no", "no", "yes", "yes"]
    assert phrases == few(YES_NO, 2, random.Random(1)) != few(YES_NO, 2, random.Random(2))


async def test_every_answer_to_a_question_is_spoken_once_in_every_voice_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoken: list[tuple[str, str]] = []

    async def note(words: str, voice: str) -> bytes:
        spoken.append((words, voice))
        return b""

    monkeypatch.setattr(repertoire, "speak", note)
    people = Repertoire({"yes_no": YES_NO, "stop": STOP}, ["yes_no"], 2, seed=1)
    await people.rehearse()
    assert len(spoken) == len(set(spoken))
    dice = random.Random(3)
    for _ in range(50):
        words, _ = people.answer("yes_no", dice)
        assert {(words, voice) for voice in voices.VOICES} <= set(spoken)
    assert people.answer("stop", dice)[1].intent == "stop", "what nobody asks is drawn from the whole grammar"


async def test_a_sentence_is_spoken_once_and_remembered() -> None:
    assert await voices.speak("hello", "slt") is await voices.speak("hello", "slt")
