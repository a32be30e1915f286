"""When the turn is ours: the decision, for every kind of guess."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammars.rules.rule import Completeness
from nodes.speech.confidence import ACCEPT, REJECT
from nodes.speech.turn import (
    GUESS_MS,
    LIKELY,
    NOTHING_MS,
    UNSURE_MS,
    Guess,
    Patience,
    Step,
    begins,
    next_step,
    patience_ms,
)
from protocols.wire.messages import Meaning

COMPLETE, EXTENDABLE, PREFIX, NO = (
    Completeness.COMPLETE, Completeness.EXTENDABLE, Completeness.PREFIX, Completeness.NO,
)  # fmt: skip
GUESSES = st.builds(
    Guess,
    words=st.just("words"),
    completeness=st.sampled_from(Completeness),
    confidence=st.floats(0, 1),
    meaning=st.none() | st.just(Meaning("r", "i")),
)


COMPLETE_MS, INCOMPLETE_MS = 700.0, 1500.0
ASKED = Patience(COMPLETE_MS, INCOMPLETE_MS)


def guess(completeness: Completeness, confidence: float) -> Guess:
    return Guess("words", completeness, confidence, None)


@pytest.mark.parametrize(
    ("completeness", "confidence", "silence_ms"),
    [
        (COMPLETE, ACCEPT, GUESS_MS),
        (COMPLETE, ACCEPT - 0.01, UNSURE_MS),
        (COMPLETE, REJECT - 0.01, NOTHING_MS),
        (EXTENDABLE, 1.0, COMPLETE_MS),
        (EXTENDABLE, ACCEPT - 0.01, COMPLETE_MS),
        (EXTENDABLE, REJECT - 0.01, NOTHING_MS),
        (PREFIX, 1.0, INCOMPLETE_MS),
        (PREFIX, REJECT - 0.01, NOTHING_MS),
        (NO, 1.0, NOTHING_MS),
    ],
)
def test_how_long_the_caller_may_pause(completeness: Completeness, confidence: float, silence_ms: float) -> None:
    assert patience_ms(guess(completeness, confidence), ASKED) == silence_ms


@pytest.mark.parametrize(("more", "silence_ms"), [(0.0, 300), (LIKELY - 0.01, 300), (LIKELY, 700), (1.0, 700)])
def test_who_hardly_ever_goes_on_is_waited_for_less_long(more: float, silence_ms: float) -> None:
    march_third = Guess("march third", EXTENDABLE, 1.0, None, more=more)
    assert patience_ms(march_third, ASKED) == silence_ms
    assert patience_ms(march_third, Patience(150.0, INCOMPLETE_MS)) == 150, "a question may wait for nobody"


def test_words_of_an_answer_stop_a_prompt_and_those_of_a_listener_do_not() -> None:
    said = ("yes", "keep it", "okay keep it", "okay", "right", "mm")
    assert [begins(Guess(words, COMPLETE, 1.0, None)) for words in said] == [True, True, True, False, False, False]


def test_nothing_is_guessed_in_the_closure_of_a_plosive() -> None:
    assert next_step(GUESS_MS - 10, None, ASKED, is_over=False) is Step.LISTEN


def test_a_guess_comes_before_any_answer() -> None:
    assert next_step(5000, None, ASKED, is_over=True) is Step.GUESS


def test_a_complete_answer_needs_no_further_silence() -> None:
    assert next_step(GUESS_MS, guess(COMPLETE, 1.0), ASKED, is_over=False) is Step.ANSWER


@given(GUESSES, st.floats(INCOMPLETE_MS, 5000) | st.just(inf), st.booleans())
def test_every_utterance_ends_in_an_answer(made: Guess, silence_ms: float, is_over: bool) -> None:
    assert next_step(silence_ms, made, ASKED, is_over=is_over) is Step.ANSWER


@given(GUESSES, st.integers(0, 5000))
def test_the_end_of_the_frames_is_no_end_of_patience(made: Guess, silence_ms: int) -> None:
    assert next_step(silence_ms, made, ASKED, is_over=True) is next_step(silence_ms, made, ASKED, is_over=False)


@given(GUESSES, st.integers(0, 2000), st.integers(0, 2000))
def test_more_silence_never_takes_an_answer_back(made: Guess, less: int, more: int) -> None:
    if next_step(less, made, ASKED, is_over=False) is Step.ANSWER:
        assert next_step(less + more, made, ASKED, is_over=False) is Step.ANSWER


@given(GUESSES)
def test_only_words_of_the_grammar_stop_a_prompt(made: Guess) -> None:
    assert begins(made) == (made.completeness is not NO and made.confidence >= ACCEPT)
