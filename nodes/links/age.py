"""How long a frame has waited on its way, between two clocks that have nothing to do with each other.

The difference of the clocks is learnt from the frame that was fastest so far, and forgotten slowly, because clocks
drift. So an ask that lay in the buffer of a process that hung is not begun for an asker that has long given up.
"""

from __future__ import annotations

from typing import Final

DRIFT: Final = 0.001
"""Seconds per second that two clocks may run apart: ten times what a quartz does (100 ppm)."""


class Age:
    """The age of one sender's frames.

    >>> age = Age()
    >>> [round(age.of(sent, now), 2) for sent, now in ((100.0, 7.01), (101.0, 8.0), (102.0, 14.0))]
    [0.0, 0.0, 4.99]
    """

    __slots__ = ("_fastest", "_seen")

    def __init__(self) -> None:
        self._fastest = float("inf")
        self._seen = 0.0

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
        return took - self._fastest


__all__ = ["Age", "DRIFT"]
