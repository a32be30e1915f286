"""What becomes of the events of an edge's calls: they go to the bus, without what is given up just now.

Two things may be short. The machine: then what is said word by word is not told (`events.shortened`), and what is
counted still is. And the spool, when the events' stream has not taken any for minutes: from half of it the edge takes
no new calls, and when it is full, what tells the conversation is dropped and counted. What a call has come to (slots,
tags, opt-outs, its end) always finds room: it is as much as the calls that are up can still say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nodes.bus.bus import Bus
from nodes.edge import diary
from nodes.edge.recent import Noted
from nodes.telemetry import logs
from protocols.wire.events import TRANSCRIPT, CallEvent, shortened
from protocols.wire.subjects import call_event

FILLS_UP: Final = 0.5
"""Share of the spool from which no new call is taken."""
FLOWS_AGAIN: Final = 0.4

log = logs.get(__name__)


class Post:
    """Takes events. `gives_up_words`: whether transcripts are given up now. `noted`: hears what the bus has taken."""

    def __init__(self, bus: Bus, gives_up_words: Callable[[], bool], noted: Callable[[Noted], None]) -> None:
        self._bus, self._gives_up_words, self._noted = bus, gives_up_words, noted
        self._n_given_up = 0
        self._is_filling = False

    def take(self, event: CallEvent) -> None:
        """Take one event; it is told in the order in which it came."""
        diary.tell_spans(event)
        told = shortened(event) if self._gives_up_words() else event
        self._n_given_up += told is not event
        if told is None:
            return
        subject, may_drop = call_event(told.call_id, told.kind), told.kind in TRANSCRIPT
        noted = Noted.of(told)
        if self._bus.record(subject, noted.event_id, noted.body, noted.call_id, may_drop=may_drop):
            self._noted(noted)

    def fills_up(self) -> bool:
        """Say whether so many events wait for their stream that no new call is to be taken."""
        is_filling = self._bus.spool_used >= (FLOWS_AGAIN if self._is_filling else FILLS_UP)
        if is_filling is not self._is_filling:
            self._is_filling = is_filling
            log.warning("spool.fills_up" if is_filling else "spool.flows_again", used=round(self._bus.spool_used, 3))
        return is_filling

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        return {"events_given_up": float(self._n_given_up), "spool_filling": float(self.fills_up())}


__all__ = ["FILLS_UP", "FLOWS_AGAIN", "Post"]
