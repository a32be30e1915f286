"""Whether streams and buckets take what is written: since when each has not, though the server is there.

Two ways not to: no answer, which a new server may mend, and a refusal at once, which it does not (the account's store
is full, the stream is gone); that is for the operator.

A nats-server whose disk was full goes on answering questions, and takes no message any more, also when there is room
again (2.15.1: until it is started anew). So what counts is a write that is not acknowledged, again and again. A process
that was stopped itself has tried once in that time, and once is no evidence. A server that stands still (SIGSTOP, a
disk that answers nobody) is judged by the same rule: its kernel takes connections, and it greets none (`connection`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from nats.js.errors import APIError, NoStreamResponseError

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
        self._refused: dict[str, _Failing] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[Callable[[], None]]:
        """Take note of how a write to this stream or bucket ends; what is given is called when it was answered.

        A no is an answer, too: whoever was slower with a key has not found a server that stores nothing.
        """

        def took() -> None:
            self._failing.pop(name, None)
            self._refused.pop(name, None)

        try:
            yield took
        except BusAway as error:
            match error.__cause__:
                case TimeoutError():
                    self._note(self._failing, name)
                case APIError() | NoStreamResponseError():
                    self._note(self._refused, name)
                case _:
                    pass
            raise

    def stuck(self) -> dict[str, float]:
        """Return the names that take nothing, with seconds."""
        now = self._clock()
        return {
            name: now - one.since
            for name, one in self._failing.items()
            if one.n_tries >= TRIES and now - one.since >= STUCK_S and now - one.last <= LATELY_S
        }

    def refused_s(self, names: Collection[str]) -> float:
        """Return for how long a write to one of these has been refused, again and again; 0.0: none, or but once."""
        now = self._clock()
        lately = [one for name in names if (one := self._refused.get(name)) and now - one.last <= LATELY_S]
        return max((one.last - one.since for one in lately), default=0.0)

    @property
    def is_waiting(self) -> bool:
        """Whether a write has had no answer lately, so that the time since then counts."""
        now = self._clock()
        return any(now - one.last <= LATELY_S for one in self._failing.values())

    def excuse(self, seconds: float) -> None:
        """Have so much of the time since then not count: whoever was to answer could not."""
        now = self._clock()
        for one in self._failing.values():
            one.since = min(one.since + seconds, now)

    def forget(self) -> None:
        """Begin anew: the connection was away, which explains everything."""
        self._failing.clear()
        self._refused.clear()

    def _note(self, failing: dict[str, _Failing], name: str) -> None:
        now = self._clock()
        one = failing.get(name)
        if one is None or now - one.last > LATELY_S:
            failing[name] = _Failing(now, now)
        elif now - one.last >= APART_S:
            one.last, one.n_tries = now, one.n_tries + 1


__all__ = ["STUCK_S", "TRIES", "Writes"]
