"""What the calls of a trunk cost, and whether one more may begin: from the journal, so that who leads next knows it.

A call costs the price of its number for each minute that has begun since the callee answered; one that is up is counted
as if it had been answered when it was dialled, and one that is about to begin as one minute. The day is the last 24
to 25 hours of the journal's clock, which nobody sets. A call that is up is never cut for money: what exceeds the limit
is what those that are up go on to cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from nodes.config import Trunk
from nodes.dial_plan import price_of
from protocols.wire.journal import Attempted

HOUR_S: Final = 3600.0
DAY_H: Final = 24

Spent: TypeAlias = dict[str, dict[int, float]]
"""By trunk and hour of the journal."""


def cost(price: float, seconds: float) -> float:
    """Return what so many seconds cost, at `price` a minute.

    >>> cost(0.5, 0.0), cost(0.5, 61.0)
    (0.0, 1.0)
    """
    return price * math.ceil(max(0.0, seconds) / 60)


def add(spent: Spent, trunk: str, amount: float, now: float) -> None:
    """Count what a call has cost; hours that no day will ask for again are forgotten."""
    if amount <= 0:
        return
    hour = int(now // HOUR_S)
    hours = {at: sum_ for at, sum_ in spent.get(trunk, {}).items() if at >= hour - DAY_H}
    spent[trunk] = hours | {hour: hours.get(hour, 0.0) + amount}


def of_day(spent: Spent, trunk: str, in_flight: Iterable[Attempted], now: float) -> float:
    """Return what a trunk has cost within the last day, calls that are up included."""
    hour = int(now // HOUR_S)
    ended = sum(sum_ for at, sum_ in spent.get(trunk, {}).items() if at >= hour - DAY_H)
    up = (one for one in in_flight if one.trunk == trunk and one.price)
    return ended + sum(one.price * (max(0.0, now - one.journal_s) // 60 + 1) for one in up)


@dataclass(frozen=True, slots=True)
class Fares:
    """What the configuration says of prices and limits."""

    trunks: Mapping[str, Trunk] = field(default_factory=dict)

    def price(self, target: str, trunk: str) -> float:
        """Return what a minute costs; 0.0 where nothing is said."""
        return price_of(target, self.trunks[trunk]) if trunk in self.trunks else 0.0

    def allows(self, target: str, trunk: str, spent: Spent, in_flight: Iterable[Attempted], now: float) -> bool:
        """Say whether one more call may begin within the trunk's limit."""
        limit = self.trunks[trunk].spend_per_day if trunk in self.trunks else 0.0
        if not limit:
            return True
        return of_day(spent, trunk, in_flight, now) + self.price(target, trunk) <= limit


FREE: Final = Fares()
"""No prices are known."""

__all__ = ["FREE", "Fares", "Spent", "add", "cost", "of_day"]
