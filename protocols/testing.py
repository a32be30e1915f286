"""Machines joined by a line that loses, delays, repeats and reorders, in virtual time: for tests, and for nothing else.

    line = LossyLine(weather=stormy(random.Random(7).randbytes))
    caller = line.join(uac, ("10.0.0.1", 5060), receive)
    line.give(caller, Dial(...))
    line.run(60)
    assert caller.told[-1] == Finished()

A minute costs a few milliseconds. The same weather gives the same minute.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, repeat
from math import inf
from typing import Final, Generic, TypeAlias, TypeVar

from protocols.machine import Address, Effect, Expired, Machine, Notify, Transmit, earliest

In = TypeVar("In")
Ev = TypeVar("Ev")

Weather: TypeAlias = Iterator[tuple[float, ...]]
"""For each datagram the delays in seconds of its copies: none, it is lost; two, it comes twice."""

STUCK: Final = 1000
"""Steps without time passing after which a machine is taken to be going round in circles."""


def calm(delay_s: float = 0.01) -> Weather:
    """Return a line on which each datagram arrives once, in order."""
    return repeat((delay_s,))


def stormy(dice: Callable[[int], bytes], loss: float = 0.3, twice: float = 0.1, latest_s: float = 0.8) -> Weather:
    """Return a line that loses, repeats and overtakes; `dice(n)` gives n random bytes, the rest are shares of 1."""

    def share() -> float:
        return int.from_bytes(dice(2), "big") / 65536

    while True:
        copies = 0 if share() < loss else 2 if share() < twice else 1
        yield tuple(share() * latest_s for _ in range(copies))


@dataclass(eq=False)
class End(Generic[In, Ev]):
    """One machine at one address of a line."""

    machine: Machine[In | Expired, Ev]
    address: Address
    receive: Callable[[bytes, Address], In | None]
    """Make an input of a datagram and its source, or drop it."""
    told: list[Ev] = field(default_factory=list)
    """What the machine has notified."""
    sent: list[bytes] = field(default_factory=list)
    """What the machine has transmitted, before the line did anything to it."""


class LossyLine:
    """The line, its ends, and its clock."""

    def __init__(self, weather: Weather | None = None, now: float = 0.0) -> None:
        """Begin at `now`; without `weather` it is calm."""
        self.now = now
        self._weather = weather or calm()
        self._ends: dict[Address, End] = {}  # type: ignore[type-arg]  # ends of different machines
        self._flying: list[tuple[float, int, Address, bytes, Address]] = []
        self._serial = count()

    def join(
        self, machine: Machine[In | Expired, Ev], address: Address, receive: Callable[[bytes, Address], In | None]
    ) -> End[In, Ev]:
        """Put a machine at an address, in the place of the one that was there."""
        end = End[In, Ev](machine, address, receive)
        self._ends[address] = end
        return end

    def give(self, end: End[In, Ev], given: In | Expired) -> None:
        """Step a machine now, and let its effects fly."""
        self._carry_out(end, end.machine.step(given, self.now))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until, n_steps, last = self.now + seconds, 0, self.now
        while (at := self._next()) <= until:
            self.now = max(self.now, at)
            n_steps, last = (n_steps + 1, last) if self.now == last else (0, self.now)
            assert n_steps < STUCK, f"a machine goes round in circles at {self.now}"
            self._happen()
        self.now = until

    def _next(self) -> float:
        flight = self._flying[0][0] if self._flying else inf
        due = earliest(end.machine.deadline for end in self._ends.values())
        return flight if due is None else min(due, flight)

    def _happen(self) -> None:
        """One thing that is due: an arrival before a deadline, as a busy process would see it."""
        if self._flying and self._flying[0][0] <= self.now:
            _, _, to, data, source = heapq.heappop(self._flying)
            end = self._ends.get(to)
            given = end.receive(data, source) if end else None
            if end and given is not None:
                self.give(end, given)
            return
        for end in list(self._ends.values()):
            if end.machine.deadline is not None and end.machine.deadline <= self.now:
                self.give(end, Expired())

    def _carry_out(self, end: End[In, Ev], effects: list[Effect[Ev]]) -> None:
        for effect in effects:
            match effect:
                case Notify():
                    end.told.append(effect.event)
                case Transmit():
                    end.sent.append(effect.data)
                    self._fly(end.address, effect)

    def _fly(self, source: Address, sent: Transmit) -> None:
        """A machine that names no receiver has one peer: the other end."""
        to = sent.to or next(address for address in self._ends if address != source)
        for delay_s in next(self._weather):
            heapq.heappush(self._flying, (self.now + delay_s, next(self._serial), to, sent.data, source))


__all__ = ["End", "LossyLine", "Weather", "calm", "stormy"]
