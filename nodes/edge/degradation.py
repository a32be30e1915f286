"""What an edge that is nearly full gives up first: recordings, then live transcripts, then new calls.

A level is entered at one share of the capacity and left at a lower one, so that calls coming and going at the edge of
it do not switch recordings on and off.
"""

from __future__ import annotations

from protocols.wire.load import GivesUp

THRESHOLDS: dict[GivesUp, tuple[float, float]] = {
    GivesUp.RECORDINGS: (0.80, 0.70),
    GivesUp.TRANSCRIPTS: (0.90, 0.80),
    GivesUp.NEW_CALLS: (1.00, 0.95),
}
"""What to the used share of the capacity at which it is entered, and below which it is left."""


def next_given_up(now: GivesUp, used: float) -> GivesUp:
    """Return what is given up after `now` when `used` (0 to 1) of the capacity is in use.

    >>> [next_given_up(GivesUp.RECORDINGS, used).name for used in (0.85, 0.75, 0.69)]
    ['RECORDINGS', 'RECORDINGS', 'NOTHING']
    """
    held = (each for each, (enter, leave) in THRESHOLDS.items() if used >= (leave if each <= now else enter))
    return max(held, default=GivesUp.NOTHING)


__all__ = ["GivesUp", "next_given_up"]
