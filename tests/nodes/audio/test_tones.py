"""A beep is one steady tone for more than 200 ms; nothing else is."""

import numpy as np
import pytest

from nodes.audio.g711 import decode
from nodes.audio.tones import BeepDetector, pitches, tone
from nodes.media.bench import speech


def beeps(samples: np.ndarray) -> int:
    detector = BeepDetector()
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(np.float32)
    return sum(detector.step(hz) for hz in pitches(frames))


@pytest.mark.parametrize("hz", [400, 440, 850, 1000, 1013, 1400, 1975, 2500])
def test_a_tone_has_its_pitch(hz: int) -> None:
    assert pitches(tone(hz, 20).reshape(1, 160).astype(np.float32))[0] == pytest.approx(hz, abs=8)


@pytest.mark.parametrize("hz", [400, 425, 1000, 1400, 2500])
def test_a_tone_of_300_ms_is_one_beep(hz: int) -> None:
    assert beeps(tone(hz, 300)) == 1


def test_two_tones_with_a_pause_are_two_beeps() -> None:
    assert beeps(np.concatenate((tone(1000, 300), np.zeros(800, np.int16), tone(1000, 300)))) == 2


def test_a_tone_of_200_ms_is_not_long_enough() -> None:
    assert beeps(tone(1000, 200)) == 0


@pytest.mark.parametrize("hz", [100, 300, 3000])
def test_a_tone_outside_the_band_is_none(hz: int) -> None:
    assert beeps(tone(hz, 500)) == 0


@pytest.mark.parametrize(("row", "column"), [(697, 1209), (770, 1336), (852, 1477), (941, 1633)])
def test_a_key_is_two_tones_and_so_no_beep(row: int, column: int) -> None:
    """ITU-T Q.23."""
    assert beeps(tone(row, 500, -18.0) + tone(column, 500, -18.0)) == 0


def test_speech_noise_a_siren_and_silence_are_no_beeps() -> None:
    noise = (np.random.default_rng(1).standard_normal(8000) * 3000).astype(np.int16)
    at = np.arange(8000) / 8000
    siren = (8000 * np.sin(2 * np.pi * (600 * at + 700 * at**2))).astype(np.int16)
    assert [beeps(sound) for sound in (decode(speech()), noise, siren, np.zeros(8000, np.int16))] == [0, 0, 0, 0]
