"""The deadline of a machine that an actor drives: it passes in its turn, behind what has come for the actor before it.

A timer of an actor goes before other people's messages. So when a process that stood still goes on, the time-out of an
answer would be handled before the answer, which has waited in a socket all the while. Here the alarm is a message like
any other; and one that rings late, because it was this process that was away, gives the others `GRACE_S` more, once.
To be told too early changes nothing (`protocols.machine`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from supervisors import Actor, Timer
from supervisors.silence import AWAY_S

GRACE_S: Final = 0.5
"""For reading what waits: the socket's buffer holds some thousand datagrams, of which a turn of the loop takes 64."""


class Alarm:
    """One deadline of `actor`, whose message `expired` says that it has passed."""

    def __init__(self, actor: Actor, expired: Callable[[Any], object]) -> None:
        self._actor, self._expired = actor, expired
        self._timer: Timer | None = None
        self._excused: tuple[float, float] | None = None  # the deadline that has passed without us; until when it waits

    def set(self, deadline: float | None) -> None:
        """Ring at this time (seconds, monotonic) and no other; None: not at all."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            at = self._excused[1] if self._excused and self._excused[0] == deadline else deadline
            self._wait(max(0.0, at - time.monotonic()), deadline)

    def _wait(self, seconds: float, deadline: float) -> None:
        self._timer = self._actor.after(seconds, _rings, self, deadline)

    def ring(self, deadline: float) -> None:
        """The time has come. For `_rings`."""
        self._timer = None
        now = time.monotonic()
        is_excused = self._excused is not None and self._excused[0] == deadline
        if now - deadline > AWAY_S and not is_excused:
            self._excused = deadline, now + GRACE_S
            self._wait(GRACE_S, deadline)
        elif not self._actor.ref.tell(self._expired):  # full: in a moment
            self._wait(GRACE_S, deadline)


def _rings(_: Actor, alarm: Alarm, deadline: float) -> None:
    alarm.ring(deadline)


__all__ = ["GRACE_S", "Alarm"]
