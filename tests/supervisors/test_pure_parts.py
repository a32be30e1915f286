"""Backoff, breaker and bucket: machines whose time is an argument, against small models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors import Backoff, BadSpec, Breaker, BreakerState, Bucket

units = st.floats(0, 1, exclude_max=True)


class TestBackoff:
    @given(st.integers(1, 10_000), units, st.floats(1, 4), st.floats(0, 0.99))
    def test_a_wait_is_never_longer_than_the_top_and_its_jitter(
        self, attempt: int, unit: float, factor: float, jitter: float
    ) -> None:
        backoff = Backoff(first_s=0.1, top_s=5.0, factor=factor, jitter=jitter)
        assert 0.1 * (1 - jitter) <= backoff.delay(attempt, unit) <= 5.0 * (1 + jitter)

    @given(st.integers(1, 200))
    def test_without_jitter_a_wait_is_never_shorter_than_the_one_before(self, attempt: int) -> None:
        backoff = Backoff(jitter=0.0)
        assert backoff.delay(attempt, 0.9) <= backoff.delay(attempt + 1, 0.1)

    @pytest.mark.parametrize(
        "bad", [{"first_s": 0.0}, {"first_s": 6.0}, {"factor": 0.5}, {"jitter": 1.0}, {"reset_after_s": 0.0}]
    )
    def test_a_backoff_that_makes_no_sense_is_refused(self, bad: dict[str, float]) -> None:
        with pytest.raises(BadSpec):
            Backoff(**bad)


class TestBreaker:
    def test_it_stays_closed_at_exactly_half_errors_and_opens_above(self) -> None:
        breaker = Breaker(least=4)
        for ok in (True, False, True, False):
            breaker.record(ok, now=1.0)
        assert breaker.state(1.0) is BreakerState.CLOSED
        breaker.record(False, now=1.0)
        assert breaker.state(1.0) is BreakerState.OPEN

    def test_too_few_outcomes_open_nothing(self) -> None:
        breaker = Breaker(least=3)
        breaker.record(False, now=0.0)
        breaker.record(False, now=0.0)
        assert breaker.allows(0.0)

    def test_errors_older_than_the_window_are_forgotten(self) -> None:
        breaker = Breaker(least=2, window_s=10.0)
        breaker.record(False, now=0.0)
        breaker.record(True, now=10.5)
        breaker.record(True, now=10.5)
        breaker.record(False, now=10.5)
        assert breaker.state(10.5) is BreakerState.CLOSED

    @pytest.mark.parametrize(("ok", "then"), [(True, BreakerState.CLOSED), (False, BreakerState.OPEN)])
    def test_half_open_one_request_passes_and_decides(self, ok: bool, then: BreakerState) -> None:
        breaker = self.opened()
        assert [breaker.allows(5.0), breaker.allows(5.0)] == [True, False]
        breaker.record(ok, now=5.1)
        assert breaker.state(5.1) is then

    def test_a_trial_that_is_never_recorded_does_not_wedge_it(self) -> None:
        breaker = self.opened()
        assert [breaker.allows(5.0), breaker.allows(9.9), breaker.allows(10.0)] == [True, False, True]

    def test_a_late_outcome_from_before_it_opened_decides_nothing(self) -> None:
        breaker = self.opened()
        breaker.record(True, now=1.0)
        breaker.record(True, now=6.0)
        assert breaker.state(6.0) is BreakerState.HALF_OPEN

    @given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
    def test_closed_it_opens_exactly_when_the_window_says_so(self, steps: list[tuple[float, bool]]) -> None:
        breaker, now = Breaker(least=3, window_s=10.0), 0.0
        outcomes: list[tuple[float, bool]] = []
        for gap, ok in steps:
            now += gap
            outcomes.append((now, ok))
            breaker.record(ok, now)
            recent = [ok for at, ok in outcomes if now - at <= 10.0]
            opens = len(recent) >= 3 and recent.count(False) > len(recent) / 2
            assert (breaker.state(now) is BreakerState.OPEN) == opens
            if opens:
                return

    @staticmethod
    def opened() -> Breaker:
        breaker = Breaker(least=1, open_s=5.0)
        breaker.record(False, now=0.0)
        return breaker


class TestBucket:
    @given(st.floats(0.1, 100), st.floats(1, 50), st.lists(st.tuples(st.floats(0, 2), st.floats(0, 10)), max_size=50))
    def test_never_more_goes_through_than_the_burst_and_the_rate_allow(
        self, rate: float, burst: float, steps: list[tuple[float, float]]
    ) -> None:
        bucket, now, taken = Bucket(rate, burst), 0.0, 0.0
        for gap, n in steps:
            now += gap
            if bucket.take(n, now):
                taken += n
            assert taken <= burst + rate * now + 1e-6

    @given(st.floats(0.1, 100), st.floats(1, 50), st.floats(0, 50))
    def test_after_the_wait_it_names_the_tokens_are_there(self, rate: float, burst: float, n: float) -> None:
        bucket = Bucket(rate, burst)
        assert bucket.take(burst, now=0.0)
        wait_s = bucket.wait_s(n, now=0.0)
        assert (wait_s == float("inf")) == (n > burst)
        assert n > burst or bucket.take(n, now=wait_s)

    @given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 20), st.floats(0, 10)), max_size=50))
    def test_resizing_again_and_again_gains_nothing(self, steps: list[tuple[float, float, float]]) -> None:
        """Let in, in bases: three at once, and a fifth a second, whatever the base is at the moment."""
        bucket, now, base, taken = Bucket(0.2, 3.0), 0.0, 1.0, 0.0
        for gap, new, n in steps:
            now += gap
            if bucket.take(n, now):
                taken += n / base
            bucket.resize(0.2 * new, 3.0 * new, now)
            base = new
            assert taken <= 3.0 + 0.2 * now + 1e-6

    def test_what_had_no_room_is_full_when_it_has(self) -> None:
        bucket = Bucket(rate=0.0, burst=0.0)
        bucket.resize(rate=1.0, burst=2.0, now=0.0)
        assert [bucket.take(1, 0.0), bucket.take(1, 0.0), bucket.take(1, 0.0)] == [True, True, False]

    def test_a_clock_that_goes_back_gives_nothing(self) -> None:
        bucket = Bucket(rate=1.0, burst=1.0, now=10.0)
        assert [bucket.take(1, now=10.0), bucket.take(1, now=5.0), bucket.take(1, now=10.5)] == [True, False, False]
