"""The recorder between a real nats-server and a real file: every event once, also when it is killed in the middle."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest
from structlog.testing import capture_logs

from nodes.bus import consumer
from nodes.bus.bus import Bus
from nodes.bus.consumer import Received
from nodes.config import Config, parse
from nodes.links.errors import Refused
from nodes.links.members import Members
from nodes.links.roster import Peer, Roster, State
from nodes.links.work import working
from nodes.mesh.mesh import Mesh
from nodes.recorder.process import Recorder
from nodes.recorder.store import Row, Store
from protocols.wire import events, journal
from protocols.wire import reports as wire
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.cluster import ClusterTold, Member, NodeState, NodeWord
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, NodeId
from protocols.wire.messages import GetStatus
from protocols.wire.reconcile import CallsFound, FindCalls
from protocols.wire.subjects import Stream, call_event, campaign_events
from tests.conftest import NatsServer

N_EVENTS = 3000
LONG_AGO = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
RECORDER = """
import asyncio, sys
from pathlib import Path
from nodes.bus import consumer
from nodes.bus.bus import Bus
from nodes.recorder.process import Recorder
from nodes.recorder.store import Store
from nodes.telemetry import logs
from protocols.wire.subjects import Stream

logs.configure("info", "n1", "recorder-0")
consumer.ACK_WAIT_S = 1.0  # what a killed recorder left comes again after this, and not after half a minute

class Told(Store):
    def write(self, rows):
        new = super().write(rows)
        print(new, flush=True)  # committed, and not acknowledged yet
        sys.stdin.readline()
        return new

async def main():
    bus = await Bus.connect(sys.argv[1], name="recorder-0", node_id="n1")
    await Recorder(Told(Path(sys.argv[2])), bus).consume(Stream.EVENTS)

asyncio.run(main())
"""


def event(n: int) -> CallEvent:
    call = CallId(f"c{n % 100}")
    ids = AttemptId(""), CampaignId(""), NodeId("n1")
    return CallEvent(f"e{n}", call, *ids, datetime.now(UTC), 1, Kind.RINGING, {"after_ms": n})


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n1"))
    await connected.ensure_layout()
    yield connected
    await connected.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "recorder" / "ringmaster.duckdb"


@asynccontextmanager
async def recording(
    url: str, database: Path, joined: Config | None = None, kind: type[Recorder] = Recorder
) -> AsyncIterator[Recorder]:
    node = joined.node.id if joined else NodeId("n1")
    bus = await Bus.connect(url, name="recorder-0", node_id=node)
    recorder = kind(Store(database), bus)
    mesh = await Mesh.start(Identity(f"{node}.recorder-0:1"))
    if joined:
        recorder.join(Members(mesh, joined), node)
    try:
        async with working(recorder.works()):
            yield recorder
    finally:
        await recorder.close()
        await mesh.close()
        await bus.close()


def joined(node: str) -> Config:
    return parse(f"[node]\nid = {node!r}\n[cluster]\nbind = '127.0.0.1'", "test", Path("/"))


@asynccontextmanager
async def asked(recorder: Recorder) -> AsyncIterator[tuple[Mesh, Identity]]:
    """An operator's mesh, and the name of the recorder on it."""
    mesh = await Mesh.start(Identity("n1.recorder-0:1"), "tcp://127.0.0.1:*")
    recorder.serve(mesh)
    operator = await Mesh.start(Identity("n1.command:1"))
    operator.roster(Roster(1, (Peer("recorder", "recorder-0", mesh.identity, mesh.endpoint, 1, State.ACTIVE),)))
    try:
        yield operator, mesh.identity
    finally:
        await operator.close()
        await mesh.close()


async def figure(operator: Mesh, recorder: Identity, word: str, n: int) -> None:
    """Return when the recorder has counted so many: it says so when it is asked."""
    async with asyncio.timeout(60):
        while True:
            if (await operator.ask(recorder, GetStatus())).figures.get(word, 0) >= n:
                return
            await asyncio.sleep(0.02)


async def record(bus: Bus, n: int) -> None:
    for made in map(event, range(n)):
        assert bus.record(call_event(made.call_id, made.kind), made.event_id, events.to_body(made))
    async with asyncio.timeout(60):
        await bus.settled()


async def test_a_report_knows_what_was_told_before_it_was_asked_for_though_commits_are_few(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        began = asyncio.get_running_loop().time()
        for made in map(event, range(200)):
            await bus.commit(call_event(made.call_id, made.kind), made.event_id, events.to_body(made))
            await asyncio.sleep(0.002)
        assert (await operator.ask(name, wire.GetReport())).events == 200
        passed = asyncio.get_running_loop().time() - began
        assert recorder.counts["batches"] <= passed + 2, "one a second, one at the beginning, one for the report"


async def test_a_report_is_made_also_when_nats_is_away(bus: Bus, nats_server: NatsServer, database: Path) -> None:
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        await record(bus, 10)
        assert (await operator.ask(name, wire.GetReport())).events == 10
        nats_server.kill()
        assert (await operator.ask(name, wire.GetReport())).events == 10


async def test_who_has_a_call_without_an_end_is_asked_of_the_edges(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    held, gone = (CallEvent(name, CallId(name), AttemptId(""), CampaignId(""), NodeId("n1"), LONG_AGO, 1,
                            Kind.ANSWERED, {"after_ms": 1}) for name in ("held", "gone"))  # fmt: skip
    for made in (held, gone):
        bus.record(call_event(made.call_id, made.kind), made.event_id, events.to_body(made))
    edge = await Mesh.start(Identity("n1.edge-0:1"), "tcp://127.0.0.1:*")
    edge.serve(FindCalls, lambda asked, _: CallsFound(tuple(name for name in asked.calls if name == "held"), ()))
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        await figure(operator, name, "written", 2)
        told = await operator.ask(name, wire.GetReport())
        assert (told.lost, told.dispositions) == (0, {"open": 2}), "no edge is up: nothing is known"
        peer = Peer("edge", "edge-0", edge.identity, edge.endpoint, 1, State.ACTIVE)
        recorder.roster = Roster(2, (peer,))
        assert recorder._mesh
        recorder._mesh.roster(recorder.roster)
        told = await operator.ask(name, wire.GetReport())
        assert (told.lost, told.dispositions) == (1, {"open": 1, "lost": 1})
    await edge.close()


async def test_events_and_decisions_are_written_and_reported_over_the_mesh(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    spring, ada = CampaignId("spring"), ContactId("ada")
    decided = journal.Attempted(
        spring, ada, attempt_id(spring, ada, 1), 1, datetime.now(UTC), "", "form-7", ("consent",)
    )
    await bus.commit(campaign_events(spring), "a1", journal.to_body(decided))
    await bus.commit("rm.ev.c1", "poison", {"kind": "dinner"})
    await record(bus, 150)
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        await figure(operator, name, "acknowledged", 152)
        report = await operator.ask(name, wire.GetReport())
        assert (report.attempts, report.dead_letters) == (101, 1)
        page = await operator.ask(name, wire.GetLedger(spring))
        assert [row.passed for row in page.rows] == [("consent",)]
        exported = await operator.ask(name, wire.Export("today"))
        assert exported.rows["events"] == 150
        with pytest.raises(Refused, match="exists"):
            await operator.ask(name, wire.Export("today"))
        with pytest.raises(Refused, match="bad_time"):
            await operator.ask(name, wire.GetReport(since="yesterday"))


class Stumbling(Recorder):
    """Has two bugs: the first events that come, and the archive."""

    stumbles = True

    async def _record(self, stream: Stream, received: Sequence[Received]) -> None:
        if self.stumbles:
            self.stumbles = False
            raise RuntimeError("a bug")
        await super()._record(stream, received)

    async def archive_all(self) -> None:
        self.counts["archives"] += 1
        raise RuntimeError("another bug")


async def test_what_fails_in_a_recorder_begins_again_and_nothing_else_ends_for_it(
    bus: Bus, nats_server: NatsServer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "ACK_WAIT_S", 0.5)
    async with recording(nats_server.url, database, kind=Stumbling) as recorder, asked(recorder) as (operator, name):
        await record(bus, 10)
        await figure(operator, name, "written", 10)
        await figure(operator, name, "archives", 2)
        await record(bus, 20)
        assert (await operator.ask(name, wire.GetReport())).events == 20


async def test_what_was_acknowledged_does_not_come_again(bus: Bus, nats_server: NatsServer, database: Path) -> None:
    await record(bus, 100)
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        await figure(operator, name, "acknowledged", 100)
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        await record(bus, 101)
        await figure(operator, name, "acknowledged", 1)
        assert recorder.counts["received"] == 1


async def test_on_a_full_disk_the_events_stay_in_the_stream_until_there_is_room(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with recording(nats_server.url, database) as recorder, asked(recorder) as (operator, name):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
        try:
            await record(bus, 300)
            await figure(operator, name, "unwritable", 1)
            assert (await operator.ask(name, wire.GetReport())).events < 300  # depends on the batches
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            signal.signal(signal.SIGXFSZ, ignored)
        await figure(operator, name, "acknowledged", 300)
        report = await operator.ask(name, wire.GetReport())
        assert (report.attempts, report.events) == (100, 300)


async def test_killed_between_commit_and_acknowledgement_every_event_is_there_once(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    await record(bus, N_EVENTS)
    n_new = 0
    for _ in range(2):
        killed = await _start(nats_server.url, database, asyncio.subprocess.PIPE)
        n_new += await _committed(killed)
        killed.kill()
        await killed.wait()
    assert 0 < n_new < N_EVENTS
    last = await _start(nats_server.url, database, asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(100):
        while n_new < N_EVENTS:
            n_new += await _committed(last)
    last.kill()
    await last.wait()
    store = Store(database)
    assert store.records("SELECT count(*) AS n FROM events") == [{"n": N_EVENTS}]
    store.close()


async def _committed(recorder: asyncio.subprocess.Process) -> int:
    """Return how many rows of its next batch were new, once that is committed."""
    assert recorder.stdout is not None
    return int(await recorder.stdout.readline())


async def _start(url: str, database: Path, stdin: int) -> asyncio.subprocess.Process:
    """Start a recorder that waits for a line after each commit, or, with an empty input, does not."""
    argv = (sys.executable, "-c", RECORDER, url, str(database))
    return await asyncio.create_subprocess_exec(
        *argv, stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )


@pytest.mark.parametrize("is_hourly", [True, False])
async def test_the_day_that_goes_on_has_its_file_where_that_is_wanted(
    bus: Bus, database: Path, tmp_path: Path, is_hourly: bool
) -> None:
    recorder = Recorder(store := Store(database), bus, keep_days=1, hourly=is_hourly)
    file = database.parent / "archive" / f"day={LONG_AGO.date()}" / "ringmaster.parquet"
    for n in (1, 2):
        store.write([Row("events", {**msgspec.to_builtins(event(n)), "wall": LONG_AGO.isoformat()})])
        await recorder.archive(LONG_AGO + timedelta(minutes=n))
        rows = duckdb.sql(f"SELECT * FROM '{file}'").fetchall() if file.exists() else []
        assert len(rows) == (n if is_hourly else 0)
        assert store.records("SELECT count(*) AS n FROM events") == [{"n": n}]
        assert store.records("SELECT n FROM archived") == [{"n": 0}], "it is read from the database"
    await recorder.close()


async def test_a_day_that_finds_no_room_is_told_of_once_and_written_when_there_is_some(
    bus: Bus, database: Path, tmp_path: Path
) -> None:
    made = replace(event(1), wall=LONG_AGO)
    store, full = Store(database, tmp_path / "full"), tmp_path / "full"
    store.write([Row("events", {**msgspec.to_builtins(made), "wall": LONG_AGO.isoformat()})])
    recorder = Recorder(store, bus, keep_days=1)
    full.touch()
    with capture_logs() as lines:
        for _ in range(3):
            await recorder.archive(LONG_AGO + timedelta(days=9))
        assert recorder.counts["archive_fails"] == 1
        full.unlink()
        await recorder.archive(LONG_AGO + timedelta(days=9))
    assert [line["event"] for line in lines] == ["archive.failed", "archive.written", "archive.goes_on"]
    assert not recorder.counts["archive_fails"]
    assert store.records("SELECT n FROM archived") == [{"n": 1}]
    await recorder.close()


async def test_the_recorders_of_two_nodes_each_have_every_event(
    bus: Bus, nats_server: NatsServer, tmp_path: Path
) -> None:
    await record(bus, 200)
    async with recording(nats_server.url, tmp_path / "alone.duckdb") as alone, asked(alone) as (operator, name):
        assert (await operator.ask(name, wire.GetReport())).events == 200
    await record(bus, 300)
    async with (
        recording(nats_server.url, tmp_path / "alone.duckdb", joined("n1")) as one,
        recording(nats_server.url, tmp_path / "two.duckdb", joined("n2")) as two,
    ):
        for recorder in (one, two):
            async with asked(recorder) as (operator, name):
                report = await operator.ask(name, wire.GetReport())
                assert (report.events, report.attempts) == (300, 100)
    stored = await bus._connection.jetstream.consumers_info(Stream.EVENTS)
    assert sorted(one.name for one in stored) == ["recorder-n1", "recorder-n2"], "what nobody reads holds nothing back"


async def test_a_call_of_another_node_is_lost_when_no_edge_of_any_node_has_it_and_each_can_be_asked(
    bus: Bus, nats_server: NatsServer, database: Path
) -> None:
    held, gone = (CallEvent(name, CallId(name), AttemptId(""), CampaignId(""), NodeId("n2"), LONG_AGO, 1,
                            Kind.ANSWERED, {"after_ms": 1}) for name in ("held", "gone"))  # fmt: skip
    for made in (held, gone):
        bus.record(call_event(made.call_id, made.kind), made.event_id, events.to_body(made))
    await bus.settled()
    edge = await Mesh.start(Identity("n1.edge-0:1"), "tcp://127.0.0.1:*")
    edge.serve(FindCalls, lambda asked, _: CallsFound(tuple(name for name in asked.calls if name == "held"), ()))
    other = NodeWord(NodeId("n2"), 1, 1, "c", 1, "v", "", ("edge",), "", 0.0, ())
    async with (
        AsyncExitStack() as closing,
        recording(nats_server.url, database, joined("n1")) as recorder,
        asked(recorder) as (operator, name),
    ):
        closing.push_async_callback(edge.close)
        members = recorder._members
        assert members
        assert recorder._mesh
        roster = Roster(2, (Peer("edge", "edge-0", edge.identity, edge.endpoint, 1, State.ACTIVE),))
        recorder._mesh.roster(roster)
        members.follow(roster)
        assert (await operator.ask(name, wire.GetReport())).dispositions == {"open": 2}, "nobody was told of yet"
        for state, dispositions in (
            (NodeState.SILENT, {"open": 2}),
            (NodeState.DEAD, {"open": 1, "lost": 1}),
        ):
            members.take(ClusterTold(1, (Member(other, state, is_proven=True),)))
            assert (await operator.ask(name, wire.GetReport())).dispositions == dispositions
