"""16 kHz to 8 kHz and back: seamless, flat, and a millisecond late."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio.resample import Downsampler, Upsampler
from nodes.audio.tones import tone


def power_at(samples: np.ndarray, hz: int, rate: int) -> float:
    at = np.arange(len(samples)) / rate
    return float(np.abs(np.mean(samples * np.exp(-2j * np.pi * hz * at)))) * 2


def test_half_as_many_samples_keep_the_tone_and_lose_what_would_fold() -> None:
    at = np.arange(16000) / 16000
    wanted, folding = 8000 * np.sin(2 * np.pi * 1000 * at), 8000 * np.sin(2 * np.pi * 6000 * at)
    down = Downsampler()
    out = np.concatenate([down(block) for block in (wanted + folding).astype(np.int16).reshape(-1, 320)])[800:]
    assert power_at(out.astype(float), 1000, 8000) == pytest.approx(8000, rel=0.01)
    assert power_at(out.astype(float), 2000, 8000) < 8000 / 1000


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_the_length_of_the_blocks_is_not_heard(lengths: list[int]) -> None:
    whole = tone(700, 600)[: 2 * sum(lengths)]
    down, ends = Downsampler(), np.cumsum(lengths)[:-1] * 2
    pieces = np.concatenate([down(block) for block in np.split(whole, ends)])
    assert np.abs(pieces.astype(int) - Downsampler()(whole)).max() <= 1


def test_the_delay_is_a_millisecond() -> None:
    click = np.zeros(160, np.int16)
    click[0] = 20000
    assert int(np.argmax(np.abs(Downsampler()(click)))) in (7, 8)


def test_an_odd_block_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="cannot be halved"):
        Downsampler()(np.zeros(161, np.int16))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_what_is_raised_keeps_its_tone_has_no_image_and_no_joints(lengths: list[int]) -> None:
    whole = tone(700, 600)[: sum(lengths)]
    up = Upsampler()
    pieces = np.concatenate([up(block) for block in np.split(whole, np.cumsum(lengths)[:-1])])
    assert len(pieces) == 2 * len(whole)
    assert np.abs(pieces.astype(int) - Upsampler()(whole)).max(initial=0) <= 1
    if len(whole) >= 800:
        inner = pieces[400 : 400 + 800].astype(float)
        assert power_at(inner, 7300, 16000) < power_at(inner, 700, 16000) / 300
