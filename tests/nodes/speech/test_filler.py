"""The filler's bigram of phones."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.speech.filler import phone_loop
from nodes.speech.model_dir import FILLER, PHONES

WORDS = st.lists(st.lists(st.sampled_from(PHONES), min_size=1, max_size=8), min_size=1, max_size=30)


@given(WORDS)
def test_after_every_phone_any_may_follow_and_the_probabilities_add_up(words: list[list[str]]) -> None:
    loop = phone_loop(words)
    leaving = defaultdict(list)
    for arc in loop.arcs:
        leaving[arc.src].append(arc)
    assert leaving.keys() == set(range(loop.n_states))
    for arcs in leaving.values():
        assert {arc.word for arc in arcs} == FILLER.keys()
        assert sum(arc.probability for arc in arcs) == pytest.approx(1)
        assert all(arc.probability > 0 for arc in arcs)


@given(WORDS)
def test_every_phone_but_the_start_may_be_the_last(words: list[list[str]]) -> None:
    loop = phone_loop(words)
    assert {state for state, _ in loop.finals} == set(range(1, loop.n_states))


def test_what_follows_often_is_likely() -> None:
    loop = phone_loop([["n", "oU"]] * 50)
    after_n = {arc.word: arc.probability for arc in loop.arcs if arc.src == PHONES.index("n") + 1}
    assert max(after_n, key=lambda word: after_n[word]) == "&oU"
