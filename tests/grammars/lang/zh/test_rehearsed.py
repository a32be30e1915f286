"""A rehearsal in writing: callees who draw what they say from the grammars, as those of a rehearsal by voice do."""

import random
from datetime import date
from pathlib import Path

import pytest

import grammars
from grammars import Conversation, ConversationState, TalkPhase, load
from grammars.conversation_state import Begin, Effect, Enqueue, Say
from grammars.rules import RuleSet
from grammars.rules.compile import compile_rule
from grammars.spoken import normalise, unspeakable
from protocols.floor import Listen, PromptEnded, Understood
from protocols.handover import HandoverFailed

MONDAY = date(2026, 3, 2)
CONTACT = {
    "name": "王芳", "clinic": "康宁医院", "date": "2026-03-05", "time": "15:30", "company": "优品商城", "order": "4250",
}  # fmt: skip
SCRIPTS = sorted((Path(grammars.__file__).parent / "scripts").glob("*_zh.yaml"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_callees_who_answer_what_they_are_asked_are_understood_to_the_end(path: Path) -> None:
    script, ends = load(path.read_text()), set()
    rules = {name: compile_rule(spec, MONDAY) for name, spec in script.rules.items()}
    for seed in range(60):
        dice = random.Random(seed)
        talk = Conversation(script, ConversationState.new(script, CONTACT))
        effects = talk.step(Begin())
        while talk.state.phase is not TalkPhase.ENDED:
            said = " ".join(
                "".join(part.text for part in one) for each in effects if isinstance(each, Say) for one in each.prompts
            )
            assert unspeakable(normalise(said, "zh"), "zh") == ""
            effects = _next(talk, effects, rules, dice)
        assert not any(turn.intent in ("nomatch", "noinput") for turn in talk.state.turns)
        ends.add(talk.state.disposition)
    assert "completed" in ends


def _next(talk: Conversation, effects: list[Effect], rules: dict, dice: random.Random) -> list[Effect]:
    """Let prompts end, answer what is asked with something that its rules have, and fail to find an agent."""
    if talk.state.playing:
        return talk.step(PromptEnded()) or [each for each in effects if isinstance(each, Listen | Enqueue)]
    if asked := next((each for each in effects if isinstance(each, Listen)), None):
        rule = asked.rules[0] if dice.random() < 0.9 else dice.choice(asked.rules)
        heard = RuleSet({name: rules[name] for name in asked.rules})
        while (meaning := heard.parse(words := rules[rule].sample(dice)[0])) is None or meaning.rule == "unsure":
            rule = asked.rules[0]
        return talk.step(Understood(meaning, words))
    return talk.step(HandoverFailed("no_agent"))
