"""The two clocks of a campaign: the wall's, for calling hours and logs, and the journal's, for everything that lasts.

A wall clock is set by whoever likes: a step of two hours would let people be rung again who were rung a minute ago. So
how long ago a dial was, and when the next may be, is told in seconds of the journal. They follow the monotonic clock of
the central that writes, and each entry says what they were (`Stamp`); a successor goes on from the last entry. On the
same boot of the same machine it knows what has passed meanwhile, to the millisecond. Elsewhere it does not, and takes
nothing: an age is then too small, and a wait too long, by as long as nobody has led, and nobody is rung too early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from nodes.links import incarnation


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment in two ways: `journal_s` on the journal's clock, `up_s` on the monotonic clock of the boot `boot`."""

    journal_s: float
    boot: str
    up_s: float


class Clock:
    """The clocks of one central. `wall` and `monotonic` are the system's; a test gives its own."""

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        boot: str | None = None,
    ) -> None:
        self.wall = wall
        self._monotonic = monotonic
        self._boot = incarnation.boot() if boot is None else boot
        self._ahead = -monotonic()

    def now(self) -> float:
        """Return the seconds of the journal: from 0 at its beginning, never fewer than before."""
        return self._monotonic() + self._ahead

    def stamp(self) -> Stamp:
        """Return this moment, to be written beside an entry."""
        return Stamp(round(self.now(), 3), self._boot, round(self._monotonic(), 3))

    def heard(self, told: object) -> None:
        """Go on from what was written beside an entry, just read; what is no stamp says nothing."""
        try:
            stamp = msgspec.convert(told, Stamp)
        except msgspec.ValidationError:
            return
        up_s = stamp.up_s if self._boot and stamp.boot == self._boot else self._monotonic()
        self._ahead = max(self._ahead, stamp.journal_s - up_s)


def to_body(stamp: Stamp) -> dict[str, Any]:
    """Return a stamp as a JSON-able dict."""
    body: dict[str, Any] = msgspec.to_builtins(stamp)
    return body


__all__ = ["Clock", "Stamp", "to_body"]
