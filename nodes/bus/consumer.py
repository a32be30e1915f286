"""Reads a stream: as a durable consumer that acknowledges what it has stored, or once from the beginning to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, Header
from nats.js.errors import NotFoundError

from nodes.bus.connection import Connection, away_for_errors
from nodes.bus.pull import NoConsumer, Pull
from nodes.links.errors import BusAway, StreamBroken
from nodes.reading import read_json
from nodes.telemetry import logs
from nodes.telemetry.trace import HEADER
from protocols.wire.subjects import CALL_HEADER, Stream

BATCH: Final = 500
ACK_WAIT_S: Final = 30.0
"""After this the server gives a message to be stored again: longer than the slowest batch takes."""
MAX_UNACKED: Final = 5000
LAG_S: Final = 0.05
READ_S: Final = 5.0
"""How long a replay waits for a message that must be there."""
ASK_S: Final = 0.5
"""When it asks whether that still is there: whoever is forgotten is deleted message by message."""

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a stream."""

    subject: str
    sequence: int
    event_id: str
    data: bytes
    message: Msg = field(repr=False)

    @property
    def body(self) -> dict[str, Any] | None:
        """What `data` says, read at each call; None when it is no JSON object: acknowledge it like any other."""
        try:
            return read_json(self.data, dict[str, Any])
        except ValueError:
            return None

    @property
    def trace(self) -> str:
        """The `traceparent` that came with it; empty for none."""
        return (self.message.headers or {}).get(HEADER, "")

    @property
    def call_id(self) -> str:
        """Of an event: which call it is of; empty where its header does not say."""
        return (self.message.headers or {}).get(CALL_HEADER, "")

    @property
    def wall_s(self) -> float:
        """When the stream has taken it, in seconds since 1970, by the server's clock."""
        return self.message.metadata.timestamp.timestamp()

    @property
    def n_behind(self) -> int:
        """How many more there were for its reader when the server sent it."""
        return self.message.metadata.num_pending


class Consumer:
    """A durable consumer of one stream. Made again on each connection; what was not acknowledged comes again."""

    def __init__(
        self, connection: Connection, stream: Stream, durable: str, subject: str = "", idle_s: float | None = None
    ) -> None:
        """`subject`: of which messages, with NATS's wildcards; nats-server 2.9 takes one. Empty: of all.

        `idle_s`: when the server forgets it, if nobody asks it for anything meanwhile; None: never.
        """
        self._connection, self._stream, self._durable, self._subject = connection, stream, durable, subject
        self._idle_s = idle_s
        self._pull: Pull | None = None
        self._generation = 0

    async def fetch(self, timeout_s: float = 1.0) -> list[Received]:
        """Return what has come, up to a batch, or nothing after `timeout_s`. Raises: `BusAway`."""
        with away_for_errors():
            try:
                pull = await self._opened()
                return [_received(message) for message in await pull.fetch(BATCH, timeout_s)]
            except NoConsumer:
                self._generation = 0  # made again the next time
                raise

    async def ack(self, received: Iterable[Received]) -> None:
        """Say that these are stored, after they are. Raises: `BusAway`; then they come again."""
        _ = self._connection.client
        with away_for_errors():
            for one in received:
                await one.message.ack()

    async def rewind(self) -> None:
        """Begin at the beginning of the stream again. Raises: `BusAway`."""
        with away_for_errors():
            with suppress(NotFoundError):
                await self._connection.jetstream.delete_consumer(self._stream, self._durable)
        self._generation = 0

    async def leave(self) -> None:
        """Be sent nothing any more: its reader has failed. What was not acknowledged comes again, to the next.

        Raises: `BusAway`.
        """
        left, self._pull = self._pull, None
        if left is not None:
            with away_for_errors():
                await left.close()

    async def _opened(self) -> Pull:
        if self._pull is None or self._generation != self._connection.generation:
            left, self._pull = self._pull, None  # whatever fails below, it is not left twice
            if left is not None:
                await left.close()
            generation = self._connection.generation
            config = ConsumerConfig(
                durable_name=self._durable,
                filter_subject=self._subject or None,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=MAX_UNACKED,
                max_deliver=-1,
                inactive_threshold=self._idle_s,
            )
            await self._connection.jetstream.add_consumer(self._stream, config)
            self._pull = await Pull.open(self._connection.client, self._stream, self._durable)
            self._generation = generation
        return self._pull


async def replay(
    connection: Connection, stream: str, after: int = 0, subject: str = "", *, headers_only: bool = False
) -> AsyncIterator[Received]:
    """Read a stream from the message after sequence `after` up to its end, and stop there.

    Every message that the stream has is told, in order: where one does not come, reading begins anew at it. What was
    deleted from the stream is left out, and the sequence numbers tell that; with a `subject`, so is what is of another.
    `headers_only`: without what messages say.
    Of several servers any may be the one that is read from, and one that is behind knows less than the leader has said:
    it is read from until the leader has nothing more. Raises: `BusAway`, `StreamBroken` when the stream is shorter than
    what was read of it.
    """
    with away_for_errors():
        last = (await connection.jetstream.stream_info(stream)).state.last_seq
    if last < after:
        raise StreamBroken(stream, after, 0)
    n_told, until_s = after, time.monotonic() + READ_S
    while n_told < last:
        n_before, n_left = n_told, 0
        consumer = await _made(connection, stream, n_told, subject, headers_only)
        async for received, n_pending in _run(connection, stream, consumer):
            n_told, n_left = received.sequence, n_pending
            yield received
        if n_told != n_before:
            until_s = time.monotonic() + READ_S
        if n_told >= last or n_left:
            continue
        if not await is_left(connection, stream, n_told, last, subject):
            return
        if time.monotonic() > until_s:
            raise BusAway(f"{stream}: a server is behind, and does not catch up")
        await asyncio.sleep(LAG_S)


async def is_left(connection: Connection, stream: str, after: int, last: int, subject: str = "") -> bool:
    """Ask the stream's leader whether it has a message after sequence `after`, up to `last`. Raises: `BusAway`.

    How far the other servers are behind it can't say: it counts what they have been sent, not what they have stored.
    """
    with away_for_errors():
        try:
            found = await connection.jetstream.get_msg(stream, after + 1, subject or ">", next=True)
        except NotFoundError:
            return False
    return (found.seq or 0) <= last


async def has_copies(connection: Connection, stream: str) -> bool:
    """Return whether several servers have the stream. Raises: `BusAway`."""
    with away_for_errors():
        cluster = (await connection.jetstream.stream_info(stream)).cluster
    return cluster is not None and bool(cluster.replicas)


async def _made(connection: Connection, stream: str, after: int, subject: str, headers_only: bool) -> ConsumerInfo:
    """Make a consumer that is read once, on whichever server."""
    with away_for_errors():
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            filter_subject=subject or None,
            ack_policy=AckPolicy.NONE,
            headers_only=headers_only or None,
            inactive_threshold=ACK_WAIT_S,
        )
        return await connection.jetstream.add_consumer(stream, config)


async def _run(connection: Connection, stream: str, consumer: ConsumerInfo) -> AsyncIterator[tuple[Received, int]]:
    """Tell messages, each with how many come after it, until one was sent and did not come, or there is no more."""
    with away_for_errors():
        pull = await Pull.open(connection.client, stream, consumer.name)
    n_left, n_come = consumer.num_pending or 0, 0
    try:
        while n_left:
            with away_for_errors():
                messages = await _next(connection, pull, consumer, n_come)
            if messages is None:
                return
            if not messages:
                raise BusAway(f"{stream}: {n_left} messages did not come")
            for message in messages:
                n_come += 1
                if message.metadata.sequence.consumer != n_come:  # the server has sent one that is lost
                    log.warning("replay.begins_anew", stream=stream, sequence=message.metadata.sequence.stream)
                    if n_come == 1:
                        raise BusAway(f"{stream}: the first message did not come")
                    return
                n_left = message.metadata.num_pending
                yield _received(message), n_left
    finally:
        with suppress(BusAway), away_for_errors():
            await pull.close()  # the server forgets the consumer by itself


async def _next(connection: Connection, pull: Pull, consumer: ConsumerInfo, n_come: int) -> list[Msg] | None:
    """Return the next messages; none after `READ_S`; None when there are no more: those left were deleted meanwhile."""
    until_s = time.monotonic() + READ_S
    while not (messages := await pull.fetch(BATCH, min(ASK_S, READ_S))) and time.monotonic() < until_s:
        now = await connection.jetstream.consumer_info(consumer.stream_name, consumer.name)
        if not now.num_pending and (not now.delivered or now.delivered.consumer_seq <= n_come):
            return None
    return messages


def _received(message: Msg) -> Received:
    event_id = (message.headers or {}).get(Header.MSG_ID, "")
    return Received(message.subject, message.metadata.sequence.stream, event_id, message.data, message)


__all__ = ["LAG_S", "READ_S", "Consumer", "Received", "has_copies", "is_left", "replay"]
