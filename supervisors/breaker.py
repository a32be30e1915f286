"""A circuit breaker: stop asking what keeps failing, try again with one request.

A pure machine; time is an argument. Closed: everything passes and outcomes of the last `window_s` are counted. Open:
nothing passes for `open_s`. Half open: one request passes, its outcome closes or opens again. Words and the
model-first testing are those of fuse (Jesper Louis Andersen).
"""

from __future__ import annotations

from collections import deque
from enum import Enum


class BreakerState(Enum):
    """Whether requests pass."""

    CLOSED = "all pass"
    OPEN = "none pass"
    HALF_OPEN = "one passes"


class Breaker:
    """Opens when more than the share `threshold` of at least `least` outcomes within `window_s` are errors.

    >>> breaker = Breaker(least=2)
    >>> breaker.record(ok=False, now=0.0); breaker.record(ok=False, now=0.1); breaker.allows(now=0.2)
    False
    >>> breaker.allows(now=5.1), breaker.allows(now=5.1)
    (True, False)
    """

    __slots__ = ("_n_errors", "_opened", "_outcomes", "_tried", "least", "open_s", "threshold", "window_s")

    def __init__(self, threshold: float = 0.5, window_s: float = 10.0, least: int = 10, open_s: float = 5.0) -> None:
        self.threshold = threshold
        self.window_s = window_s
        self.least = least
        self.open_s = open_s
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._n_errors = 0
        self._opened: float | None = None
        self._tried: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return what `allows` would go by at `now` (seconds, monotonic)."""
        if self._opened is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now - self._opened >= self.open_s else BreakerState.OPEN

    def allows(self, now: float) -> bool:
        """Return whether a request may go out. Half open, the one it lets through must be answered by `record`.

        A trial that is never recorded does not wedge the breaker: after another `open_s` the next one passes.
        """
        match self.state(now):
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                if self._tried is not None and now - self._tried < self.open_s:
                    return False
                self._tried = now
                return True

    def record(self, ok: bool, now: float) -> None:
        """Count one outcome. While open, outcomes of requests sent before are ignored."""
        match self.state(now):
            case BreakerState.CLOSED:
                self._count(ok, now)
                if len(self._outcomes) >= self.least and self._n_errors > self.threshold * len(self._outcomes):
                    self._turn(opened=now)
            case BreakerState.OPEN:
                pass
            case BreakerState.HALF_OPEN:
                if self._tried is not None:
                    self._turn(opened=None if ok else now)

    def _count(self, ok: bool, now: float) -> None:
        self._outcomes.append((now, ok))
        self._n_errors += not ok
        while now - self._outcomes[0][0] > self.window_s:
            self._n_errors -= not self._outcomes.popleft()[1]

    def _turn(self, opened: float | None) -> None:
        self._opened = opened
        self._tried = None
        self._outcomes.clear()
        self._n_errors = 0
