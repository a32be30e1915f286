"""A beep is one steady tone of 120 ms to 2 s that has ended; nothing else is."""

import numpy as np
import pytest

from nodes.audio.g711 import decode
from nodes.audio.tones import BeepDetector, pitches, tone
from nodes.audio.vad import levels
from nodes.media.bench import speech


def beeps(samples: np.ndarray) -> list[float]:
    """Return when beeps are told, in seconds, of these sounds with silence after them."""
    detector = BeepDetector()
    whole = np.concatenate((samples, np.zeros(320, samples.dtype)))
    frames = whole[: len(whole) // 160 * 160].reshape(-1, 160).astype(np.float32)
    told = zip(pitches(frames), levels(frames), strict=True)
    return [n * 0.02 for n, (hz, level) in enumerate(told) if detector.step(hz, level)]


@pytest.mark.parametrize("hz", [400, 440, 850, 1000, 1013, 1400, 1975, 2500])
def test_a_tone_has_its_pitch(hz: int) -> None:
    assert pitches(tone(hz, 20).reshape(1, 160).astype(np.float32))[0] == pytest.approx(hz, abs=8)


@pytest.mark.parametrize("hz", [425, 1000, 1400, 2000])
@pytest.mark.parametrize("ms", [120, 200, 300, 1500, 2000])
@pytest.mark.parametrize("late_ms", [0, 7])
def test_a_tone_is_one_beep_which_is_told_when_it_has_ended(hz: int, ms: int, late_ms: int) -> None:
    (told,) = beeps(np.concatenate((np.zeros(8 * late_ms, np.int16), tone(hz, ms))))
    assert told == pytest.approx((late_ms + ms) / 1000, abs=0.03)


def test_two_tones_with_a_pause_are_two_beeps() -> None:
    assert len(beeps(np.concatenate((tone(1000, 300), np.zeros(800, np.int16), tone(1000, 300))))) == 2


@pytest.mark.parametrize("ms", [40, 60, 2400, 4000])
def test_a_click_is_none_and_neither_is_a_tone_that_goes_on(ms: int) -> None:
    assert beeps(tone(1000, ms)) == []


def test_a_short_tone_whose_level_moves_is_a_vowel() -> None:
    swelling = (tone(470, 140).astype(np.float32) * np.linspace(0.4, 1, 1120)).astype(np.int16)
    assert beeps(swelling) == []


@pytest.mark.parametrize("hz", [100, 300, 3000])
def test_a_tone_outside_the_band_is_none(hz: int) -> None:
    assert beeps(tone(hz, 500)) == []


@pytest.mark.parametrize(("row", "column"), [(697, 1209), (770, 1336), (852, 1477), (941, 1633)])
def test_a_key_is_two_tones_and_so_no_beep(row: int, column: int) -> None:
    """ITU-T Q.23."""
    assert beeps(tone(row, 500, -18.0) + tone(column, 500, -18.0)) == []


def test_speech_noise_a_siren_and_silence_are_no_beeps() -> None:
    noise = (np.random.default_rng(1).standard_normal(8000) * 3000).astype(np.int16)
    at = np.arange(8000) / 8000
    siren = (8000 * np.sin(2 * np.pi * (600 * at + 700 * at**2))).astype(np.int16)
    assert [beeps(sound) for sound in (decode(speech()), noise, siren, np.zeros(8000, np.int16))] == [[], [], [], []]
