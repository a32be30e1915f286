"""Callers who wait for a seat: urgent ones first, then who has waited longest.

Who waits, and for how long, is their edge's matter; a desk only remembers whom to tell when a seat is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from protocols.wire.context import Urgency
from protocols.wire.ids import CallId, Identity

_ORDER: Final = (Urgency.HIGH, Urgency.NORMAL, Urgency.LOW)


@dataclass(frozen=True, slots=True)
class Caller:
    """One who waits, and the edge that has them."""

    call_id: CallId
    skill: str
    urgency: Urgency
    edge: Identity


class Waiting:
    """The callers who wait, in the order of joining."""

    def __init__(self) -> None:
        self._callers: dict[CallId, Caller] = {}

    def join(self, caller: Caller) -> None:
        """Let a caller wait; one who waits already keeps their place."""
        self._callers[caller.call_id] = caller

    def leave(self, call_id: CallId) -> None:
        """A caller does not wait any more."""
        self._callers.pop(call_id, None)

    def next(self, suits: Callable[[str], bool]) -> Caller | None:
        """Return whose turn it is at a seat that `suits` their skill.

        >>> waiting = Waiting()
        >>> for name, urgency in (("a", Urgency.LOW), ("b", Urgency.HIGH), ("c", Urgency.HIGH)):
        ...     waiting.join(Caller(CallId(name), "service", urgency, Identity("e")))
        >>> waiting.next(lambda skill: skill == "service").call_id
        'b'
        """
        suited = [caller for caller in self if suits(caller.skill)]
        return min(suited, key=lambda caller: _ORDER.index(caller.urgency), default=None)

    def __iter__(self) -> Iterator[Caller]:
        return iter(list(self._callers.values()))


__all__ = ["Caller", "Waiting"]
