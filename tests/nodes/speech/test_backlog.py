"""What waits for the decoders is told as old as it is, done or not."""

from __future__ import annotations

import pytest

from nodes.speech.backlog import Backlog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_still_waits_counts_as_old_as_it_is_by_now() -> None:
    clock, backlog = Clock(), Backlog()
    with backlog.waiting(clock):
        clock.now += 3.0
        assert backlog.told(0.0, clock.now).age_s == pytest.approx(3.0)
        clock.now += 1.0
        assert backlog.told(0.0, clock.now).age_s == pytest.approx(4.0)
    assert backlog.told(0.0, clock.now).age_s == pytest.approx(4.0), "done in the stretch that ends now"
    assert backlog.told(0.0, clock.now).age_s == 0.0


def test_what_fails_is_over_too() -> None:
    clock, backlog = Clock(), Backlog()
    with pytest.raises(ValueError, match="broken"), backlog.waiting(clock):
        raise ValueError("broken")
    backlog.told(0.0, clock.now)
    clock.now += 9.0
    assert backlog.told(0.0, clock.now).age_s == 0.0


def test_one_late_decoding_in_ten_is_not_usual() -> None:
    clock, backlog = Clock(), Backlog()
    for n in range(20):
        with backlog.waiting(clock):
            clock.now += 1.0 if n == 7 else 0.01
    told = backlog.told(0.0, clock.now)
    assert told.age_s == pytest.approx(1.0)
    assert told.usual_age_s == pytest.approx(0.01)


def test_a_loop_that_is_late_has_not_even_seen_what_waits() -> None:
    told = Backlog().told(0.7, 100.0)
    assert (told.age_s, told.usual_age_s) == (0.7, 0.7)


def test_decoding_is_told_with_its_audio_once() -> None:
    backlog = Backlog()
    backlog.decoded(1.0, 0.2, 0.05)
    backlog.decoded(2.0, 0.1, 0.05)
    told = backlog.told(0.0, 1.0)
    assert (told.audio_s, told.decode_s, told.decode_cpu_s) == (3.0, pytest.approx(0.3), pytest.approx(0.1))
    assert backlog.told(0.0, 2.0).audio_s == 0.0
