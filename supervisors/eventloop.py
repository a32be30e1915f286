"""The event loop of every process of ours: it reads before it lets a timer judge.

asyncio runs what has become readable before the timers that are due, with one exception: when the process was stopped
in `epoll_wait` and its time-out passed meanwhile, Python returns without having looked (PEP 475: the wait is begun
again after the signal, unless its time is over). So after every pause of a process all time-outs passed first, and
the answers that they waited for were read a turn later. Here the loop looks once more before it concludes that nothing
has come. It costs 2 us for each turn in which only timers were due.

And it says while it waits (`is_waiting`): whoever watches it from another thread need not wake it to know that nothing
holds it.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ReadsFirst(selectors.EpollSelector):
    """A selector that does not say "nothing came" without having looked at the end of the time."""

    is_waiting = False
    """Whether it waits for something to come; read by other threads, as the next."""
    turned_s = 0.0
    """When it has looked last, and so when the turn of the loop began that runs now; monotonic."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready within `timeout` seconds (None: wait for ever; 0 or less: look)."""
        if timeout is None or timeout > 0:
            self.is_waiting = True
            try:
                ready = super().select(timeout)
            finally:
                self.turned_s, self.is_waiting = time.monotonic(), False
            if ready or timeout is None:
                return ready
        else:
            self.turned_s = time.monotonic()
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """A loop on such a selector, which it shows."""

    def __init__(self) -> None:
        self.selector = ReadsFirst()
        super().__init__(self.selector)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for `asyncio.Runner(loop_factory=new_loop)`."""
    return Loop()


def is_waiting(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether nothing holds `loop`, for it waits; False when that is not known. Any thread may ask."""
    return isinstance(loop, Loop) and loop.selector.is_waiting


def turned_s(loop: asyncio.AbstractEventLoop) -> float:
    """Return when the present turn of `loop` began, where it says that it does not wait. Any thread may ask."""
    return loop.selector.turned_s if isinstance(loop, Loop) else time.monotonic()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Do as `asyncio.run` does, on such a loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


__all__ = ["ReadsFirst", "is_waiting", "new_loop", "run", "turned_s"]
