"""A token bucket: how much may go through, on average and at once.

A pure machine; time is an argument. It fills at `rate` tokens a second up to `burst`; taking what is not there takes
nothing.
"""

from __future__ import annotations


class Bucket:
    """`rate` tokens a second, at most `burst` at once; full at `now`.

    >>> bucket = Bucket(rate=2.0, burst=1.0)
    >>> bucket.take(1, now=0.0), bucket.take(1, now=0.1), bucket.wait_s(1, now=0.1), bucket.take(1, now=0.5)
    (True, False, 0.4, True)
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float = 0.0) -> None:
        """`rate`: tokens per second, 0 or more. `burst`: tokens. `now`: seconds, monotonic."""
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, n: float, now: float) -> bool:
        """Take `n` tokens and return True, or take none and return False."""
        self._fill(now)
        if n > self._tokens + 1e-9:  # what float time rounds away in `wait_s` seconds
            return False
        self._tokens = max(0.0, self._tokens - n)
        return True

    def wait_s(self, n: float, now: float) -> float:
        """Return the seconds until `n` tokens are there; infinite when they never will be."""
        self._fill(now)
        missing = n - self._tokens
        if missing <= 0:
            return 0.0
        return missing / self.rate if n <= self.burst and self.rate > 0 else float("inf")

    def resize(self, rate: float, burst: float, now: float) -> None:
        """Go on with another rate and burst, as full as it is: whoever resizes it again and again gains nothing.

        >>> bucket = Bucket(rate=1.0, burst=4.0)
        >>> bucket.take(2, now=0.0); bucket.resize(rate=10.0, burst=40.0, now=0.0); bucket.take(20, 0.0)
        True
        True
        """
        self._fill(now)
        self._tokens = burst * (self._tokens / self.burst if self.burst else 1.0)
        self.rate, self.burst = rate, burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)
