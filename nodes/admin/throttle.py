"""How often somebody may be wrong: a bucket for each address, and for each name there, of which only failures take."""

from __future__ import annotations

from typing import Final

from supervisors.bucket import Bucket

MOST: Final = 10_000
"""Keys that are remembered; the one that failed longest ago, whose bucket is the fullest, is forgotten first."""


class Throttle:
    """`burst` failures at once, and one more each `1 / rate` seconds. Time is an argument.

    >>> throttle = Throttle(rate=0.25, burst=1)
    >>> throttle.failed("ann", now=0.0)
    >>> throttle.wait_s("ann", now=1.0), throttle.wait_s("ben", now=1.0)
    (3.0, 0.0)
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: dict[str, Bucket] = {}

    def wait_s(self, key: str, now: float) -> float:
        """Return the seconds until this key may try again; 0: now."""
        bucket = self._buckets.get(key)
        return bucket.wait_s(1, now) if bucket else 0.0

    def failed(self, key: str, now: float) -> None:
        """This key was wrong."""
        bucket = self._buckets.pop(key, None) or Bucket(self._rate, self._burst, now)
        bucket.take(1, now)
        self._buckets[key] = bucket
        if len(self._buckets) > MOST:
            del self._buckets[next(iter(self._buckets))]

    def __len__(self) -> int:
        return len(self._buckets)


__all__ = ["MOST", "Throttle"]
