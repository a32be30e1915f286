"""What waits for the decoders of this process: how old it gets, and how long decoding takes. Plain bookkeeping.

A decoding is due when a channel's task asks for it; it is over when a thread has done it. What lies between is the time
that callers wait for an answer beyond what the turn detector has them wait. One that is still waiting counts as old as
it is: an engine that stands still is told of, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from protocols.wire.load import SpeechLoad

USUAL: Final = 0.9
"""The share of decodings that were done within the usual age."""


class Backlog:
    """Decodings of one process, since the last `told`. Lives on the event loop; `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self._due: dict[int, float] = {}
        self._keys = count()
        self._ages: list[float] = []
        self._audio_s = self._decode_s = self._cpu_s = 0.0

    @contextmanager
    def waiting(self, clock: Callable[[], float]) -> Iterator[None]:
        """Something is due, until the block ends."""
        key = next(self._keys)
        due_s = self._due[key] = clock()
        try:
            yield
        finally:
            del self._due[key]
            self._ages.append(clock() - due_s)

    def decoded(self, audio_s: float, took_s: float, cpu_s: float) -> None:
        """A thread has decoded so much in so long, and so much time of a core."""
        self._audio_s += audio_s
        self._decode_s += took_s
        self._cpu_s += cpu_s

    def told(self, late_s: float, now: float) -> SpeechLoad:
        """Return what there was since the last time, and begin anew; `late_s`: of the event loop."""
        ages = sorted([*self._ages, *(now - due_s for due_s in self._due.values())])
        usual = ages[min(int(len(ages) * USUAL), len(ages) - 1)] if ages else 0.0
        load = SpeechLoad(
            age_s=max(late_s, *ages[-1:], 0.0),
            usual_age_s=max(late_s, usual),
            audio_s=self._audio_s,
            decode_s=self._decode_s,
            decode_cpu_s=self._cpu_s,
        )
        self._ages = []
        self._audio_s = self._decode_s = self._cpu_s = 0.0
        return load


__all__ = ["Backlog"]
