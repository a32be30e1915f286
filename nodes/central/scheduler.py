"""Whose turn it is: smooth weighted round robin, between the running campaigns and between the edges.

Each turn every candidate gains its weight, the richest is chosen and pays the sum of all weights (nginx, upstream
module). Over any run of turns a candidate is chosen in proportion to its weight, and the turns of a heavy one are
spread between those of the others, not bunched.

The weight follows the source documents: base x (0.8 + 0.4 x min(1, complexity / 10)), so that a campaign of long
conversations gets up to half as much again as one of short announcements with the same share. For an edge it is turned
round: one whose calls have been long conversations gets down to two thirds of what its equal gets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K")
LATELY: Final = 100
"""Calls after which an earlier one counts a third of a new one."""


def weight(base: float, complexity: float) -> float:
    """Return a candidate's weight. `base`: its share, above 0. `complexity`: 0 and up, everything from 10 is the same.

    >>> weight(1, 0), weight(1, 5), weight(2, 99)
    (0.8, 1.0, 2.4000000000000004)
    """
    return base * (0.8 + 0.4 * min(1.0, complexity / 10))


def share_of(base: float, complexity: float) -> float:
    """Return an edge's weight. `base`: how many calls it carries. `complexity`: of its calls, lately.

    >>> [round(share_of(100, complexity)) for complexity in (0, 5, 99)]
    [120, 100, 80]
    """
    return weight(base, 10 - min(10.0, complexity))


@dataclass(slots=True)
class Mean:
    """How much conversation calls are, on average and lately: turns, and seconds of recognition, a call."""

    value: float = 0.0
    _n: int = 0

    def learn(self, complexity: float) -> None:
        """Take one more call into account.

        >>> mean = Mean()
        >>> mean.learn(4.0); mean.learn(5.0); mean.value
        4.5
        """
        self._n = min(self._n + 1, LATELY)
        self.value += (complexity - self.value) / self._n


@dataclass(slots=True)
class Scheduler(Generic[K]):
    """Chooses between candidates, turn by turn. Who is not a candidate this turn neither gains nor loses."""

    _credit: dict[K, float] = field(default_factory=dict)

    def choose(self, weights: Mapping[K, float]) -> K | None:
        """Return whose turn it is; None when there is no candidate. Candidates of equal credit: the first.

        >>> scheduler = Scheduler[str]()
        >>> "".join(scheduler.choose({"a": 5, "b": 1, "c": 1}) or "" for _ in range(7))
        'aabacaa'
        """
        if not weights:
            return None
        for key, gain in weights.items():
            self._credit[key] = self._credit.get(key, 0.0) + gain
        chosen = max(weights, key=lambda key: self._credit[key])
        self._credit[chosen] -= sum(weights.values())
        return chosen

    def keep(self, keys: Collection[K]) -> None:
        """Forget all others: they will never be candidates again."""
        self._credit = {key: credit for key, credit in self._credit.items() if key in keys}


__all__ = ["Mean", "Scheduler", "share_of", "weight"]
