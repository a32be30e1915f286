"""Who judges silence judges itself first: only time counts in which the judge could hear, and the other could speak.

    silence = Silence(3.0, loop.time())
    ...                                    # whenever something was heard: silence.heard(loop.time())
    read what waits, then:
    again_s = silence.look(loop.time())    # None: silent; else look again in so many seconds

A process that was stopped (a moved machine, `docker pause`, swap) finds that its clock has gone on, while those whom it
judges were stopped with it, or have spoken to a socket that nobody read. So the judge looks `N_LOOKS` times a period. A
look that comes late shows that it was the judge who was away: the silence begins anew, once. If the next looks are
late, too, each counts as one on time, so that a machine that is always late convicts nevertheless.

On a machine with too much to do the judged may find no processor to speak with: that time does not count, and the judge
is told how much it was (`supervisors.starvation`). So overload makes a death known later, and ends nobody. What it does
not: read a clock, a socket or a timer; all of them are its owner's.
"""

from __future__ import annotations

from typing import Final

AWAY_S: Final = 0.5
"""A timer that comes so much later than it should was kept from coming: whoever judges by it was away. For those who
look but once; a `Silence` looks more often, and judges its own looks."""
N_LOOKS: Final = 4
"""Looks in one period: three beats of a process that beats thrice a period fit between two late ones."""
LATE: Final = 0.5
"""The share of the time between two looks that one may be late, and still be on time."""
LEAST: Final = 0.1
"""The share of the time between two looks that passes at least before the next, where processors are short."""
_ROUNDING_S: Final = 1e-6
"""Sums of floats: less than this is no time to wait for."""


class Silence:
    """One other, who is silent when nothing was heard for `limit_s` seconds of the judge's presence.

    >>> silence = Silence(4.0, now=0.0)
    >>> silence.look(0.0), silence.look(1.0), silence.look(9.0)
    (1.0, 1.0, 1.0)
    >>> silence.look(10.0), silence.look(11.0), silence.look(12.0), silence.look(13.0)
    (1.0, 1.0, 1.0, None)
    """

    __slots__ = ("_counted_to", "_due", "_has_forgiven", "_look_s", "limit_s", "silent_s")

    def __init__(self, limit_s: float, now: float) -> None:
        """`now`: seconds, monotonic, as everywhere here; the first look is due at once."""
        self.limit_s = limit_s
        self.silent_s = 0.0
        """How long nothing has been heard, as far as it counts."""
        self._look_s = limit_s / N_LOOKS
        self._counted_to = self._due = now
        self._has_forgiven = False

    def heard(self, now: float) -> None:
        """Something has come from them."""
        self.silent_s = 0.0
        self._counted_to = now
        self._has_forgiven = False

    def look(self, now: float, starved_s: float = 0.0) -> float | None:
        """Return in how many seconds to look again; None when they have been silent for `limit_s`.

        What waits to be heard must have been heard before this. `starved_s`: for how much of the time since the last
        look they have waited for a processor.
        """
        passed, self._counted_to = now - self._counted_to, now
        counts = passed - starved_s  # below 0: there was a wait that has counted before it was known
        if now - self._due <= LATE * self._look_s:
            self.silent_s = max(0.0, self.silent_s + counts)
        elif self._has_forgiven:
            self.silent_s = max(0.0, self.silent_s + min(counts, self._look_s))
        else:
            self.silent_s, self._has_forgiven = 0.0, True
        left = self.limit_s - self.silent_s
        if left < _ROUNDING_S:
            return None
        again_s = min(self._look_s, max(left, LEAST * self._look_s) if starved_s > 0 else left)
        self._due = now + again_s
        return again_s
