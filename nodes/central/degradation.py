"""What a cluster that is nearly full gives up first: recordings, then live transcripts, then new calls.

A level is entered at one share of the capacity and left at a lower one, so that calls coming and going at the edge of
it do not switch recordings on and off.
"""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    """What is given up; each level includes those below it."""

    NOTHING = 0
    RECORDINGS = 1
    TRANSCRIPTS = 2
    NEW_CALLS = 3


THRESHOLDS: dict[Level, tuple[float, float]] = {
    Level.RECORDINGS: (0.80, 0.70),
    Level.TRANSCRIPTS: (0.90, 0.80),
    Level.NEW_CALLS: (1.00, 0.95),
}
"""Level to the used share of the capacity at which it is entered, and below which it is left."""


def next_level(level: Level, used: float) -> Level:
    """Return the level after `level` when `used` (0 to 1) of the capacity is in use.

    >>> next_level(Level.NOTHING, 0.85), next_level(Level.RECORDINGS, 0.75), next_level(Level.RECORDINGS, 0.69)
    (<Level.RECORDINGS: 1>, <Level.RECORDINGS: 1>, <Level.NOTHING: 0>)
    """
    held = (each for each, (enter, leave) in THRESHOLDS.items() if used >= (leave if each <= level else enter))
    return max(held, default=Level.NOTHING)


__all__ = ["Level", "next_level"]
