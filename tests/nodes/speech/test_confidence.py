"""The margin between a phrase and the filler."""

import math

from hypothesis import given
from hypothesis import strategies as st

from nodes.speech.confidence import ACCEPT, REJECT, confidence, margin

COSTS = st.floats(-1e6, 1e6) | st.just(math.inf)


@given(COSTS, COSTS, st.integers(0, 20_000))
def test_confidence_is_between_nothing_and_one(phrase: float, filler: float, speech_ms: int) -> None:
    assert 0 <= confidence(phrase, filler, speech_ms) <= 1


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e3), st.integers(100, 20_000))
def test_a_dearer_phrase_is_never_surer(phrase: float, more: float, filler: float, speech_ms: int) -> None:
    assert confidence(phrase + more, filler, speech_ms) <= confidence(phrase, filler, speech_ms)


def test_the_bands_lie_at_the_margins_they_were_measured_at() -> None:
    assert confidence(0, margin_cost(0.2), 3000) == ACCEPT
    assert confidence(0, margin_cost(0.05), 3000) == REJECT


def test_what_found_nothing_is_no_phrase() -> None:
    assert margin(math.inf, 100.0, 3000) == -math.inf
    assert margin(100.0, 100.0, 0) == -math.inf


def margin_cost(nats_per_frame: float) -> float:
    return nats_per_frame * 3000 / 30
