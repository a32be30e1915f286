"""Deadlines for asks, by the thousand: the usual one costs an entry in a dict, and its removal by the answer.

`asyncio.timeout` costs 3.5 us an ask on 3.11, this 0.2. The asks of one tick get
their deadline when the tick is over: so none passes early, however long the loop was blocked, and all pass up to two
ticks late. Time in which the loop could not run, as its process was stopped or somebody held it, counts for nobody:
who is asked could not answer in it. Any other deadline has a timer of its own, and is exact.

Circles of asks, where one waits for another's answer, that one for a third's, who waits for the first's, are looked for
once a tick, among the asks that have no answer yet: so an ask pays nothing for it, and one in a circle fails within two
ticks. Seen is who waits in a handler or in `init`, for one answer with the usual deadline. Who waits for several at
once, with a deadline of its own, or with an answer promised for later, waits for the deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from supervisors.errors import AskedItself, AskTimeout
from supervisors.silence import AWAY_S

USUAL_S: Final = 5.0
"""How long an ask waits unless `within` says otherwise; OTP's default."""
TICK_S: Final = 0.05


class Asked(Protocol):
    """Who is to answer."""

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        ...

    @property
    def own_task(self) -> asyncio.Task[object] | None:
        """The task that waits where it waits in a handler or in `init`."""
        ...


Asks = dict["asyncio.Future[object]", Asked]
"""Asks, each with who is to answer it, in the order asked: time-outs must replay."""


class Deadlines:
    """Fails each future it is given with AskTimeout, unless that is done by then. Ticks only while any waits."""

    __slots__ = ("_batches", "_due", "_loop", "fresh", "ticking")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._batches: deque[tuple[float, Asks]] = deque()
        self.ticking: asyncio.TimerHandle | None = None
        self.fresh: Asks = {}
        """The asks of this tick. Whoever asks puts one in, and begins the ticking; whoever answers takes it out."""

    def begin(self) -> None:
        """Tick, until there are no more asks."""
        self._due = self._loop.time() + TICK_S
        self.ticking = self._loop.call_at(self._due, self._tick)

    def change(self, ask: asyncio.Future[object], seconds: float) -> None:
        """Give `ask`, which was made just now, `seconds` instead of the usual deadline."""
        if seconds != USUAL_S and not ask.done():
            self.fresh.pop(ask, None)
            timer = self._loop.call_later(seconds, _expire, ask, seconds)
            ask.add_done_callback(lambda _: timer.cancel())

    def stop(self) -> None:
        """Tick no more; what waits stays unanswered."""
        if self.ticking is not None:
            self.ticking.cancel()

    def _tick(self) -> None:
        """Give the asks of this tick their deadline, and expire those whose deadline has passed."""
        now = self._loop.time()
        if (late_s := now - self._due) > AWAY_S:
            self._batches = deque((deadline + late_s, asks) for deadline, asks in self._batches)
        if self.fresh:
            break_circles(self.fresh, (asks for _, asks in self._batches))
            self._batches.append((now + USUAL_S, self.fresh))
            self.fresh = {}
        while self._batches:
            deadline, asks = self._batches[0]
            if deadline > now and not all(map(asyncio.Future.done, asks)):
                break
            self._batches.popleft()
            for ask in asks:
                _expire(ask, USUAL_S)
        self.ticking = None
        if self._batches:
            self.begin()


def _expire(ask: asyncio.Future[object], seconds: float) -> None:
    if not ask.done():
        ask.set_exception(AskTimeout(seconds))


def break_circles(fresh: Asks, older: Iterable[Asks]) -> None:
    """Fail the newest ask of each circle that one of `fresh` has closed with AskedItself."""
    older = tuple(older)
    for asked in dict.fromkeys(fresh.values()):
        waiting: Asks = {}  # the answer waited for, and who waits
        while (ask := _waited_for(asked)) is not None and (answers := _who(ask, fresh, older)) is not None:
            waiting[ask] = asked
            if answers in waiting.values():
                _break(waiting, answers, fresh)
                break
            asked = answers


def _waited_for(asked: Asked) -> asyncio.Future[object] | None:
    """Return what the actor's own task waits for: asyncio's `_fut_waiter`; without that attribute, nothing is found."""
    ask: asyncio.Future[object] | None = getattr(asked.own_task, "_fut_waiter", None)
    return None if ask is None or ask.done() else ask


def _who(ask: asyncio.Future[object], fresh: Asks, older: tuple[Asks, ...]) -> Asked | None:
    return next((asks[ask] for asks in (fresh, *older) if ask in asks), None)


def _break(waiting: Asks, first: Asked, fresh: Asks) -> None:
    """Fail the newest ask of the circle in which `first` is."""
    asks = list(waiting)[list(waiting.values()).index(first) :]
    age = {ask: place for place, ask in enumerate(fresh)}
    newest = max(range(len(asks)), key=lambda i: age.get(asks[i], -1))
    path, *through = (waiting[ask].path for ask in asks[newest:] + asks[:newest])
    asks[newest].set_exception(AskedItself(path, tuple(through)))
