"""The recorder process: streams in, rows down, acknowledged after the commit; and reports to whoever asks.

Streams are read once a second (`rounds.py`); who asks for a report has them read before it is made, so that it knows
everything that was told before it was asked for.

Its two threads are DuckDB's: one writes, one reads; the event loop waits for neither. A disk that is full or gone keeps
the events where they are, in the stream, until it is back: the batch is tried again, nothing is acknowledged. A file
that is damaged is set aside, and a new one filled from the streams' beginning (`aside.py`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from nodes.bus.bus import Bus
from nodes.bus.consumer import Consumer, Received
from nodes.bus.login import login
from nodes.config import Config
from nodes.links import trees
from nodes.links.errors import BusAway, LinkError, Refused
from nodes.links.finding import Finder
from nodes.links.forgotten import Done, Forgotten
from nodes.links.members import Members
from nodes.links.roster import NOBODY, Roster
from nodes.links.spokesman import Spokesman
from nodes.links.tasks import Tasks, closing
from nodes.links.work import Begin, working
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.recorder import reports
from nodes.recorder.aside import opened, renewed
from nodes.recorder.reports import NotExported, export
from nodes.recorder.rounds import Rounds
from nodes.recorder.rows import WHOLE, Share, is_forgotten, row_of
from nodes.recorder.store import Store, StoreBroken, StoreLocked, StoreUnwritable
from nodes.recorder.together import Together
from nodes.telemetry import logs, spans
from protocols.wire import reports as wire
from protocols.wire.events import Kind
from protocols.wire.forgetting import Person, Place, Sought
from protocols.wire.ids import CallId, Identity, NodeId
from protocols.wire.messages import GetStatus, Status
from protocols.wire.reconcile import MAX_ASKED, FindCalls
from protocols.wire.roles import Role, recorder_reads
from protocols.wire.subjects import EVENT_STREAMS, Bucket, Stream
from supervisors.parent import Parent, Told

T = TypeVar("T")

RETRY_S: Final = 1.0
"""Pause before NATS or the disk is tried again."""
ARCHIVE_S: Final = 3600.0
"""Between two rounds in which days are put into files."""
FIRST_S: Final = 60.0
"""Before the first one, while a node starts."""
IDLE_S: Final = 7 * 86400.0
"""So long may one of several nodes be away and go on where it was: as long as the stream keeps events. After that the
journal no longer keeps for it what is to be forgotten."""
FRESH_S: Final = 1.0
"""So long may the streams take to be read before a report; one is made in any case."""
BEGIN_S: Final = 3.0
"""The same, while a recorder has just begun: it learns first who is forgotten."""
LATE_S: Final = 60.0
"""After which a row is not told as a span of its call any more."""
FIND_S: Final = 1.0
"""So long may an edge take to say which calls it has."""

log = logs.get(__name__)


class Recorder:
    """One database, what fills it and what reads it. `counts`: batches, rows and letters by word."""

    def __init__(self, store: Store, bus: Bus, keep_days: int = 0, share: Share = WHOLE, hourly: bool = True) -> None:
        """`keep_days`: in the database; 0: for ever. `share`: of the streams. `hourly`: today has a file, too."""
        self.counts: Counter[str] = Counter()
        self.roster: Roster = NOBODY
        self._store, self._bus, self._keep_days, self._hourly = store, bus, keep_days, hourly
        self._renewing = asyncio.Lock()
        self._rounds: dict[Stream, Rounds] = {}
        self._mesh: Mesh | None = None
        self._members: Members | None = None
        self._share, self._durable = share, recorder_reads(share.number)
        self._idle_s: float | None = None
        self.forgotten = Forgotten(self.forget)
        self._writer = ThreadPoolExecutor(1, "recorder-writer")
        self._reader = ThreadPoolExecutor(1, "recorder-reader")

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        self._mesh = mesh
        Together(self, mesh, self._share.n_recorders)
        mesh.serve(GetStatus, self.status)
        self.forgotten.serve(mesh)

    def join(self, members: Members, node: NodeId) -> None:
        """Be the recorder of one of several nodes: each reads everything for itself, so that each can report."""
        self._members, self._durable, self._idle_s = members, recorder_reads(self._share.number, node), IDLE_S

    def works(self) -> dict[str, Begin]:
        """What is to go on all the time: each stream is read as soon as central has made it."""
        streams = (EVENT_STREAMS[self._share.number], Stream.CAMPAIGN)
        reads: dict[str, Begin] = {str(stream): partial(self.read, stream) for stream in streams}
        follow = partial(self.forgotten.follow, self._bus.kv(Bucket.FORGOTTEN))
        return reads | {"forgotten": follow, "forget": self.forgotten.run, "archive": self.archive_all}

    async def read(self, stream: Stream) -> None:
        """Write down a stream as soon as it is known who is forgotten, until cancelled."""
        rounds = self._rounds[stream] = Rounds()  # a report waits for the first one
        await self.forgotten.known.wait()
        await self.consume(stream, rounds)

    async def consume(self, stream: Stream, rounds: Rounds | None = None) -> None:
        """Write down a stream, batch by batch, until cancelled."""
        self._rounds[stream] = rounds or Rounds()
        consumer = self._bus.consume(stream, self._durable, idle_s=self._idle_s)
        try:
            await self._consume(stream, consumer)
        except Exception:
            with suppress(BusAway):
                await consumer.leave()
            raise

    async def _consume(self, stream: Stream, consumer: Consumer) -> None:
        rounds = self._rounds[stream]
        store: Store | None = None
        while True:
            try:
                if store is not self._store:
                    store = self._store
                    await self._fill(store, stream, consumer)
                rounds.begin()
                if received := await consumer.fetch(0):
                    await self._record(stream, received)
                    await consumer.ack(received)
                    self.counts["acknowledged"] += len(received)
                if store is self._store and not (received and received[-1].n_behind):
                    await rounds.end()
            except BusAway as error:
                log.warning("recorder.bus_away", stream=stream, error=str(error))
                await asyncio.sleep(RETRY_S)

    async def forget(self, people: Sequence[Person]) -> Done:
        """Remove what there is of these people. Raises: StoreError, to be asked again."""
        store = self._store
        work = partial(store.forget, people, not self._share.number)
        # nobody reads meanwhile: the file is replaced, and the reader's thread is who waits for that
        counts = await self._in(self._reader, lambda: self._writer.submit(work).result())
        looked, removed = Counter[str](), Counter[str]()
        for place, n_looked, n_removed in counts:
            looked[place] += n_looked
            removed[place] += n_removed
        if store is not self._store:
            return await self.forget(people)
        log.info("recorder.forgot", people=len(people), rows=removed.total())
        return [(people[0], Place(place, n, removed[place])) for place, n in looked.items()] if len(people) == 1 else []

    async def find(self, patterns: Sequence[str]) -> Sequence[Sought]:
        """Look for patterns in the database, and in the files of days that are only there."""
        await self._fresh()
        found = await self._read(lambda store: store.find(patterns))
        name = self._store.database.name
        named = [(f"{name}, {table}", n, (f"{n_found} rows",) if n_found else ()) for table, n, n_found in found]
        return [Sought(place, n, "rows", where) for place, n, where in named]

    async def archive_all(self) -> None:
        """Put days into files, hour by hour, until cancelled."""
        await asyncio.sleep(FIRST_S)
        while True:
            await self.archive(datetime.now(UTC))
            await asyncio.sleep(ARCHIVE_S)

    async def archive(self, now: datetime) -> None:
        """Put days into files, one by one; between two the writer's thread is there for others.

        A day is over an hour after midnight: what was told in it has come by then.
        """
        store, over = self._store, now - timedelta(seconds=ARCHIVE_S)
        until = now + timedelta(days=1) if self._hourly else over
        kept = (over - timedelta(days=self._keep_days)).date().isoformat() if self._keep_days else ""
        try:
            for day in await self._in(self._writer, partial(store.days_over, until.date().isoformat())):
                written = await self._in(self._writer, partial(store.archive, day, day < kept))
                log.info("archive.written", day=day, rows=written)
        except StoreBroken as error:
            await self._renew(store, str(error))
        except StoreUnwritable as error:  # the day stays in the database, and is tried again
            if not self.counts["archive_fails"]:
                log.error("archive.failed", error=str(error))
            self.counts["archive_fails"] = 1
        else:
            if self.counts.pop("archive_fails", 0):
                log.warning("archive.goes_on")

    async def _fill(self, store: Store, stream: Stream, consumer: Consumer) -> None:
        """Have a database that is new read the stream from its beginning."""
        if self._members:  # what was read alone, before
            await self._bus.consume(stream, recorder_reads(self._share.number)).rewind()
        if not await self._in(self._writer, partial(store.is_filled, stream)):
            await consumer.rewind()
            await self._in(self._writer, partial(store.fill, stream))

    async def _renew(self, broken: Store, reason: str) -> None:
        """Put a new database in the place of a broken one. Several may notice; one replaces it."""
        async with self._renewing:
            if self._store is not broken:
                return
            self.counts["set_aside"] += 1
            await self._in(self._reader, broken.stop_reading)
            await self._in(self._writer, broken.close)
            while self._store is broken:
                try:
                    again = partial(renewed, broken.database, reason, broken.archived)
                    self._store = await self._in(self._writer, again)
                except (StoreUnwritable, StoreLocked, OSError) as error:  # locked: a query on the old one ends first
                    log.error("database.not_renewed", error=str(error))
                    await asyncio.sleep(RETRY_S)

    async def _read(self, question: Callable[[Store], T]) -> T:
        """Ask the database. One that is found to be broken is replaced, and the new one asked."""
        while True:
            store = self._store
            try:
                return await self._in(self._reader, partial(question, store))
            except StoreBroken as error:
                await self._renew(store, str(error))

    async def _record(self, stream: Stream, received: Sequence[Received]) -> None:
        every = [(one, row) for one in received if (row := row_of(stream, one.sequence, one.data, self._share))]
        rows = [row for one, row in every if not is_forgotten(self.forgotten, row, one.wall_s)]
        self.counts["received"] += len(received)
        self.counts["dead_letters"] += sum(row.table == "dead_letters" for row in rows)
        store = self._store
        while store is self._store:  # else the new one gets these from the stream, with all before them
            try:
                new = await self._in(self._writer, partial(store.write, rows))
            except StoreBroken as error:
                await self._renew(store, str(error))
            except StoreUnwritable as error:
                self.counts["unwritable"] += 1
                log.error("recorder.unwritable", stream=stream, rows=len(rows), error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                self.counts["written"] += new
                self.counts["batches"] += 1
                _tell_spans(received)
                return

    async def _fresh(self) -> None:
        """Have what the streams have by now written down, unless NATS or the disk is away."""
        with suppress(TimeoutError):
            is_begun = self.forgotten.known.is_set() or not self._rounds
            async with asyncio.timeout(FRESH_S if is_begun else BEGIN_S):
                await asyncio.gather(*(rounds.fresh() for rounds in self._rounds.values()))

    async def figures(self, asked: wire.GetFigures, sender: Identity) -> wire.Figures:
        """Answer with the figures of a campaign and a time."""
        await self._fresh()
        try:
            node = NodeId("") if self._members else self._bus.node_id
            calls = await self._read(lambda store: reports.open_calls(store, asked, node))
            gone = await self._gone(calls) if calls else set()
            made = await self._read(lambda store: reports.figures(store, asked, gone))
        except reports.BadTime as error:
            raise Refused("bad_time") from error
        return replace(made, note="; ".join(filter(None, (made.note, await self._unread()))))

    async def _unread(self) -> str:
        """Say which streams of events nobody reads here: the other nodes are set to have more of them."""
        if self._share.number:
            return ""  # the first says so
        with suppress(BusAway):
            if (n_streams := await self._bus.n_event_streams()) > (n_read := self._share.n_recorders):
                return (
                    f"calls' events are in {n_streams} streams, and this node reads {n_read} of them: recorder.streams"
                )
        return ""

    async def _gone(self, calls: Sequence[CallId]) -> set[CallId]:
        """Return which of these calls no edge has: none, when one does not answer, or cannot be asked."""
        if self._members and not self._members.is_whole:
            return set()
        peers = self._members.of_role("edge") if self._members else self.roster.active("edge")
        edges = [peer.identity for peer in peers]
        if len(self.roster.active("edge")) < self.roster.n_wanted("edge"):
            return set()
        gone = set(calls) if edges else set()
        try:
            for edge in edges:
                for at in range(0, len(calls), MAX_ASKED):
                    asked = FindCalls(tuple(calls[at : at + MAX_ASKED]))
                    assert self._mesh is not None, "without it nobody could have asked for a report"
                    found = await self._mesh.ask(edge, asked, timeout_s=FIND_S)
                    gone -= {*found.held, *found.over}
        except LinkError:
            return set()
        return gone

    async def page(self, asked: wire.GetPage, sender: Identity) -> wire.Ledger:
        """Answer with the rows of a ledger behind another one."""
        await self._fresh()
        return await self._read(lambda store: reports.page(store, asked))

    async def parts(self, asked: wire.GetPartsOf, sender: Identity) -> wire.PartsTold:
        """Answer with the parts of a call's recording."""
        await self._fresh()
        return await self._read(lambda store: reports.parts(store, asked))

    async def export(self, asked: wire.ExportPart, sender: Identity) -> wire.Exported:
        """Write all tables as Parquet."""
        await self._fresh()
        try:
            name = asked.name + (f"_{self._share.number}" if self._share.number else "")
            directory, rows = await self._read(lambda store: export(store, name))
        except NotExported as error:
            raise Refused(error.reason) from error
        except StoreUnwritable as error:
            log.error("export.failed", error=str(error))
            raise Refused("disk") from error
        return wire.Exported(str(directory), rows)

    def status(self, _: GetStatus, sender: Identity) -> Status:
        """How this recorder is."""
        figures = {word: float(count) for word, count in self.counts.items()}
        return Status("recorder", os.getpid(), figures | self._bus.figures())

    async def close(self) -> None:
        """Finish the batch under way, and close the files."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._reader.shutdown()
        self._store.close()

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)


def _tell_spans(stored: Sequence[Received]) -> None:
    """Tell how long the ends of calls took to be rows; nothing of a stream that is read anew."""
    now_s = time.time()
    for one in stored:
        if one.trace and one.subject.endswith(Kind.ENDED) and now_s - one.wall_s < LATE_S:
            spans.tell_below(one.trace, "record", one.wall_s, now_s)


def _number(identity: Identity) -> int:
    """Return which of the node's recorders this is: `n1.recorder-2:5f3a` is the third; without a number, the first."""
    number = identity.partition(":")[0].rpartition("-")[2]
    return int(number) if number.isdigit() else 0


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be the recorder until the launcher says stop. Raises: `StoreUnwritable`, `OSError`."""
    database, archived = config.recorder.database, config.recorder.archive
    assert database is not None  # the configuration has put a path in the place of None
    share = Share(_number(identity), config.recorder.n_databases)
    how = config.recorder.keep_days, share, config.recorder.hourly
    if share.number:
        database = database.with_stem(f"{database.stem}_{share.number}")
    async with (
        closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
        closing(await Bus.connect(login(config, Role.RECORDER), name=identity, node_id=config.node.id)) as bus,
        closing(Recorder(await asyncio.to_thread(opened, database, archived), bus, *how)) as recorder,
        Tasks() as tasks,
    ):
        await _run(parent, config, mesh, bus, recorder, tasks)


async def _run(parent: Parent, config: Config, mesh: Mesh, bus: Bus, recorder: Recorder, tasks: Tasks) -> None:
    recorder.serve(mesh)
    Finder(config, recorder.find).serve(mesh)
    members = Members(mesh, config)
    if config.cluster.is_joined:
        recorder.join(members, config.node.id)
    async with working(recorder.works()) as system:
        trees.serve(mesh, system.census)
        speaker = Spokesman(mesh, bus, config, members, tasks)
        tasks.spawn(speaker.run())
        await parent.ready(mesh.whereabouts())
        async for order in parent.orders:
            if isinstance(order, Told) and "roster" in order.body:
                recorder.roster = Roster.of(order.body["roster"])
                mesh.roster(recorder.roster)
                members.follow(recorder.roster)
                speaker.follow(recorder.roster)


__all__ = ["Recorder", "run"]
