"""What a process does with the messages it gets: one handler for each class, plain or async.

A plain handler runs in the order of arrival and must not block; an async one becomes a task, begun in that order.
`MAX_HANDLING` tasks may be under way; more asks are refused as `busy`, more tells are dropped and counted. A handler
that returns a future has promised its answer: that takes no task, and is not limited here. An asker whose handler or
promise is cancelled is told so (`cancelled`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, Final, TypeVar

from nodes.links.errors import Refused
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.codec import decode
from protocols.wire.envelope import Act, Envelope, Refusal
from protocols.wire.ids import Identity
from protocols.wire.messages import Done

M = TypeVar("M")
Handler = Callable[[Any, Identity], object]
Answer = Callable[[object], None]

MAX_HANDLING: Final = 1024

log = logs.get(__name__)


class Serving:
    """The table of handlers, and the tasks of those that are async. Counts what it could not do in `counts`."""

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self._handlers: dict[str, tuple[Handler | None, type | None]] = {}
        self._tasks = Tasks()
        self._not_begun: set[Awaitable[object]] = set()

    async def start(self) -> None:
        """Open the group that the async handlers' tasks belong to."""
        await self._tasks.open()

    async def close(self) -> None:
        """Cancel the handlers that are under way and wait for their end."""
        await self._tasks.close()
        for given in self._not_begun:
            if asyncio.iscoroutine(given):
                given.close()

    def serve(self, message: type[M], handler: Callable[[M, Identity], object]) -> None:
        """Let `handler` have all messages of this class."""
        self._handlers[message.__name__] = (handler, getattr(message, "Reply", None))

    def handle(self, envelope: Envelope, sender: Identity, answer: Answer) -> None:
        """Run the handler for a message. An ask is answered through `answer`, with a reply or a `Refusal`, once."""
        token = logs.TRACE.set(envelope.trace) if envelope.trace else None
        try:
            self._run(envelope, sender, answer)
        except Refused as refused:
            self._refuse(envelope, answer, refused.reason)
        except RemoteProtocolError as error:
            log.warning("mesh.bad_message", kind=envelope.kind, sender=sender, detail=error.detail)
            self._refuse(envelope, answer, "bad_message")
        except Exception:  # noqa: BLE001  a handler's bug is logged and answered; the process has other work as well
            self._fail(envelope, answer)
        finally:
            if token is not None:
                logs.TRACE.reset(token)

    def _run(self, envelope: Envelope, sender: Identity, answer: Answer) -> None:
        handler, reply = self._handlers.get(envelope.kind, (None, None))
        if handler is None or (reply is None and envelope.act is Act.ASK):
            raise Refused("not_served")
        given = handler(decode(envelope.kind, envelope.body), sender)
        if given is None and envelope.act is Act.TELL:
            return  # as nearly always
        if isinstance(given, asyncio.Future):
            given.add_done_callback(partial(self._keep, envelope, answer))
        elif isawaitable(given):
            self._spawn(envelope, given, answer)
        elif envelope.act is Act.ASK:
            answer(_checked(given, reply))

    def _spawn(self, envelope: Envelope, given: Awaitable[object], answer: Answer) -> None:
        if len(self._tasks) >= MAX_HANDLING:
            if asyncio.iscoroutine(given):
                given.close()
            raise Refused("busy")
        if asyncio.iscoroutine(given):
            self._not_begun.add(given)
        self._tasks.spawn(self._finish(envelope, given, answer))

    async def _finish(self, envelope: Envelope, given: Awaitable[object], answer: Answer) -> None:
        self._not_begun.discard(given)
        with self._answering(envelope, answer):
            self._reply(envelope, answer, await given)

    def _keep(self, envelope: Envelope, answer: Answer, promised: asyncio.Future[object]) -> None:
        try:
            with self._answering(envelope, answer):
                self._reply(envelope, answer, promised.result())
        except asyncio.CancelledError:
            pass  # the promise's, not ours: the asker has been told

    @contextmanager
    def _answering(self, envelope: Envelope, answer: Answer) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            self._refuse(envelope, answer, refused.reason)
        except asyncio.CancelledError:
            self._refuse(envelope, answer, "cancelled")
            raise
        except Exception:  # noqa: BLE001  as above
            self._fail(envelope, answer)

    def _reply(self, envelope: Envelope, answer: Answer, given: object) -> None:
        if envelope.act is Act.ASK:
            answer(_checked(given, self._handlers[envelope.kind][1]))

    def _fail(self, envelope: Envelope, answer: Answer) -> None:
        log.exception("mesh.handler_failed", kind=envelope.kind)
        self._refuse(envelope, answer, "internal_error")

    def _refuse(self, envelope: Envelope, answer: Answer, reason: str) -> None:
        if envelope.act is Act.ASK:
            answer(Refusal(reason))
        else:
            self.counts[f"tell_{reason}"] += 1


def _checked(given: object, reply: type | None) -> object:
    """Return the reply if it is of the declared class; None stands for `Done`, which has nothing to say."""
    if given is None and reply is Done:
        return Done()
    if reply is None or not isinstance(given, reply):
        raise TypeError(f"the handler returned {type(given).__name__}, not {reply}")
    return given


__all__ = ["Answer", "Handler", "MAX_HANDLING", "Serving"]
