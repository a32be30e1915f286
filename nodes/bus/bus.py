"""What the cluster knows and what people may look at: JSON over NATS.

    bus.publish     a delta, a heartbeat          at most once; dropped and counted while NATS is away
    bus.record      what became of a call         at least once; kept on disk while NATS is away
    bus.commit      what must be so before we act  returns when the stream has it, or raises `BusAway`
    bus.kv          the copy for newcomers        raises `BusAway`
    bus.lease       one holder in the cluster     ends by itself while NATS is away

Nothing here is on the path of a sounding call: `publish` and `record` return at once, whatever NATS does. Names come
from `protocols.wire.subjects` only. NATS itself: nats-server 2.9 or later, and nothing that 2.9 does not know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from nodes.bus import layout, service
from nodes.bus.bucket import Body, Bucket
from nodes.bus.connection import GREETING, Connection, away_for_errors
from nodes.bus.consumer import Consumer, Received, replay
from nodes.bus.erasing import data_of, erase
from nodes.bus.lease import Lease
from nodes.bus.login import Login, plain
from nodes.bus.objects import Objects
from nodes.bus.publisher import Publisher
from nodes.bus.remedy import Remedy
from nodes.bus.spool import Record, Spool
from nodes.links.errors import BusAway, ServerTooOld
from nodes.links.tasks import Tasks
from nodes.reading import read_json
from nodes.telemetry import logs, spans
from nodes.telemetry.trace import HEADER
from protocols.errors import LocalProtocolError
from protocols.wire import subjects
from protocols.wire.ids import CallId, NodeId
from protocols.wire.subjects import Stream

MAX_PAYLOAD: Final = 512 * 1024
"""Bytes of one body: half of what a nats-server takes by default."""
MAX_OUTGOING: Final = 1024
"""Published bodies that wait for the socket; then the newest is dropped (`refuse`)."""
CONNECT_S: Final = 2.0
"""How long `connect` waits for NATS before it goes on without."""
ACK_S: Final = 1.0
LOOK_S: Final = 1.0
CLOSE_S: Final = 1.0
OLDEST: Final = (2, 9)

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Extent:
    """A stream from its first message to its last, by sequence; `last`: also of one that has gone; 0: it never had one.

    `created`: when the stream was made, which makes it known from another one of its name.
    """

    created: str
    first: int
    last: int


class Bus:
    """One process's end of the bus: made by `connect`, ended by `close`. `counts`: what was dropped, and why."""

    def __init__(self, login: Login, name: str, node_id: NodeId, spool: Path | None) -> None:
        self.node_id = node_id
        self.counts: Counter[str] = Counter()
        self._connection = Connection(login, name)
        self._remedy, self._is_embedded = Remedy(login.embedded), login.embedded is not None
        self._has_others = login.has_others
        self._publisher = Publisher(Spool(spool, name), self._deliver, self._connection.up, self.counts)
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MAX_OUTGOING)
        self._tasks = Tasks()

    @classmethod
    async def connect(cls, where: Login | str, *, name: str, node_id: NodeId, spool: Path | None = None) -> Bus:
        """Return a bus, connected or not: it connects as soon as it can, and again whenever it must.

        `where`: a role's login; an address will do where there are no users.
        `name`: the process's; it is shown by `nats server`, and names its file in the directory `spool` (without a
        directory, what is recorded lives in memory only). Raises: `ServerTooOld`.
        """
        login = plain(where, node_id) if isinstance(where, str) else where
        bus = cls(login, name, node_id, spool)
        await bus._tasks.open()
        bus._tasks.spawn(bus._connection.run())
        bus._tasks.spawn(bus._publisher.run())
        bus._tasks.spawn(bus._publish_all())
        bus._tasks.spawn(bus._look_after())
        try:
            async with asyncio.timeout(CONNECT_S):
                await bus._connection.up.wait()
            bus._check_version()
        except TimeoutError:
            log.warning("bus.not_there_yet", url=login.url)
        except ServerTooOld:
            await bus.close()
            raise
        return bus

    @property
    def connected(self) -> bool:
        """Whether NATS is there now."""
        return self._connection.up.is_set()

    @property
    def trouble(self) -> str:
        """What the last try to connect came to, where it failed."""
        return self._connection.trouble

    @property
    def is_one_server(self) -> bool:
        """Whether NATS is a single server, as far as it has told us. False while it is away."""
        return self._connection.is_live and len(self._connection.client.servers) == 1

    async def up(self) -> None:
        """Return when NATS is there."""
        await self._connection.up.wait()

    async def close(self) -> None:
        """Give the last records a second to be taken, then leave; what was not taken is on disk."""
        if self.connected:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self.settled()
            except TimeoutError:
                pass
        await self._tasks.close()

    def publish(self, subject: str, body: Body) -> bool:
        """Send it to whoever listens now; False, and counted, while NATS is away or cannot keep up."""
        data = _json(body)
        if not self.connected or self._outgoing.full():
            self.counts["not_published"] += 1
            return False
        self._outgoing.put_nowait((subject, data))
        return True

    async def subscribe(self, subject: str, handler: Callable[[Body, str], object]) -> None:
        """Call `handler(body, subject)` for all that is published, in order; it may be async. Stands for good.

        What is no JSON object is dropped and counted. Subscribing does not wait for NATS; who needs the state of
        before watches the bucket.
        """

        async def attach(client: Client) -> None:
            await client.subscribe(subject, cb=self._receiver(handler))

        await self._connection.attach(attach)

    def record(
        self, subject: str, event_id: str, body: Body | bytes, call_id: str = "", *, may_drop: bool = False
    ) -> bool:  # fmt: skip
        """Take an event for its stream; never waits for NATS. False (`refuse`), counted: it may be dropped, and was.

        It is in memory until the stream has it, and on disk too when that takes longer than `ACK_S`. The stream
        drops a second one with the same `event_id` within two minutes. `call_id`: becomes a header. `may_drop`: it
        finds no room when the spool is full; others always do, and `spool_used` is the share that is in use. `body`:
        bytes are JSON already.
        """
        return self._publisher.put(Record(event_id, subject, _json(body), call_id, may_drop))

    @property
    def spool_used(self) -> float:
        """The share of the spool that is in use."""
        return self._publisher.used

    async def settled(self) -> None:
        """Return when the streams have all that was recorded."""
        await self._publisher.settled()

    async def commit(self, subject: str, event_id: str, body: Body, timeout_s: float = 5.0) -> int:
        """Return the sequence at which the stream has it. Raises: `BusAway`: then it may have it, and a retry with the
        same `event_id` does no harm.
        """
        return await self._send(Record(event_id, subject, _json(body)), timeout_s)

    async def replay(self, stream: str, after: int = 0, *, headers_only: bool = False) -> AsyncIterator[Received]:
        """Read a stream from the message after sequence `after` up to its end. Raises: `BusAway`, `StreamBroken`."""
        async for received in replay(self._connection, stream, after, headers_only=headers_only):
            yield received

    async def extent(self, stream: Stream) -> Extent:
        """Return from where to where a stream goes, and since when it is this one. Raises: `BusAway`."""
        with away_for_errors():
            info = await self._connection.jetstream.stream_info(stream)
        return Extent(str(info.created), info.state.first_seq, info.state.last_seq)

    async def n_event_streams(self) -> int:
        """Return how many streams of events there are, or are being made: one of `STREAM_COUNTS`. Raises: `BusAway`."""
        with away_for_errors():
            return await layout.n_event_streams(self._connection.jetstream)

    def consume(self, stream: Stream, durable: str, subject: str = "", idle_s: float | None = None) -> Consumer:
        """Return a durable consumer of a stream, or of its messages of one subject: `fetch`, store, `ack`."""
        return Consumer(self._connection, stream, durable, subject, idle_s)

    def kv(self, bucket: subjects.Bucket) -> Bucket:
        """Return a bucket: `get put create update delete watch`."""
        return Bucket(self._connection, bucket)

    def objects(self) -> Objects:
        """Return the objects: what is too long for a message."""
        return Objects(self._connection)

    async def purge(self, stream: Stream, before: int) -> None:
        """Remove the messages of a stream before a sequence. Raises: `BusAway`."""
        with away_for_errors():
            await self._connection.jetstream.purge_stream(stream, seq=before)

    async def erase(self, stream: Stream, sequences: Iterable[int]) -> int:
        """Overwrite and delete these messages; return how many were still there. Raises: `BusAway`."""
        return await erase(self._connection, stream, sequences)

    async def data_of(self, stream: Stream, sequence: int) -> bytes | None:
        """Return what one message says; None when there is none of this number. Raises: `BusAway`."""
        return await data_of(self._connection, stream, sequence)

    async def stored_of(self, stream: Stream, durable: str) -> int | None:
        """Return up to which sequence the consumers whose name begins so, before `-` or `_`, have stored a stream.

        None when there is none. Raises: `BusAway`.
        """
        with away_for_errors():
            told = await self._connection.jetstream.consumers_info(stream)
        theirs = [one for one in told if one.name == durable or one.name.startswith((f"{durable}-", f"{durable}_"))]
        return min((one.ack_floor.stream_seq if one.ack_floor else 0 for one in theirs), default=None)

    def lease(self, name: str, holder: str) -> Lease:
        """Return a lease that `holder` (an `Identity`) may come to hold: `keep` it every few seconds."""
        return Lease(self.kv(subjects.Bucket.LEASES), name, holder)

    async def service(
        self, name: str, version: str, metadata: Mapping[str, str], endpoints: Mapping[str, service.Answer]
    ) -> None:
        """Answer for this node on `rm.node.<node>.cmd.<endpoint>` and to `$SRV.*` (`nats micro ls`), for good."""

        async def attach(client: Client) -> None:
            await service.attach(client, self.node_id, name, version, metadata, endpoints)

        await self._connection.attach(attach)

    async def ensure_layout(
        self, replicas: int = 1, events_bytes: int = 0, *, changes_limits: bool = True, n_streams: int = 1
    ) -> list[str]:
        """Make the streams and buckets that are missing, and change their limits (or leave them); returns which.

        Raises: `BusAway`, `LayoutMismatch`, `ServerTooOld`.
        """
        self._check_version()
        with away_for_errors():
            jetstream = self._connection.jetstream
            return await layout.ensure(
                jetstream, replicas, events_bytes, changes_limits=changes_limits, n_streams=n_streams
            )

    def figures(self) -> dict[str, float]:
        """How this end of the bus is, for a `Status`.

        `bus_stuck_s`: since when a stream takes nothing; `bus_refused_s`: or what nobody is dialled without is refused.
        """
        writes = self._connection.writes
        return {
            "bus_up": float(self.connected),
            "bus_stuck_s": max(writes.stuck().values(), default=0.0),
            "bus_refused_s": writes.refused_s((Stream.CAMPAIGN, subjects.Bucket.LEASES)),
            "records_waiting": float(self._publisher.n_waiting),
            "records_dropped": float(self.counts["spool_full"]),
            "spool_used": round(self._publisher.used, 3),
        }

    # ---- inside -------------------------------------------------------------------------------------------------

    def _check_version(self) -> None:
        found = self._connection.client.connected_server_version
        if (found.major, found.minor) < OLDEST:
            raise ServerTooOld(f"{found.major}.{found.minor}", "{}.{}".format(*OLDEST))

    async def _look_after(self) -> None:
        """See to it that what is written is taken again, and that a server of ours does not stand still for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._is_embedded and not self._connection.is_live:
                await self._connection.look_for_greeting()
            self._remedy.excuse(self._connection.writes)
            if (stuck := await self._curable(self._connection.writes.stuck())) and self._remedy.apply(stuck):
                self._connection.writes.forget()

    async def _curable(self, stuck: Mapping[str, float]) -> Mapping[str, float]:
        """Return which of these a new start of our server may mend.

        Of several servers each may only lack the others, and to end one more of them makes that worse: ours is at fault
        for what it leads while enough of the others follow it, and when it greets nobody.
        """
        if not self._has_others:
            return stuck
        return {name: since_s for name, since_s in stuck.items() if name == GREETING or await self._is_our_fault(name)}

    async def _is_our_fault(self, name: str) -> bool:
        stream = name if name.startswith("RM_") else f"KV_{name}"
        try:
            with away_for_errors():
                cluster = (await self._connection.jetstream.stream_info(stream)).cluster
        except BusAway:
            return False
        others = (cluster.replicas or []) if cluster else []
        is_led = cluster is not None and cluster.leader == self.node_id
        return is_led and 2 * sum(not one.offline for one in others) >= len(others)

    async def _deliver(self, record: Record) -> None:
        await self._send(record, ACK_S)

    async def _send(self, record: Record, timeout_s: float) -> int:
        headers: dict[str, str] = {Header.MSG_ID: record.event_id}
        if record.call_id:
            headers[subjects.CALL_HEADER] = record.call_id
            if trace := spans.begun(CallId(record.call_id)):
                headers[HEADER] = trace
        stream = Stream.EVENTS if record.subject.startswith(subjects.ALL_EVENTS[:-1]) else Stream.CAMPAIGN
        with self._connection.writes.of(stream) as took, away_for_errors():
            ack = await self._connection.jetstream.publish(
                record.subject, record.body, timeout=timeout_s, headers=headers
            )
            took()
        return ack.seq

    async def _publish_all(self) -> None:
        while True:
            subject, data = await self._outgoing.get()
            try:
                with away_for_errors():
                    await self._connection.client.publish(subject, data)
            except BusAway:
                self.counts["not_published"] += 1

    def _receiver(self, handler: Callable[[Body, str], object]) -> Callable[[Msg], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            try:
                body = read_json(message.data, Body)
            except ValueError:
                self.counts["malformed"] += 1
                return
            try:
                given = handler(body, message.subject)
                if isawaitable(given):
                    await given
            except Exception:  # one bad delta must not end the subscription
                log.exception("bus.handler_failed", subject=message.subject)

        return receive


def _json(body: Body | bytes) -> bytes:
    """Return a body's bytes. Raises: `LocalProtocolError` for what is too long for the bus."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    if len(data) > MAX_PAYLOAD:
        raise LocalProtocolError("too_long", f"{len(data)} bytes")
    return data


__all__ = ["Bus", "Extent"]
