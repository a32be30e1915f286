"""What every rule promises, whatever it hears."""

import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grammars.rules import INTENTS, NAMES, Completeness, Rule
from grammars.rules.compile import compile_rule
from grammars.rules.spec import RuleSpec

ROUND = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TAKES_BACK = {"no", "sorry", "mean", "rather", "make"}
"""A word of what somebody says who corrects themselves."""
EVERY = pytest.mark.parametrize("name", NAMES)


LIKELY = 0.2
"""From there on a caller is waited for (`nodes.speech.turn`)."""


class TestLikelyMore:
    @pytest.mark.parametrize(
        ("name", "words", "is_likely"),
        [
            ("date", "march third", False),  # the year
            ("date", "monday", False),  # the third of march
            ("date", "the third", True),  # of march
            ("date", "tomorrow", False),
            ("time", "half past nine", False),  # in the morning
            ("time", "three", True),  # thirty
            ("money", "twenty", True),
            ("money", "forty two dollars", True),  # and fifty cents
            ("number", "two hundred", True),
            ("yes_no", "yes", False),
        ],
    )
    def test_it_is_told_from_the_weights_of_the_grammar(
        self, rule_of: Callable[..., Rule], name: str, words: str, is_likely: bool
    ) -> None:
        assert (rule_of(name).likely_more(words) >= LIKELY) is is_likely

    def test_where_no_phrase_ends_more_is_to_come(self, rule_of: Callable[..., Rule]) -> None:
        assert rule_of("date").likely_more("march") == rule_of("date").likely_more("purple") == 1.0


class TestCompleteness:
    @pytest.mark.parametrize(
        ("name", "words", "expected"),
        [
            ("yes_no", "", Completeness.PREFIX),
            ("yes_no", "um", Completeness.PREFIX),
            ("yes_no", "purple", Completeness.NO),
            ("yes_no", "no", Completeness.COMPLETE),
            ("yes_no", "yes", Completeness.COMPLETE),
            ("yes_no", "yes please", Completeness.COMPLETE),
            ("number", "twenty", Completeness.EXTENDABLE),
            ("number", "twenty hundred", Completeness.NO),
            ("time", "half past", Completeness.PREFIX),
            ("time", "half past three", Completeness.EXTENDABLE),
            ("time", "half past three p m", Completeness.COMPLETE),
            ("time", "noon", Completeness.COMPLETE),
            ("date", "march third", Completeness.EXTENDABLE),
            ("date", "march third twenty twenty six", Completeness.COMPLETE),
            ("date", "tomorrow", Completeness.COMPLETE),
            ("phone", "five five five two one nine nine", Completeness.EXTENDABLE),
            ("phone", "five five five oh one nine nine", Completeness.COMPLETE),  # no exchange begins with 0
            ("phone", "two one two five five five oh one nine nine", Completeness.COMPLETE),
        ],
    )
    def test_a_phrase_is_complete_when_no_further_word_could_change_it(
        self, rule_of: Callable[..., Rule], name: str, words: str, expected: Completeness
    ) -> None:
        assert rule_of(name).completeness(words) is expected

    def test_the_last_of_four_digits_completes_them(self, rule_of: Callable[..., Rule]) -> None:
        rule = rule_of("digits", length=4)
        spoken = "four two five oh".split()
        found = [rule.completeness(" ".join(spoken[:n])) for n in range(5)]
        assert found == [Completeness.PREFIX] * 4 + [Completeness.COMPLETE]

    @EVERY
    @ROUND
    @given(seed=st.integers(0, 2**32))
    def test_every_beginning_of_a_phrase_is_a_prefix_or_a_phrase(
        self, rule_of: Callable[..., Rule], name: str, seed: int
    ) -> None:
        rule = rule_of(name)
        words = rule.sample(random.Random(seed))[0].split()
        for n in range(len(words) + 1):
            beginning = " ".join(words[:n])
            is_phrase = rule.parse(beginning) is not None
            assert rule.completeness(beginning) is not Completeness.NO
            assert is_phrase == (rule.completeness(beginning) in (Completeness.COMPLETE, Completeness.EXTENDABLE))

    @EVERY
    @ROUND
    @given(seed=st.integers(0, 2**32))
    def test_nothing_that_follows_a_complete_phrase_changes_its_meaning(
        self, rule_of: Callable[..., Rule], name: str, seed: int
    ) -> None:
        rule = rule_of(name)
        phrase, meaning = rule.sample(random.Random(seed))
        words = phrase.split()
        for n in range(len(words)):
            if rule.completeness(beginning := " ".join(words[:n])) is Completeness.COMPLETE:
                assert rule.parse(beginning) == meaning or set(words[n:]) & TAKES_BACK

    @pytest.mark.parametrize(
        ("name", "words", "value"),
        [
            ("date", "the third no the fifth", "2026-03-05"),
            ("date", "march third no wait march sixth please", "2026-03-06"),
            ("date", "on friday sorry monday", "2026-03-09"),
            ("time", "three o'clock i mean four p m", "16:00"),
            ("time", "noon no sorry half past one", "13:30"),
        ],
    )
    def test_whoever_corrects_themselves_means_what_they_say_last(
        self, rule_of: Callable[..., Rule], name: str, words: str, value: str
    ) -> None:
        rule = rule_of(name)
        meaning = rule.parse(words)
        assert meaning
        assert meaning.slots["value"] == value

    def test_what_was_chosen_is_taken_back_by_another_choice_and_nobody_waits_for_that(self) -> None:
        options = {"keep": ["keep it"], "move": ["move it"]}
        rule = compile_rule(RuleSpec("choices", {"options": options}), date(2026, 3, 4))
        assert rule.completeness("keep it") is Completeness.COMPLETE
        assert rule.completeness("keep it no") is Completeness.PREFIX
        assert rule.parse("keep it no move it") == rule.parse("move it")


class TestWhatTheRecogniserIsGiven:
    @EVERY
    def test_arcs_are_deterministic_with_probabilities_and_lead_somewhere(
        self, rule_of: Callable[..., Rule], name: str
    ) -> None:
        acceptor = rule_of(name).arcs()
        assert len({(arc.src, arc.word) for arc in acceptor.arcs}) == len(acceptor.arcs)
        assert all(arc.word and 0 < arc.probability <= 1.0001 for arc in acceptor.arcs)
        assert all(0 < probability <= 1.0001 for _, probability in acceptor.finals)
        leaving = {arc.src for arc in acceptor.arcs} | {state for state, _ in acceptor.finals}
        assert leaving == set(range(acceptor.n_states))
        assert {arc.word for arc in acceptor.arcs} == rule_of(name).words

    def test_a_rare_phrase_is_less_probable_than_a_usual_one(self, rule_of: Callable[..., Rule]) -> None:
        acceptor = rule_of("yes_no").arcs()
        first = {arc.word: arc.probability for arc in acceptor.arcs if arc.src == acceptor.start}
        assert first["yes"] == pytest.approx(1.0)
        assert first["nah"] == pytest.approx(0.3)
        assert first["um"] == pytest.approx(0.05)

    @EVERY
    @ROUND
    @given(seed=st.integers(0, 2**32))
    def test_every_path_has_a_meaning(self, rule_of: Callable[..., Rule], name: str, seed: int) -> None:
        rule = rule_of(name)
        phrase, meaning = rule.sample(random.Random(seed))
        assert rule.parse(phrase) == meaning

    def test_bounds_keep_the_grammar_small(self, rule_of: Callable[..., Rule]) -> None:
        assert "hundred" in rule_of("number").words
        assert "hundred" not in rule_of("number", max=20).words
        assert "thirty" not in rule_of("number", max=20).words


class TestWrittenText:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("digits", "4250", "4250"),
            ("digits", "007", "007"),
            ("number", "1,200", "1200"),
            ("ordinal", "3rd", "3"),
            ("date", "March 3rd, 2026", "2026-03-03"),
            ("date", "2026-03-03", "2026-03-03"),
            ("date", "Tomorrow!", "2026-03-05"),
            ("time", "3:30 pm", "15:30"),
            ("time", "at 3pm", "15:00"),
            ("money", "$42.50", "42.50"),
            ("money", "42.5", "42.50"),
            ("phone", "(212) 555-0199", "2125550199"),
            ("yes_no", "Yes, please.", "yes"),
            ("choices", "I'd like the Sales Team", "sales"),
        ],
    )
    def test_text_is_understood_as_it_would_be_read_aloud(
        self, rule_of: Callable[..., Rule], name: str, text: str, value: str
    ) -> None:
        meaning = rule_of(name).read(text)
        assert meaning is not None
        assert meaning.slots == {"value": value}


class TestAnyText:
    @EVERY
    @ROUND
    @given(
        text=st.text() | st.lists(st.sampled_from(["um", "two", "hundred", "p", "m", "yes", "and", "oh"])).map(" ".join)
    )
    def test_no_text_raises_and_only_phrases_have_a_meaning(
        self, rule_of: Callable[..., Rule], name: str, text: str
    ) -> None:
        rule = rule_of(name)
        is_phrase = rule.completeness(text) in (Completeness.COMPLETE, Completeness.EXTENDABLE)
        assert (rule.parse(text) is not None) == is_phrase
        rule.read(text)

    @EVERY
    @ROUND
    @given(value=st.text())
    def test_a_value_without_a_phrase_is_not_said(self, rule_of: Callable[..., Rule], name: str, value: str) -> None:
        phrase = rule_of(name).say(value)
        assert phrase is None or rule_of(name).parse(phrase) is not None


class TestGlobalIntents:
    def test_no_phrase_belongs_to_two_intents(self, rule_of: Callable[..., Rule]) -> None:
        rng = random.Random(3)
        for name in (*INTENTS, "yes_no"):
            for phrase in {rule_of(name).sample(rng)[0] for _ in range(300)}:
                others = [other for other in (*INTENTS, "yes_no") if other != name and rule_of(other).parse(phrase)]
                assert not others, f"{phrase!r} of {name} is also {others}"


def test_rules_travel_to_a_process_that_has_no_pynini(rule_of: Callable[..., Rule], tmp_path: Path) -> None:
    rules = {name: rule_of(name) for name in NAMES}
    (tmp_path / "rules").write_bytes(pickle.dumps(rules))
    code = (
        "import pickle, sys; rules = pickle.load(open(sys.argv[1], 'rb'));"
        "assert rules['date'].parse('march third') and not {'pynini', 'pywrapfst'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "rules")], check=True, timeout=60)
    assert pickle.loads(pickle.dumps(rules)) == rules


class TestDaysThatAreOver:
    """`from_days`: who asks for a day to come cannot be given one that has been."""

    @pytest.mark.parametrize(
        ("from_days", "words", "is_understood"),
        [
            (0, "today", True),
            (0, "march third", True),  # without a year it is the next one
            (0, "march third twenty twenty six", True),
            (0, "march first twenty twenty six", False),
            (0, "the third of may twenty twenty", False),
            (1, "today", False),
            (1, "tomorrow", True),
            (-99_999, "the third of may twenty twenty", True),
        ],
    )
    def test_a_day_before_the_first_possible_one_is_not_understood(
        self, from_days: int, words: str, is_understood: bool
    ) -> None:
        rule = compile_rule(RuleSpec("date", {"from_days": from_days}), date(2026, 3, 2))
        assert (rule.parse(words) is not None) == is_understood

    def test_no_callee_who_answers_by_the_rule_names_one(self) -> None:
        rule = compile_rule(RuleSpec("date", {"from_days": 0}), date(2026, 3, 2))
        dice = random.Random(1)
        assert all(rule.sample(dice)[1].slots["value"] >= "2026-03-02" for _ in range(200))
