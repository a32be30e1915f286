"""Finding an echo's delay and path, and taking it out."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.audio.echo import BLOCK, FRAME, HISTORY, LONGEST, SHORTEST, WINDOW, Floats, Path, cancel, find, fit

LONG = 40_000


def voice(seed: int) -> Floats:
    """Noise with more below than above, that comes and goes as a voice does."""
    noise = np.random.default_rng(seed).normal(0, 3000, LONG)
    low = np.convolve(noise, 0.4 ** np.arange(20), "same") * (1 + np.sin(np.arange(LONG) / 900))
    return low.astype(np.float32)


def late(sent: Floats, delay: int, gain: float, seed: int) -> Floats:
    back = np.zeros_like(sent)
    back[delay:] = gain * sent[: LONG - delay]
    return back + np.random.default_rng(seed).normal(0, 15, LONG).astype(np.float32)


def blocks(sent: Floats, path: Path, ends: range) -> Floats:
    return np.stack([sent[end - path.delay - BLOCK : end - path.delay] for end in ends])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(SHORTEST, LONGEST), st.floats(0.03, 1.0), st.integers(0, 1000))
def test_a_delay_is_found_wherever_it_is_and_however_faint(delay, gain, seed) -> None:
    sent = voice(seed)
    heard = late(sent, delay, gain, seed + 1)
    found, clearness = find(heard[None, -WINDOW:], sent[None, -HISTORY:])[0]
    assert abs(found - delay) <= 1
    assert clearness > 6


def test_somebody_else_does_not_stand_out_and_no_path_explains_them() -> None:
    sent, other = voice(1), voice(2)
    delay, clearness = find(other[None, -WINDOW:], sent[None, -HISTORY:])[0]
    assert clearness < 8
    path, ends = Path(delay), range(LONG - 10 * FRAME, LONG, FRAME)
    frames = np.stack([other[end - FRAME : end] for end in ends])
    left = fit(path, frames, blocks(sent, path, ends))
    assert np.square(left).sum() > 0.7 * np.square(frames).sum()


def test_a_path_is_fitted_to_a_quarter_of_a_second_and_gets_better_with_each_frame() -> None:
    sent = voice(1)
    heard, path = late(sent, 700, 0.3, 2), Path(700)
    ends = range(10_080, 12_160, FRAME)
    frames = np.stack([heard[end - FRAME : end] for end in ends])
    left = fit(path, frames, blocks(sent, path, ends))
    assert np.square(left).sum() < 0.1 * np.square(frames).sum()
    ratios = []
    for end in range(12_160, LONG, FRAME):
        frame = heard[end - FRAME : end]
        echo = cancel([path], frame[None], blocks(sent, path, range(end, end + 1)))[0]
        ratios.append(np.square(frame - echo).sum() / np.square(frame).sum())
    assert np.median(ratios[-50:]) < 0.01
    assert np.median(ratios[-50:]) < np.median(ratios[:20])


def test_who_speaks_over_an_echo_unlearns_nothing() -> None:
    sent, other = voice(1), voice(2)
    heard, path = late(sent, 700, 0.3, 2), Path(700)
    before = heard.copy()
    heard[20_000:30_000] += other[20_000:30_000]
    rest = {}
    for end in range(8_000, LONG, FRAME):
        frame = heard[end - FRAME : end]
        echo = cancel([path], frame[None], blocks(sent, path, range(end, end + 1)))[0]
        rest[end] = np.square(before[end - FRAME : end] - echo).sum()
    assert np.mean([rest[end] for end in rest if 28_000 < end < 30_000]) < 4 * np.mean(
        [rest[end] for end in rest if 18_000 < end < 20_000]
    )


def test_rows_do_not_know_of_each_other() -> None:
    sent = voice(1)
    alone, among = Path(700), [Path(700), Path(300)]
    for end in range(10_080, 12_000, FRAME):
        frame = late(sent, 700, 0.3, 2)[end - FRAME : end]
        mine = blocks(sent, alone, range(end, end + 1))
        one = cancel([alone], frame[None], mine)
        two = cancel(among, np.stack([frame, -frame]), np.concatenate([mine, mine]))
        assert np.allclose(one[0], two[0], atol=1e-2)
