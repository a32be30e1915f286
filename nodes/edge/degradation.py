"""What an edge gives up as it fills: what is said word by word, then recordings, then new calls.

Each is given up at one share of the capacity and taken up again at a lower one, so that calls coming and going at the
edge of it do not switch it on and off. Campaigns fill an edge only up to where it would give up the first
(`Load.figures`, `room`): beyond are single calls, those of a node that has died, and a machine that got slower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocols.wire.load import GivesUp

BOUNDS: Final[Mapping[GivesUp, tuple[float, float]]] = {
    GivesUp.TRANSCRIPTS: (0.90, 0.80),
    GivesUp.RECORDINGS: (0.95, 0.85),
    GivesUp.CALLS: (1.00, 0.95),
}
"""Used shares of the capacity at which each is given up, and below which it is taken up again."""
FIRST: Final = BOUNDS[GivesUp.TRANSCRIPTS][0]


def next_given_up(now: GivesUp, used: float) -> GivesUp:
    """Return what is given up after `now` when `used` (0 to 1 and more) of the capacity is in use.

    >>> [next_given_up(GivesUp.RECORDINGS, used).name for used in (1.0, 0.94, 0.84, 0.79)]
    ['CALLS', 'RECORDINGS', 'TRANSCRIPTS', 'NOTHING']
    """
    given_up = (what for what, (enters, leaves) in BOUNDS.items() if used >= (leaves if now >= what else enters))
    return max(given_up, default=GivesUp.NOTHING)


__all__ = ["BOUNDS", "FIRST", "next_given_up"]
