"""Whether one more call may begin now, on this cluster and this trunk: the last look before a dial is written down.

Limits, each a word that an operator reads as the campaign's `held`: `no_edge`, `edges_full` (they say so, or more are
in flight than the configuration wants), `tokens` (how fast calls may begin: the source documents' bucket, base = cores
x 2 of all machines with an edge, refilled with a fifth of the base a second, three bases deep, so that a burst after a
pause does not arrive as one), and of the trunk `no_trunk` (the configuration has it no longer), `trunk_rate` (the
carrier's calls per second) and `trunk_failing` (more than half of the latest dials were refused or not answered by it:
one call at a time tries it again).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nodes.breakers import Breakers
from supervisors import BreakerState, Bucket

REFILL = 0.2
"""Of the base, in a second."""
BURST = 3
OPEN_S = 30.0
"""A trunk is left alone for so long: a call rings for 30 s."""


def base_of(cores: float) -> float:
    """Return the bucket's base for machines of so many cores together."""
    return 2.0 * max(1.0, cores)


class Admission:
    """The limits of one cluster. `now` is monotonic seconds, never earlier than the last."""

    def __init__(self, trunks: Mapping[str, float], now: float, base: float = 0.0, per_edge: int = 0) -> None:
        """`trunks`: name to calls per second. `base`: of the bucket; 0: it follows the cluster's cores.

        `per_edge`: calls of one edge; 0: as many as it takes.
        """
        self._base, self._cores = base, 0.0
        base = base or base_of(0.0)
        self._tokens = Bucket(rate=base * REFILL, burst=base * BURST, now=now)
        self._rates = {name: Bucket(rate=cps, burst=max(1.0, cps), now=now) for name, cps in trunks.items()}
        self.breakers = Breakers("trunk", window_s=60.0, open_s=OPEN_S)
        self._tried: dict[str, float] = {}
        self._per_edge = per_edge

    def change(self, trunks: Mapping[str, float], now: float, base: float, per_edge: int) -> None:
        """Go on with other limits (as for `__init__`); what was used up and learnt of these trunks stays."""
        self._base, self._per_edge = base, per_edge
        base = base or base_of(self._cores)
        self._tokens.resize(base * REFILL, base * BURST, now)
        for name, cps in trunks.items():
            self._rates[name].resize(cps, max(1.0, cps), now)

    def follow(self, cores: float, now: float) -> None:
        """Take note how many cores the machines of all edges have."""
        if not self._base and cores != self._cores:
            base, self._cores = base_of(cores), cores
            self._tokens.resize(base * REFILL, base * BURST, now)

    def objection(self, trunk: str, n_in_flight: int, n_edges: int, room: float, now: float) -> str:
        """Return why no call may begin through `trunk` (empty: one that needs none); empty when one may.

        `room`: how many more calls the edges take, as they say.
        """
        if not n_edges:
            return "no_edge"
        if room <= 0 or (self._per_edge and n_in_flight >= n_edges * self._per_edge):
            return "edges_full"
        if self._tokens.wait_s(1, now) > 0:
            return "tokens"
        if not trunk:
            return ""
        if trunk not in self._rates:
            return "no_trunk"
        if self._rates[trunk].wait_s(1, now) > 0:
            return "trunk_rate"
        return "trunk_failing" if self._is_failing(trunk, now) else ""

    def begin(self, trunk: str, now: float) -> None:
        """Count a call that begins."""
        self._tokens.take(1, now)
        if trunk:
            self._rates[trunk].take(1, now)
            if self.breakers.state(trunk, now) is BreakerState.HALF_OPEN and self.breakers.allows(trunk, now):
                self._tried[trunk] = now

    def told(self, trunk: str, works: bool, now: float) -> None:
        """Learn how a trunk has taken a dial (`outcomes.trunk_works`)."""
        if trunk in self._rates:
            self.breakers.record(trunk, works, now)

    def _is_failing(self, trunk: str, now: float) -> bool:
        """Half open, one call tries the trunk, and the others wait for its end."""
        state = self.breakers.state(trunk, now)
        if state is BreakerState.HALF_OPEN:
            return now - self._tried.get(trunk, -math.inf) < OPEN_S
        return state is BreakerState.OPEN


__all__ = ["Admission", "base_of"]
