"""Which months have which days: so that no rule of any language hears a February 30."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple


class Days(NamedTuple):
    """Days of the month, from `first` to `last`, and the months that have them all; perhaps in leap years only."""

    first: int
    last: int
    months: Sequence[int]
    only_leap: bool = False


CALENDAR: Final = (
    Days(1, 28, range(1, 13)),
    Days(29, 30, (1, *range(3, 13))),
    Days(31, 31, (1, 3, 5, 7, 8, 10, 12)),
    Days(29, 29, (2,), only_leap=True),
)

__all__ = ["CALENDAR", "Days"]
