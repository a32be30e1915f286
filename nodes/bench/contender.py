"""The work that is measured, as every contender on an event loop does it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

DEADLINE_S = 5.0
"""Of an ask that has one."""


class Contender(Protocol):
    """Supervised actors on the running loop: one that answers, and children that can be crashed.

    Between `open` and `close`. A child brings back the number of its life, so that a replacement is told from the dead.
    """

    async def open(self) -> None:
        """Start what answers."""

    async def close(self) -> None:
        """Stop it."""

    def ask(self, n: int) -> Awaitable[int]:
        """Have `n + 1` answered, without a deadline if there is such a thing here."""
        ...

    def ask_in_time(self, n: int) -> Awaitable[int]:
        """The same within `DEADLINE_S`."""
        ...

    def ask_waiting(self, n: int) -> Awaitable[int]:
        """As `ask_in_time`, by a handler that waits for one turn of the loop; the floor's does not wait."""
        ...

    def tell(self, n: int) -> object:
        """Send a message that nobody answers."""
        ...

    async def spawn(self, n: int) -> None:
        """Start `n` idle children under a supervisor; return when they are up."""

    def crash(self, i: int) -> None:
        """Have child `i` raise."""

    async def back(self, i: int) -> None:
        """Return when the replacement of child `i` has answered."""

    async def stop(self) -> None:
        """Stop all children; return when they have ended."""
