"""Whether streams and buckets take what is written: since when each has not, though the server is there.

A nats-server whose disk was full goes on answering questions, and takes no message any more, also when there is room
again (2.15.1: until it is started anew). So what counts is a write that is not acknowledged, again and again. A process
that was stopped itself has tried once in that time, and once is no evidence. A server that stands still (SIGSTOP, a
disk that answers nobody) is judged by the same rule: its kernel takes connections, and it greets none (`connection`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from nodes.links.errors import BusAway

STUCK_S: Final = 10.0
"""Longer than an election of a leader (4 to 7 s)."""
TRIES: Final = 4
LATELY_S: Final = 20.0
"""After so long without another try nothing is known: longer than a slow try and the pause after it."""
APART_S: Final = 1.0
"""Writes that fail together are one try."""


@dataclass(slots=True)
class _Failing:
    since: float
    last: float
    n_tries: int = 1


class Writes:
    """The writes of one process, by stream or bucket. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: dict[str, _Failing] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[Callable[[], None]]:
        """Take note of how a write to this stream or bucket ends; what is given is called when it was answered.

        A no is an answer, too: whoever was slower with a key has not found a server that stores nothing.
        """

        def took() -> None:
            self._failing.pop(name, None)

        try:
            yield took
        except BusAway as error:
            if isinstance(error.__cause__, TimeoutError):
                self._timed_out(name)
            raise

    def stuck(self) -> dict[str, float]:
        """Return the names that take nothing, with seconds."""
        now = self._clock()
        return {
            name: now - one.since
            for name, one in self._failing.items()
            if one.n_tries >= TRIES and now - one.since >= STUCK_S and now - one.last <= LATELY_S
        }

    def forget(self) -> None:
        """Begin anew: the connection was away, which explains everything."""
        self._failing.clear()

    def _timed_out(self, name: str) -> None:
        now = self._clock()
        one = self._failing.get(name)
        if one is None or now - one.last > LATELY_S:
            self._failing[name] = _Failing(now, now)
        elif now - one.last >= APART_S:
            one.last, one.n_tries = now, one.n_tries + 1


__all__ = ["STUCK_S", "TRIES", "Writes"]
