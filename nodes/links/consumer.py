"""Reads a stream: as a durable consumer that acknowledges what it has stored, or once from the beginning to the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header

from nodes.links.connection import Connection, away_for_errors
from protocols.wire.subjects import Stream

BATCH: Final = 500
ACK_WAIT_S: Final = 30.0
"""After this the server gives a message to be stored again: longer than the slowest batch takes."""
MAX_UNACKED: Final = 5000


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a stream. `body` is None when it is no JSON object: `term` it, or it comes again for ever."""

    subject: str
    sequence: int
    event_id: str
    body: dict[str, Any] | None
    data: bytes
    message: Msg = field(repr=False)


class Consumer:
    """A durable consumer of one stream. Made again on each connection; what was not acknowledged comes again."""

    def __init__(self, connection: Connection, stream: Stream, durable: str, batch: int = BATCH) -> None:
        self._connection, self._stream, self._durable, self._batch = connection, stream, durable, batch
        self._pull: JetStreamContext.PullSubscription | None = None
        self._generation = 0

    async def fetch(self, timeout_s: float = 1.0) -> list[Received]:
        """Return what has come, up to a batch, or nothing after `timeout_s`. Raises: `BusAway`."""
        with away_for_errors():
            pull = await self._subscription()
            _ = self._connection.client  # nats-py would ask into its buffer, and wait in vain
            try:
                return [_received(message) for message in await pull.fetch(self._batch, timeout=timeout_s)]
            except TimeoutError:  # nats-py's own is one too, and it lets the plain one through now and then
                return []

    async def ack(self, received: Iterable[Received]) -> None:
        """Say that these are stored, after they are. Raises: `BusAway`; then they come again."""
        _ = self._connection.client
        with away_for_errors():
            for one in received:
                await one.message.ack()

    async def term(self, received: Received) -> None:
        """Say that this one is never to come again. Raises: `BusAway`."""
        _ = self._connection.client
        with away_for_errors():
            await received.message.term()

    async def _subscription(self) -> JetStreamContext.PullSubscription:
        if self._pull is None or self._generation != self._connection.generation:
            self._generation = self._connection.generation
            config = ConsumerConfig(
                ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=MAX_UNACKED, max_deliver=-1
            )
            self._pull = await self._connection.jetstream.pull_subscribe(
                "", durable=self._durable, stream=self._stream, config=config
            )
        return self._pull


async def replay(connection: Connection, stream: Stream, after: int = 0) -> AsyncIterator[Received]:
    """Read a stream from the message after sequence `after` up to its end, and stop there. Raises: `BusAway`."""
    with away_for_errors():
        jetstream = connection.jetstream
        if (await jetstream.stream_info(stream)).state.last_seq <= after:
            return
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=ACK_WAIT_S,
        )
        pull = await jetstream.pull_subscribe("", stream=stream, config=config)
        n_left = 1
        while n_left:
            for message in await pull.fetch(BATCH):
                yield _received(message)
                n_left = message.metadata.num_pending
        await pull.unsubscribe()


def _received(message: Msg) -> Received:
    try:
        body = msgspec.json.decode(message.data, type=dict[str, Any])
    except ValueError:
        body = None
    event_id = (message.headers or {}).get(Header.MSG_ID, "")
    return Received(message.subject, message.metadata.sequence.stream, event_id, body, message.data, message)


__all__ = ["Consumer", "Received", "replay"]
