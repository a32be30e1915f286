"""Whose turn it is: smooth weighted round robin between the running campaigns.

Each turn every candidate gains its weight, the richest is chosen and pays the sum of all weights (nginx, upstream
module). Over any run of turns a candidate is chosen in proportion to its weight, and the turns of a heavy one are
spread between those of the others, not bunched.

The weight follows the source documents: base x (0.8 + 0.4 x min(1, complexity / 10)), so that a campaign of long
conversations gets up to half as much again as one of short announcements with the same share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")


def weight(base: float, complexity: float) -> float:
    """Return a candidate's weight. `base`: its share, above 0. `complexity`: 0 and up, everything from 10 is the same.

    >>> weight(1, 0), weight(1, 5), weight(2, 99)
    (0.8, 1.0, 2.4000000000000004)
    """
    return base * (0.8 + 0.4 * min(1.0, complexity / 10))


def complexity(n_calls: int, n_turns: int, recognition_s: float) -> float:
    """Return how much conversation a call of this kind is: turns, and seconds of recognition, per answered call.

    >>> complexity(n_calls=10, n_turns=40, recognition_s=5.0), complexity(0, 0, 0.0)
    (4.5, 0.0)
    """
    return (n_turns + recognition_s) / n_calls if n_calls else 0.0


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


__all__ = ["Scheduler", "complexity", "weight"]
