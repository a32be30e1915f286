"""Which calls are to go to other machines, and which of them are asked next: all of a drained node's, or a share.

A call that cannot go just now is asked again: soon where it is the other machine that does not take it, and not for
half a minute where its far end has refused. A share is so many calls, and is given up after a minute: whoever wanted
it looks again. Pure: no clock, no process. Moving them is `mover`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nodes.call.moving import is_movable
from nodes.call.record import UP, CallRecord
from protocols.wire.ids import CallId, NodeId

SOON_S: Final = 1.0
REFUSED_S: Final = 30.0
"""A far end that has refused to be moved is not asked again for so long."""
WITHIN_S: Final = 60.0
"""What has not gone of a share by then stays."""


def n_of(share: float, n_calls: int) -> int:
    """Return how many calls a share of so many is: at least one, where there is one.

    >>> n_of(0.3, 10), n_of(0.3, 1), n_of(0.3, 0), n_of(1.0, 7)
    (3, 1, 0, 7)
    """
    return min(n_calls, math.ceil(share * n_calls - 1e-9))


def may_go(record: CallRecord, now: float, rests_s: float, to: frozenset[NodeId]) -> bool:
    """Say whether a call can be one of a share: it is up, has not moved lately, and has one of these heirs, if any."""
    rests = record.moved_s and now - record.moved_s < rests_s
    return record.phase in UP and not rests and (not to or record.heir in to)


@dataclass(slots=True)
class Departures:
    """What is wanted of one edge's calls, and how far it has come. `now`: seconds, monotonic."""

    is_all: bool = False
    _n: int = 0
    _until_s: float = 0.0
    _rests_s: float = 0.0
    _to: frozenset[NodeId] = frozenset()
    _going: set[CallId] = field(default_factory=set)
    _not_before: dict[CallId, float] = field(default_factory=dict)

    def want_all(self, is_wanted: bool) -> None:
        """Have every call go as soon as it can; or no more of them."""
        self.is_all, self._n = is_wanted, 0

    def want(self, n: int, now: float, rests_s: float = 0.0, to: frozenset[NodeId] = frozenset()) -> None:
        """Have so many go, of those that `may_go`; in the place of what was wanted before."""
        self._n, self._until_s, self._rests_s, self._to = n, now + WITHIN_S, rests_s, to

    def n_wanted(self, now: float) -> int:
        """Return how many of a share have not gone yet."""
        return self._n if now < self._until_s else 0

    def is_on(self, now: float) -> bool:
        """Say whether anything is wanted."""
        return self.is_all or self.n_wanted(now) > 0

    def next(self, records: Mapping[CallId, CallRecord], n_free: int, now: float) -> list[CallId]:
        """Return whom to move now, `n_free` at most: each of them `gone`, or `stays`, later.

        First those that have never moved, of those the ones that have begun last: they have most before them.
        """
        if not self.is_on(now):
            return []
        self._not_before = {one: at for one, at in self._not_before.items() if one in records and at > now}
        able = [one for one, record in records.items() if self._can(one, record, now)]
        able.sort(key=lambda one: (records[one].n_moves, -records[one].answered_s))
        n = n_free if self.is_all else min(n_free, self.n_wanted(now) - len(self._going))
        chosen = able[: max(0, n)]
        self._going |= set(chosen)
        return chosen

    def gone(self, call_id: CallId) -> None:
        """A call has gone."""
        self._going.discard(call_id)
        self._n = max(0, self._n - 1)

    def stays(self, call_id: CallId, now: float, is_refused: bool = False) -> None:
        """A call has not gone. `is_refused`: its far end does not want to."""
        self._going.discard(call_id)
        self._not_before[call_id] = now + (REFUSED_S if is_refused else SOON_S)

    def _can(self, call_id: CallId, record: CallRecord, now: float) -> bool:
        is_free = call_id not in self._going and call_id not in self._not_before
        return is_free and is_movable(record) and (self.is_all or may_go(record, now, self._rests_s, self._to))


__all__ = ["REFUSED_S", "SOON_S", "WITHIN_S", "Departures", "may_go", "n_of"]
