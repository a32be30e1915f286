"""What an edge that is nearly full gives up before it refuses calls: recordings.

They are given up at one share of the capacity and taken up again at a lower one, so that calls coming and going at the
edge of it do not switch them on and off.
"""

from __future__ import annotations

from typing import Final

from protocols.wire.load import GivesUp

ENTERS: Final = 0.80
LEAVES: Final = 0.70
"""Used shares of the capacity."""


def next_given_up(now: GivesUp, used: float) -> GivesUp:
    """Return what is given up after `now` when `used` (0 to 1) of the capacity is in use.

    >>> [next_given_up(GivesUp.RECORDINGS, used).name for used in (0.85, 0.75, 0.69)]
    ['RECORDINGS', 'RECORDINGS', 'NOTHING']
    """
    return GivesUp.RECORDINGS if used >= (LEAVES if now else ENTERS) else GivesUp.NOTHING


__all__ = ["ENTERS", "LEAVES", "next_given_up"]
