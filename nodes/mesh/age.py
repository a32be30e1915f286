"""How long a frame has waited on its way, between two clocks that have nothing to do with each other.

The difference of the clocks is learnt from the frame that was fastest so far, and forgotten slowly, because clocks
drift. So an ask that lay in the buffer of a process that hung is not begun for an asker that has long given up.

The clock of a machine that was suspended, or moved, stands still meanwhile. Then all its frames seem to be late by as
much, for good; what lay in a buffer comes in a burst, of which each frame was late by less. So frames that go on being
late by the same are not late: it is the clock.
"""

from __future__ import annotations

from typing import Final

DRIFT: Final = 0.001
"""Seconds per second that two clocks may run apart: ten times what a quartz does (100 ppm)."""

LATE_S: Final = 0.25
"""A frame that was so much slower than the fastest may show that a clock has jumped."""
STEADY_S: Final = 0.1
"""Frames whose delays differ by no more are late by the same."""
N_STEADY: Final = 5
JUMPED_S: Final = 2.0
"""A clock has jumped when so many frames, over so long, were late by the same."""


class Age:
    """The age of one sender's frames.

    >>> age = Age()
    >>> [round(age.of(sent, now), 2) for sent, now in ((100.0, 7.01), (101.0, 8.0), (102.0, 14.0))]
    [0.0, 0.0, 4.99]
    """

    __slots__ = ("_fastest", "_n_steady", "_seen", "_steady", "_steady_since")

    def __init__(self) -> None:
        self._fastest = float("inf")
        self._seen = 0.0
        self._steady = self._steady_since = float("inf")
        self._n_steady = 0

    @property
    def between_s(self) -> float | None:
        """Seconds to add to the sender's times to have ours; too many by what the fastest frame took. None: unknown."""
        return self._fastest if self._fastest < float("inf") else None

    def of(self, sent_s: float, now: float) -> float:
        """Return how many seconds longer than the fastest a frame took that was sent at `sent_s` and read at `now`.

        0 for the first frame, of which nothing can be known.
        """
        took = now - sent_s
        self._fastest = min(took, self._fastest + DRIFT * (now - self._seen))
        self._seen = now
        if took - self._fastest > LATE_S:
            self._late(took, now)
        else:
            self._n_steady = 0
        return took - self._fastest

    def _late(self, took: float, now: float) -> None:
        """Count late frames, as long as they are late by the same."""
        if not self._n_steady or abs(took - self._steady) > STEADY_S:
            self._steady, self._steady_since, self._n_steady = took, now, 0
        self._steady, self._n_steady = min(took, self._steady), self._n_steady + 1
        if self._n_steady >= N_STEADY and now - self._steady_since >= JUMPED_S:
            self._fastest, self._n_steady = self._steady, 0


__all__ = ["Age", "DRIFT"]
