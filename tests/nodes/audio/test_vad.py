"""Where an utterance begins and ends."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio.g711 import decode
from nodes.audio.tones import tone
from nodes.audio.vad import TAIL_FRAMES, Hangover, Speech, VoiceDetector, levels
from nodes.media.bench import speech


def changes(voiced: list[bool]) -> list[tuple[int, Speech]]:
    hangover = Hangover()
    steps = ((k, hangover.step(frame)) for k, frame in enumerate(voiced))
    return [(k, change) for k, change in steps if change is not Speech.UNCHANGED]


def test_three_voiced_frames_of_five_are_a_beginning() -> None:
    assert changes([False, True, False, True, True]) == [(4, Speech.STARTED)]


def test_a_click_is_no_beginning() -> None:
    assert changes([True, True, False, False, False] * 5) == []


def test_the_end_is_the_whole_tail_after_the_last_voiced_frame() -> None:
    assert changes([True] * 10 + [False] * TAIL_FRAMES) == [(2, Speech.STARTED), (9 + TAIL_FRAMES, Speech.ENDED)]


def test_a_pause_shorter_than_the_tail_is_within_the_utterance() -> None:
    assert changes([True] * 10 + [False] * (TAIL_FRAMES - 1) + [True] * 3) == [(2, Speech.STARTED)]


@given(st.lists(st.booleans(), max_size=400))
def test_beginnings_and_ends_alternate(voiced: list[bool]) -> None:
    kinds = [change for _, change in changes(voiced)]
    assert kinds == [(Speech.STARTED, Speech.ENDED)[k % 2] for k in range(len(kinds))]


def voiced_share(samples: np.ndarray) -> float:
    detector, frames = VoiceDetector(), samples.reshape(-1, 160)
    level = levels(frames.astype(np.float32))
    return float(np.mean([detector.is_voiced(row.tobytes(), level[k]) for k, row in enumerate(frames)]))


def test_a_voice_is_voiced_and_faint_noise_is_not() -> None:
    noise = (np.random.default_rng(1).standard_normal(16000) * 30).astype(np.int16)
    assert voiced_share(decode(speech())[:8000]) > 0.5
    assert voiced_share(noise) == 0.0
    assert voiced_share(np.zeros(16000, np.int16)) == 0.0


def test_a_full_scale_sine_has_minus_three_dbov() -> None:
    assert abs(levels(tone(1000, 20, level_dbov=-3.0103).reshape(1, 160).astype(np.float32))[0] + 3.01) < 0.05
