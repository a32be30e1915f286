"""How long a thread has waited for a processor: what tells one who is late from one who is stuck.

    starvation = Starvation(pid)               # of its main thread, where the event loop is
    ...
    silence.look(now, starvation.since())      # the seconds of it since the last time

A machine with too much to do lets everybody wait, and whoever waits in the run queue answers nobody. A process that was
stopped, sleeps or hangs does not wait there, and one that computes has its processor: their silence counts as before.
The kernel counts a wait when it is over (the second number of schedstat); one that still lasts is seen by the state `R`
of a thread that has not been switched to since the last look. Source: Documentation/scheduler/sched-stats.rst,
proc_pid_stat(5). Where the kernel does not count, nobody has ever waited.

A program whose threads share one work, as Go's do, is late while any of them waits (`ProcessStarvation`): its main
thread may have nothing to do.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final, NamedTuple

_NS: Final = 1e-9
_READ_BYTES: Final = 512
"""More than schedstat has, and than stat has up to the state."""


class _Seen(NamedTuple):
    """What the kernel has counted at a moment; `n_turns`: how often the thread was given a processor."""

    at_s: float
    ran_s: float
    waited_s: float
    n_turns: int


class Starvation:
    """Of one thread, by its id in the kernel; a process's id is that of its main thread."""

    def __init__(self, thread: int) -> None:
        """Begin to count. Of a thread that has ended nothing is ever counted."""
        self._schedstat, self._stat = (_opened(f"/proc/{thread}/{name}") for name in ("schedstat", "stat"))
        self._seen = _Seen(0.0, 0.0, 0.0, 0)
        self._lasts_s = 0.0
        """How long a wait has been that is not over, as far as it was told."""
        self.mark()

    def mark(self) -> None:
        """Count from now on."""
        self._seen, self._lasts_s = self._look(), 0.0

    def since(self) -> float:
        """Return the seconds it has waited since this or `mark` was called last; below 0: that was told too much of."""
        before, lasted_s = self._seen, self._lasts_s
        now = self._seen = self._look()
        if now.n_turns == before.n_turns and now.n_turns and self._is_runnable():
            # It has run all the time, or waits since it was last seen. May be below 0: what has run is known by ticks.
            waits_s = (now.at_s - before.at_s) - (now.ran_s - before.ran_s)
            self._lasts_s += waits_s
            return waits_s
        self._lasts_s = 0.0
        return now.waited_s - before.waited_s - lasted_s

    def close(self) -> None:
        """Let go of what is read."""
        for file in (self._schedstat, self._stat):
            if file is not None:
                os.close(file)
        self._schedstat = self._stat = None

    def _look(self) -> _Seen:
        with suppress(OSError, ValueError):  # it has ended, or is not counted
            if self._schedstat is not None:
                ran, waited, n_turns = map(int, os.pread(self._schedstat, _READ_BYTES, 0).split())
                return _Seen(time.monotonic(), ran * _NS, waited * _NS, n_turns)
        return self._seen._replace(at_s=time.monotonic())

    def _is_runnable(self) -> bool:
        with suppress(OSError):  # it has ended
            if self._stat is not None:
                return os.pread(self._stat, _READ_BYTES, 0).rpartition(b") ")[2].startswith(b"R")
        return False


class ProcessStarvation:
    """Of a process whose work any of its threads may do. It may end meanwhile; then nothing more is counted."""

    def __init__(self, pid: int) -> None:
        """Begin to count."""
        self.pid = pid
        self._threads: dict[int, Starvation] = {}
        self._seen_s = time.monotonic()
        self._meet()

    def since(self) -> float:
        """Return the seconds, since this was called last, in which some thread of it has waited.

        The kernel tells of each thread for how long, but not when: they are taken for independent of each other.
        """
        now = time.monotonic()
        passed_s, self._seen_s = now - self._seen_s, now
        none_waits = 1.0
        for one in self._threads.values():
            none_waits *= 1.0 - min(max(one.since(), 0.0), passed_s) / passed_s if passed_s > 0 else 1.0
        self._meet()
        return passed_s * (1.0 - none_waits)

    def close(self) -> None:
        """Let go of what is read."""
        for one in self._threads.values():
            one.close()
        self._threads.clear()

    def _meet(self) -> None:
        """Begin to count of new threads, and let go of those that have ended."""
        living: set[int] = set()
        with suppress(OSError):  # it has ended
            living = {int(name) for name in os.listdir(f"/proc/{self.pid}/task")}
        for thread in self._threads.keys() - living:
            self._threads.pop(thread).close()
        for thread in living - self._threads.keys():
            self._threads[thread] = Starvation(thread)


def _opened(path: str) -> int | None:
    with suppress(OSError):
        return os.open(path, os.O_RDONLY)
    return None


__all__ = ["ProcessStarvation", "Starvation"]
