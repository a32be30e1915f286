"""8 kHz to 16 kHz and back: seamless, flat, and a millisecond late."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio.resample import Downsampler, Upsampler
from nodes.audio.tones import tone


def power_at(samples: np.ndarray, hz: int, rate: int) -> float:
    at = np.arange(len(samples)) / rate
    return float(np.abs(np.mean(samples * np.exp(-2j * np.pi * hz * at)))) * 2


def test_twice_as_many_samples_keep_the_tone_and_show_no_image() -> None:
    up = Upsampler()
    out = np.concatenate([up(block) for block in tone(1000, 1000).reshape(-1, 160)])[1600:].astype(float)
    assert len(out) == 16000 - 1600
    loud = power_at(tone(1000, 900).astype(float), 1000, 8000)
    assert power_at(out, 1000, 16000) == pytest.approx(loud, rel=0.01)
    assert 20 * np.log10(power_at(out, 7000, 16000) / loud) < -80


def test_half_as_many_samples_keep_the_tone_and_lose_what_would_fold() -> None:
    at = np.arange(16000) / 16000
    wanted, folding = 8000 * np.sin(2 * np.pi * 1000 * at), 8000 * np.sin(2 * np.pi * 6000 * at)
    down = Downsampler()
    out = np.concatenate([down(block) for block in (wanted + folding).astype(np.int16).reshape(-1, 320)])[800:]
    assert power_at(out.astype(float), 1000, 8000) == pytest.approx(8000, rel=0.01)
    assert power_at(out.astype(float), 2000, 8000) < 8000 / 1000


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_the_length_of_the_blocks_is_not_heard(lengths: list[int]) -> None:
    given_ = tone(700, 400)[: sum(lengths)]
    lengths[-1] = max(0, len(given_) - sum(lengths[:-1])) if len(given_) < sum(lengths) else lengths[-1]
    up, ends = Upsampler(), np.cumsum(lengths)[:-1]
    pieces = np.concatenate([up(block) for block in np.split(given_, ends)])
    assert np.abs(pieces.astype(int) - Upsampler()(given_)).max() <= 1


def test_the_delay_is_a_millisecond() -> None:
    click = np.zeros(160, np.int16)
    click[0] = 20000
    assert int(np.argmax(np.abs(Upsampler()(click)))) in (15, 16)


def test_an_odd_block_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match="cannot be halved"):
        Downsampler()(np.zeros(161, np.int16))
