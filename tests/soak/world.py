"""What must hold of every tree at every moment, checked from its events and from inside its actors.

A World watches one tree. Its hook follows who lives; its actors sign whenever their code runs; every ask is counted and
timed. What is wrong is kept in `wrongs`, in words.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable
from random import Random
from typing import Protocol

from supervisors import (
    Actor,
    AskFailed,
    AskTimeout,
    BackingOff,
    ChildExited,
    ChildStarted,
    Crash,
    Event,
    GaveUp,
    Refused,
    WouldNotStop,
)

SLACK_S = 1.0
"""How much later than its deadline an ask may end on a busy machine."""


class Signed(Protocol):
    """An actor that knows its world: `is_over` is set when the world has been told of its end."""

    is_over: bool

    @property
    def ref(self) -> object: ...


class World:
    """One tree. `tally` is shared by all of them; `dice` are its own."""

    def __init__(self, dice: Random, tally: Counter[str]) -> None:
        self.dice = dice
        self.tally = tally
        self.wrongs: list[str] = []
        self.alive: dict[str, Actor | None] = {}
        """Who is up, by path; an actor of the kernel's own as None."""
        self.has_immortals = False
        self.immortals: set[asyncio.Task[object]] = set()
        """Tasks that only end when `has_immortals` does: all that may be abandoned."""
        self._last: deque[str] = deque(maxlen=80)
        self._begun: dict[str, Signed] = {}
        self._asks: dict[asyncio.Future[object], tuple[str, float, float]] = {}
        self._loop = asyncio.get_running_loop()

    def wrong(self, what: str) -> None:
        """Note that a promise was broken; the first time, with how it came to that."""
        if not self.wrongs:
            self.wrongs += self._last
        self.wrongs.append(what)

    def __call__(self, event: Event) -> None:
        """The hook."""
        self._last.append(f"{self._loop.time():.4f} {event}")
        match event:
            case ChildStarted(path, restarts):
                self.tally["starts"] += 1
                self.tally["restarts"] += restarts > 0
                if path in self.alive:
                    self.wrong(f"{path} was started twice")
                self.alive[path] = self._begun.get(path)  # type: ignore[assignment] # those that sign are actors
            case ChildExited(path, reason):
                self.tally["crashes"] += isinstance(reason, Crash)
                self._ended(path)
            case GaveUp():
                self.tally["gave up"] += 1
            case BackingOff():
                self.tally["backed off"] += 1
            case WouldNotStop(path, n_tasks):
                self.tally["abandoned"] += n_tasks
                if not self.has_immortals:
                    self.wrong(f"{path} was abandoned")
            case _:
                self.wrong(f"not an event of this tree: {event}")

    def _ended(self, path: str) -> None:
        self.alive.pop(path, None)
        if (actor := self._begun.pop(path, None)) is not None:
            actor.is_over = True
        below = "" if path == "/" else f"{path}/"
        if left := [other for other in self.alive if other.startswith(below)]:
            self.wrong(f"{left} live after {path}")

    def begin(self, path: str, actor: Signed) -> None:
        """A life begins: there must be no other at this path."""
        if path in self._begun:
            self.wrong(f"{path} began twice")
        self._begun[path] = actor

    def sign(self, path: str, actor: Signed) -> None:
        """Code of this life runs: so its end must not have been told."""
        if actor.is_over:
            self.wrong(f"{path} does something after its end")

    def asked(self, path: str, limit_s: float, ask: Awaitable[object]) -> None:
        """See to it that `ask` ends in time, and count how."""
        assert isinstance(ask, asyncio.Future)
        self.tally["asked"] += 1
        self._asks[ask] = path, limit_s, self._loop.time()
        ask.add_done_callback(self._answered)

    def _answered(self, ask: asyncio.Future[object]) -> None:
        path, limit_s, asked_at = self._asks.pop(ask)
        if self._loop.time() - asked_at > limit_s + SLACK_S:
            self.wrong(f"an ask of {path} took {self._loop.time() - asked_at:.2f} s of {limit_s} s")
        error = None if ask.cancelled() else ask.exception()
        match error:
            case None:
                self.tally["given up" if ask.cancelled() else "answered"] += 1
            case AskTimeout():
                self.tally["timed out"] += 1
            case AskFailed() | Refused():
                self.tally["failed"] += 1
            case _:
                self.wrong(f"an ask of {path} got {error!r}")

    def overdue(self) -> None:
        """Look for asks that hang."""
        now = self._loop.time()
        for path, limit_s, asked_at in self._asks.values():
            if now - asked_at > limit_s + SLACK_S:
                self.wrong(f"an ask of {path} hangs for {now - asked_at:.2f} s of {limit_s} s")

    async def until_all_are_gone(self, within_s: float) -> None:
        """Wait for the end of all that live."""
        until = self._loop.time() + within_s
        while (self.alive or self._begun) and self._loop.time() < until:
            await asyncio.sleep(0.01)

    def closed(self) -> None:
        """The tree has ended: so has everybody in it, and nothing is owed."""
        if self.alive or self._begun:
            self.wrong(f"left behind: {sorted(self.alive.keys() | self._begun)}")
        if self._asks:
            self.wrong(f"asks that outlive their tree: {sorted({path for path, _, _ in self._asks.values()})}")
