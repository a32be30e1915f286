"""How long to wait before the next attempt: exponential, bounded, jittered.

For children whose trouble is outside this process (a bus, a trunk): restarting at once would spend the whole restart
intensity in a millisecond. What it does not: count attempts or draw random numbers; both are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisors.errors import BadSpec


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait `first_s`, then `factor` times longer each time, up to `top_s`, plus or minus the share `jitter`.

    `reset_after_s`: a life this long makes the next failure count as the first; None: one restart period.

    >>> [Backoff(first_s=0.1, top_s=1.0).delay(attempt, unit=0.5) for attempt in (1, 2, 3, 4, 5)]
    [0.1, 0.2, 0.4, 0.8, 1.0]
    """

    first_s: float = 0.05
    top_s: float = 5.0
    factor: float = 2.0
    jitter: float = 0.2
    reset_after_s: float | None = None

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.top_s and 1 <= self.factor <= 4 and 0 <= self.jitter < 1):
            raise BadSpec(f"not a backoff: {self}")
        if self.reset_after_s is not None and not self.reset_after_s > 0:
            raise BadSpec(f"reset_after_s must be above 0: {self}")

    def delay(self, attempt: int, unit: float) -> float:
        """Return the seconds to wait before attempt number `attempt` (from 1).

        `unit`: a uniform random number in [0, 1); 0.5 means no jitter.
        """
        grown = self.first_s * self.factor ** min(attempt - 1, 500)  # 4 ** 500 is still a float
        return min(self.top_s, grown) * (1 + self.jitter * (2 * unit - 1))
