"""Several rules at once: the state's own before the intents."""

from collections.abc import Callable

import pytest

from grammars.rules import INTENTS, Completeness, Rule, RuleSet


@pytest.fixture
def answers(rule_of: Callable[..., Rule]) -> RuleSet:
    return RuleSet({"confirm": rule_of("yes_no"), **{name: rule_of(name) for name in INTENTS}})


def test_the_meaning_carries_the_scripts_name_of_the_rule(answers: RuleSet) -> None:
    meaning = answers.parse("yeah")
    assert meaning is not None
    assert (meaning.rule, meaning.intent) == ("confirm", "yes")


def test_the_first_rule_that_understands_wins(rule_of: Callable[..., Rule]) -> None:
    number, digits = rule_of("number"), rule_of("digits")
    first = RuleSet({"a": number, "b": digits}).parse("seven")
    second = RuleSet({"b": digits, "a": number}).parse("seven")
    assert first is not None
    assert second is not None
    assert (first.rule, second.rule) == ("a", "b")


def test_an_intent_is_heard_beside_the_states_own_rule(answers: RuleSet) -> None:
    meaning = answers.parse("can I speak to a human, please?")
    assert meaning is not None
    assert meaning.intent == "human"


def test_written_text_is_read_by_the_rule_it_suits(rule_of: Callable[..., Rule]) -> None:
    meaning = RuleSet({"code": rule_of("digits"), "human": rule_of("human")}).read("4250")
    assert meaning is not None
    assert (meaning.rule, meaning.slots) == ("code", {"value": "4250"})


@pytest.mark.parametrize("words", ["yes", "no", "yeah", "no thanks", "stop", "wrong number"])
def test_the_usual_answers_are_complete_although_every_intent_listens(answers: RuleSet, words: str) -> None:
    assert answers.completeness(words) is Completeness.COMPLETE


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("wrong", Completeness.EXTENDABLE),
        ("i don't", Completeness.EXTENDABLE),
        ("can i", Completeness.PREFIX),
        ("purple", Completeness.NO),
    ],
)
def test_words_that_another_rule_would_continue_are_not_complete(
    answers: RuleSet, words: str, expected: Completeness
) -> None:
    assert answers.completeness(words) is expected


def test_its_words_are_those_of_its_rules(answers: RuleSet) -> None:
    assert answers.words == frozenset[str]().union(*(rule.words for rule in answers.rules.values()))


def test_no_rules_understand_nothing() -> None:
    assert RuleSet({}).parse("yes") is None
    assert RuleSet({}).completeness("yes") is Completeness.NO
