"""How many restarts are too many: a window over the times of the last restarts.

What it does: counts. What it does not: read a clock, restart, or give up; its supervisor does. The rule is OTP's
`intensity` in `period` (supervisor.erl, add_restart) with two differences, both in anchors of OTP's own tests: time is
a monotonic float and not whole seconds, so a period of a quarter second means that; and one restart costs O(1) and
not a walk of the list, so a storm of n crashes costs n and not n squared.
"""

from __future__ import annotations

from collections import deque


class RestartWindow:
    """Up to `intensity` restarts within any `period_s` seconds, both ends included.

    >>> window = RestartWindow(intensity=1, period_s=5.0)
    >>> window.admits(now=0.0), window.admits(now=5.0), window.admits(now=10.5)
    (True, False, True)
    """

    __slots__ = ("_times", "intensity", "period_s")

    def __init__(self, intensity: int, period_s: float) -> None:
        """`intensity`: restarts, 0 allows none. `period_s`: seconds, above 0."""
        self.intensity = intensity
        self.period_s = period_s
        self._times: deque[float] = deque(maxlen=intensity + 1)

    def count(self, now: float) -> int:
        """Return how many of the restarts that it holds, up to `intensity + 1`, are still inside at `now`."""
        return sum(now - time <= self.period_s for time in self._times)

    def admits(self, now: float) -> bool:
        """Count a restart at `now` (seconds, never going back) and return whether it is still one of the allowed.

        The deque holds the last `intensity + 1` restarts: when the oldest of them is inside the window, so are all.
        """
        self._times.append(now)
        return len(self._times) <= self.intensity or now - self._times[0] > self.period_s
