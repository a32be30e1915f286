"""What waits for an actor: a control lane that is never full, and a user lane that is bounded.

Control messages (stop, Down notices, timers) are the kernel's and the actor's own; they go first and are never
dropped, because a mailbox that evicts a Down notice leaves its owner waiting for the dead. In front of them runs what
a handler has deferred. User messages are other people's; the lane holds `mailbox_limit` of them, and the actor's
class says what happens to the next.

An idle actor has no mailbox at all: an empty deque is 760 bytes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

Message: TypeAlias = tuple[
    Callable[..., object], tuple[object, ...], dict[str, object], "asyncio.Future[object] | None"
]
"""Handler, positional and keyword arguments, and where the answer goes (None: told, not asked)."""


class WhenFull(Enum):
    """What a full user lane does with the next message."""

    REFUSE = "the ask fails with Overloaded, the tell returns False"
    WAIT = "the ask waits within its deadline, the tell returns False; `await ref.room()`"
    DROP_OLDEST = "the oldest message makes room; an ask that is dropped fails with Overloaded"


N_SPARE: Final = 10000
"""How many empty mailboxes a system keeps for the next actors that are woken."""


class Mailbox:
    """The lanes, and the senders waiting for room."""

    __slots__ = ("control", "deferred", "user", "waiters")

    def __init__(self) -> None:
        self.deferred: deque[Message] | None = None
        self.control: deque[Message] | None = None
        self.user: deque[Message] = deque()
        self.waiters: list[asyncio.Future[None]] | None = None

    def urge(self, message: Message) -> None:
        """Put `message` into the control lane."""
        if self.control is None:
            self.control = deque()
        self.control.append(message)

    def defer(self, message: Message, first: bool = False) -> None:
        """Put `message` before everything that is not deferred itself; `first`: before that too."""
        if self.deferred is None:
            self.deferred = deque()
        if first:
            self.deferred.appendleft(message)
        else:
            self.deferred.append(message)

    def release(self) -> None:
        """Wake the senders waiting for room."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def empty(self) -> list[asyncio.Future[object]]:
        """Take everything out, and let in the senders waiting for room; return the unanswered asks."""
        asks: list[asyncio.Future[object]] = []
        for lane in (self.deferred, self.control, self.user):
            if lane:
                asks += [reply for _, _, _, reply in lane if reply is not None and not reply.done()]
                lane.clear()
        if self.waiters is not None:
            self.release()
        return asks
