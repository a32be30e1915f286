"""Which node is to have fewer calls: one whose callers have waited too long for half a minute, while another has room.

It is asked to move a fifth of its calls, those that have not moved for five minutes (`MoveShare`), and then for half a
minute nobody is asked: what one move does is to be seen before the next. Only what was looked at all the time counts:
whoever has not answered, or was not asked, begins anew. Pure: no clock, no process; the asking is `edges`'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from protocols.wire.ids import Identity, node_of

LATE_MS: Final = 150.0
"""Callers notice: a turn of 250 ms takes 400 (`nodes/edge/capacity.py`, which tells it as `late_ms`: the worse of what
waits for recognition, and ten times the lateness of media)."""
PROMPT_MS: Final = LATE_MS / 2
"""Whoever gets calls is further than this from being late."""
HOLD_S: Final = 30.0
RESTS_S: Final = 300.0
SHARE: Final = 0.2
AWAY_S: Final = 3.0
"""Looks are a second apart; who looks so late does not know what was between."""


@dataclass(frozen=True, slots=True)
class Relief:
    """Have this edge move such a share of its calls to any of these."""

    edge: Identity
    share: float
    to: tuple[Identity, ...]


@dataclass(slots=True)
class Balance:
    """One term's. `now`: seconds, monotonic, never earlier than the last."""

    _late_since: dict[Identity, float] = field(default_factory=dict)
    _looked_s: float = -math.inf
    _asked_s: float = -math.inf

    def step(self, said: Mapping[Identity, Mapping[str, float]], now: float) -> Relief | None:
        """Take what the edges have just said of themselves; return what is to be asked, if anything."""
        if now - self._looked_s > AWAY_S:
            self._late_since.clear()
        self._looked_s = now
        late = {edge: figures.get("late_ms", 0.0) for edge, figures in said.items()}
        self._late_since = {edge: self._late_since.get(edge, now) for edge, ms in late.items() if ms > LATE_MS}
        due = [edge for edge, since in self._late_since.items() if now - since >= HOLD_S and may_give(said[edge])]
        if not due or now - self._asked_s < HOLD_S:
            return None
        worst = max(due, key=lambda edge: late[edge])
        others = [edge for edge in said if node_of(edge) != node_of(worst)]  # calls move to other machines only
        to = tuple(edge for edge in others if takes(said[edge]))
        room = sum(said[edge]["room"] for edge in to)
        if room < 1:
            return None
        self._asked_s = now
        return Relief(worst, min(SHARE, room / said[worst]["calls"]), to)


def may_give(figures: Mapping[str, float]) -> bool:
    """Say whether there are calls that may be wanted away: those of who drains are on their way already."""
    return figures.get("calls", 0.0) >= 1 and not figures.get("draining")


def takes(figures: Mapping[str, float]) -> bool:
    """Say whether an edge can take others' calls, and nobody there would notice."""
    is_prompt = figures.get("late_ms", 0.0) <= PROMPT_MS
    return is_prompt and not figures.get("draining") and figures.get("room", 0.0) >= 1


__all__ = ["AWAY_S", "HOLD_S", "LATE_MS", "PROMPT_MS", "RESTS_S", "SHARE", "Balance", "Relief", "may_give", "takes"]
