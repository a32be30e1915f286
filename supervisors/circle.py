"""Circles of asks: one waits for another's answer, that one for a third's, who waits for the first's.

Looked for by the deadlines, once a tick, among the asks that have no answer yet: so an ask pays nothing for it, and one
in a circle fails within two ticks. Seen is who waits in a handler or in `init`, for one answer with the usual deadline.
Who waits for several at once, with a deadline of its own, or with an answer promised for later, waits for the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from supervisors.errors import AskedItself


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
    """Fail the newest ask of the circle that begins with the one who is `first`."""
    asks = list(waiting)[list(waiting.values()).index(first) :]
    age = {ask: place for place, ask in enumerate(fresh)}
    newest = max(range(len(asks)), key=lambda i: age.get(asks[i], -1))
    path, *through = (waiting[ask].path for ask in asks[newest:] + asks[:newest])
    asks[newest].set_exception(AskedItself(path, tuple(through)))
