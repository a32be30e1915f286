"""The first start of a process: it ends the node where the process says that it cannot, and not where chance ends it.

A node that cannot start says why in one line and ends, for then somebody looks at it. A process that a signal ends
before it has ever been ready has said nothing: somebody has killed it, or the kernel has for want of memory. It is
started again, as it would be a second later. A part of the launcher: the kernel and the standard library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, TypeVar

from supervisors import StartFailed
from supervisors.process import ProcessDied, ProcessExit

T = TypeVar("T")
TRIES: Final = 3
"""What dies of signals so often is no chance: a library aborts at its model each time."""


def is_chance(exit: ProcessExit) -> bool:
    """Say whether a signal of somebody else's has ended a process: it has not said that it cannot, or been too slow."""
    return exit.signal is not None and not exit.why


async def begin(start: Callable[[str], Awaitable[T]], name: str) -> T:
    """Start a process for the first time, `TRIES` times where chance ends it. Raises: StartFailed."""
    for number in count(1):
        try:
            return await start(name)
        except StartFailed as failed:
            cause: BaseException | None = failed
            while isinstance(cause, StartFailed):  # of those whose child it is
                cause = cause.__cause__
            if not (isinstance(cause, ProcessDied) and is_chance(cause.exit)) or number == TRIES:
                raise
    raise AssertionError("counted to the end")


__all__ = ["TRIES", "begin", "is_chance"]
