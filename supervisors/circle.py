"""Circles of asks: one waits for another's answer, that one for a third's, who waits for the first's.

Looked for by the deadlines, once a tick, among the asks that have no answer yet: so an ask pays nothing for it, and one
in a circle fails within two ticks. Seen is who waits in a handler or in `init`, for one answer with the usual deadline.
Who waits for several at once, with a deadline of its own, or with an answer promised for later, waits for the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from supervisors.errors import AskedItself

if TYPE_CHECKING:
    from supervisors.actor import Actor
    from supervisors.ref import Ref

Asks = dict["asyncio.Future[object]", "Ref[Actor]"]
"""Asks, each with who is to answer it, in the order asked: time-outs must replay."""


def break_circles(fresh: Asks, older: Iterable[Asks]) -> None:
    """Fail the newest ask of each circle that one of `fresh` has closed with AskedItself."""
    older = tuple(older)
    for ref in dict.fromkeys(fresh.values()):
        waiting: Asks = {}  # the answer waited for, and who waits
        while (ask := _waited_for(ref)) is not None and (asked := _who(ask, fresh, older)) is not None:
            waiting[ask] = ref
            if asked in waiting.values():
                _break(waiting, asked, fresh)
                break
            ref = asked


def _waited_for(ref: Ref[Actor]) -> asyncio.Future[object] | None:
    """Return what the actor's own task waits for: asyncio's `_fut_waiter`; without that attribute, nothing is found."""
    task = None if ref._actor is None else ref._actor._task
    ask: asyncio.Future[object] | None = getattr(task, "_fut_waiter", None)
    return None if ask is None or ask.done() else ask


def _who(ask: asyncio.Future[object], fresh: Asks, older: tuple[Asks, ...]) -> Ref[Actor] | None:
    return next((asks[ask] for asks in (fresh, *older) if ask in asks), None)


def _break(waiting: Asks, first: Ref[Actor], fresh: Asks) -> None:
    """Fail the newest ask of the circle that begins with the one who is `first`."""
    asks = list(waiting)[list(waiting.values()).index(first) :]
    age = {ask: place for place, ask in enumerate(fresh)}
    newest = max(range(len(asks)), key=lambda i: age.get(asks[i], -1))
    path, *through = (waiting[ask].path for ask in asks[newest:] + asks[:newest])
    asks[newest].set_exception(AskedItself(path, tuple(through)))
