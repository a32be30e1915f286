"""Circuit breakers by name: a trunk, an engine, a host; one that opens or closes is told in the log, and counted.

What it does: keeps them, forgets those that have nothing to say when there are many, and says how many are open. What
it does not: decide when one opens (`supervisors.Breaker`: above half errors), or what is done instead.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from nodes.telemetry import logs
from supervisors import Breaker, BreakerState

MOST: Final = 1000
"""Names that are kept: a script may ask a host for each contact."""

log = logs.get(__name__)


class Breakers:
    """Those of one kind, `what`. `least`, `window_s`, `open_s`: of each. Times are monotonic seconds."""

    def __init__(self, what: str, *, least: int = 10, window_s: float = 10.0, open_s: float = 5.0) -> None:
        self._what, self._least, self._window_s, self._open_s = what, least, window_s, open_s
        self._by_name: OrderedDict[str, Breaker] = OrderedDict()
        self._failing: set[str] = set()
        self._n_opened = 0

    def allows(self, name: str, now: float) -> bool:
        """Say whether a request may go there; half open, to one, which must be told by `record`."""
        return name not in self._by_name or self._by_name[name].allows(now)

    def state(self, name: str, now: float) -> BreakerState:
        """Return what `allows` would go by."""
        return self._by_name[name].state(now) if name in self._by_name else BreakerState.CLOSED

    def record(self, name: str, ok: bool, now: float) -> None:
        """Count one outcome."""
        breaker = self._by_name.setdefault(name, Breaker(0.5, self._window_s, self._least, self._open_s))
        self._by_name.move_to_end(name)
        breaker.record(ok, now)
        self._tell(name, breaker.state(now) is not BreakerState.CLOSED)
        while len(self._by_name) > MOST:
            self.forget(next(iter(self._by_name)))

    def forget(self, name: str) -> None:
        """What is not there any more cannot fail."""
        self._by_name.pop(name, None)
        self._tell(name, False)

    @property
    def failing(self) -> frozenset[str]:
        """Those that are open, or tried with one request."""
        return frozenset(self._failing)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it: how many are open now, and how often one has opened."""
        failing, opened = f"{self._what}_breakers_open", f"{self._what}_breakers_opened"
        return {failing: float(len(self._failing)), opened: float(self._n_opened)}

    def _tell(self, name: str, is_failing: bool) -> None:
        if is_failing and name not in self._failing:
            self._failing.add(name)
            self._n_opened += 1
            log.warning("breaker.opened", what=self._what, name=name, for_s=self._open_s)
        elif not is_failing and name in self._failing:
            self._failing.discard(name)
            log.info("breaker.closed", what=self._what, name=name)


__all__ = ["Breakers"]
