"""Several streams of events, a recorder and a database for each: reports are as if there were one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodes.bus.bus import Bus
from nodes.config import parse
from nodes.launcher import roles
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.links.work import working
from nodes.mesh.mesh import Mesh
from nodes.recorder.process import Recorder
from nodes.recorder.rows import Share
from nodes.recorder.store import Store
from protocols.wire import events, journal
from protocols.wire import reports as wire
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, NodeId
from protocols.wire.subjects import EVENT_STREAMS, Stream, call_event, campaign_events, events_of, stream_of
from tests.conftest import NatsServer

SPRING, N1 = CampaignId("spring"), NodeId("n1")
AT = datetime(2026, 3, 3, 12, tzinfo=UTC)
N_CALLS = 40


@pytest.fixture
async def bus(each_nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(each_nats_server.url, name="edge-0", node_id=N1)
    yield connected
    await connected.close()


async def begin_calls(bus: Bus, n_streams: int, first: int, n: int) -> list[AttemptId]:
    """Dial and answer so many calls, each in its stream; every turn took another time."""
    attempts = []
    for number in range(first, first + n):
        contact = ContactId(f"k{number:04}")
        attempt = attempt_id(SPRING, contact, 1, n_streams)
        dialled = journal.Attempted(SPRING, contact, attempt, 1, AT, "", "f", ("consent",))
        await bus.commit(campaign_events(SPRING), f"a{number}", journal.to_body(dialled))
        tell(bus, attempt, 1, Kind.ANSWERED, {"after_ms": 1})
        tell(bus, attempt, 2, Kind.PROMPT_STARTED, {"play_id": 1, "spoken": "hello", "answer_ms": 100 + number})
        attempts.append(attempt)
    return attempts


def tell(bus: Bus, attempt: AttemptId, seq: int, kind: Kind, fields: dict[str, Value]) -> None:
    call = CallId(attempt)
    made = CallEvent(f"{call}:{seq}", call, attempt, SPRING, N1, AT, seq, kind, fields)
    bus.record(call_event(call, kind), made.event_id, events.to_body(made))


def end_calls(bus: Bus, attempts: Iterable[AttemptId]) -> None:
    for attempt in attempts:
        fields: dict[str, Value] = {"disposition": "completed", "cause": "script", "by": "us", "duration_s": 10.0}
        tell(bus, attempt, 3, Kind.ENDED, fields)


async def tell_of_calls(bus: Bus, n_streams: int, first: int, n: int) -> None:
    """Dial, answer and end so many calls."""
    end_calls(bus, await begin_calls(bus, n_streams, first, n))
    await bus.settled()


def n_databases(directory: Path, n_streams: int) -> int:
    """Return how many recorders a node has that is set to so many streams."""
    config = parse(f"[recorder]\nstreams = {n_streams}\n[paths]\nstate = '.'", "test", directory)
    recorders = [name for name, role in roles(config).items() if role == "recorder"]
    assert recorders == [f"recorder-{n}" for n in range(config.recorder.n_databases)]
    return config.recorder.n_databases


class Recorders:
    """So many, which know each other, and an operator."""

    def __init__(self, url: str, directory: Path, n_streams: int) -> None:
        self._url, self._directory, self.n_streams = url, directory, n_streams
        self._stack = AsyncExitStack()
        self.all: list[Recorder] = []
        self.peers: list[Peer] = []

    async def __aenter__(self) -> Recorders:
        for number in range(self.n_streams):
            database = self._directory / f"ringmaster{f'_{number}' if number else ''}.duckdb"
            bus = await Bus.connect(self._url, name=f"recorder-{number}", node_id=N1)
            self._stack.push_async_callback(bus.close)
            recorder = Recorder(Store(database), bus, share=Share(number, self.n_streams))
            self._stack.push_async_callback(recorder.close)
            mesh = await Mesh.start(Identity(f"n1.recorder-{number}:1"), "tcp://127.0.0.1:*")
            self._stack.push_async_callback(mesh.close)
            recorder.serve(mesh)
            await self._stack.enter_async_context(working(recorder.works()))
            self.all.append(recorder)
            self.peers.append(Peer("recorder", f"recorder-{number}", mesh.identity, mesh.endpoint, 1, State.ACTIVE))
        self.know(self.peers)
        self.operator = await Mesh.start(Identity("n1.command:1"))
        self._stack.push_async_callback(self.operator.close)
        self.operator.roster(Roster(1, tuple(self.peers)))
        return self

    async def written(self, n_events: int) -> None:
        """Return once the databases have so many events, and what the journal says: a report waits for 1 s at most."""
        first = self.peers[0].identity
        async with asyncio.timeout(60):
            while (made := await self.operator.ask(first, wire.GetReport(SPRING))).events < n_events:
                await asyncio.sleep(0.05)
            while (await self.operator.ask(first, wire.GetLedger(SPRING))).total < made.attempts:
                await asyncio.sleep(0.05)

    def know(self, peers: list[Peer]) -> None:
        for recorder in self.all:
            recorder.roster = Roster(1, tuple(peers))
            assert recorder._mesh
            recorder._mesh.roster(Roster(1, tuple(self.peers)))

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


async def test_reports_ledgers_and_exports_are_of_all_streams_whichever_recorder_is_asked(
    bus: Bus, each_nats_server: NatsServer, tmp_path: Path
) -> None:
    await bus.ensure_layout(n_streams=4)
    await tell_of_calls(bus, 4, 0, N_CALLS)
    async with Recorders(each_nats_server.url, tmp_path, 4) as recorders:
        await recorders.written(120)
        for peer in recorders.peers:
            made = await recorders.operator.ask(peer.identity, wire.GetReport(SPRING))
            assert (made.attempts, made.answered, made.events, made.dead_letters) == (40, 40, 120, 0)
            assert made.dispositions == {"completed": 40}
            assert (made.turn_ms_p50, made.turn_ms_p95) == (119.5, pytest.approx(137.05))
            page = await recorders.operator.ask(peer.identity, wire.GetLedger(SPRING))
            assert page.total == 40
            assert [row.contact_id for row in page.rows] == [f"k{number:04}" for number in range(40)]
            assert {row.disposition for row in page.rows} == {"completed"}
        exported = await recorders.operator.ask(recorders.peers[2].identity, wire.Export("all"))
        assert (exported.rows["events"], exported.rows["ledger"]) == (120, 40)
        with pytest.raises(Refused, match="exists"):
            await recorders.operator.ask(recorders.peers[0].identity, wire.Export("all"))
        with pytest.raises(Refused, match="bad_time"):
            await recorders.operator.ask(recorders.peers[1].identity, wire.GetReport(since="yesterday"))
        written = [recorder.counts["written"] for recorder in recorders.all]
        assert min(written) > 0
        recorders.know(recorders.peers[:3])
        with pytest.raises(Refused, match="recorder_away"):
            await recorders.operator.ask(recorders.peers[0].identity, wire.GetReport(SPRING))


async def test_one_stream_becomes_several_and_nothing_of_it_is_lost(
    bus: Bus, each_nats_server: NatsServer, tmp_path: Path
) -> None:
    await bus.ensure_layout()
    await tell_of_calls(bus, 1, 0, 10)
    await bus.consume(Stream.EVENTS, "central", events_of("call.*")).fetch()
    assert set(await bus.ensure_layout(n_streams=2)) == {*EVENT_STREAMS[:2]}
    assert await bus.ensure_layout(n_streams=2) == []
    await tell_of_calls(bus, 2, 10, 10)
    async with Recorders(each_nats_server.url, tmp_path, 2) as recorders:
        await recorders.written(60)
        made = await recorders.operator.ask(recorders.peers[1].identity, wire.GetReport(SPRING))
        assert (made.events, made.turn_ms_p50) == (60, 109.5)
    for number, stream in enumerate(EVENT_STREAMS[:2]):
        assert await bus.consume(stream, "central", events_of("call.*", number, 2)).fetch(), stream


async def test_streams_become_more_and_fewer_and_every_call_is_counted_once_also_those_that_are_up_meanwhile(
    bus: Bus, each_nats_server: NatsServer, tmp_path: Path
) -> None:
    up: list[AttemptId] = []
    for at, n_streams in enumerate((1, 4, 2)):
        await bus.ensure_layout(n_streams=n_streams)
        before, up = up, await begin_calls(bus, n_streams, at * 12, 12)
        assert {stream_of(attempt) for attempt in up} == set(range(n_streams))
        end_calls(bus, before)
        await bus.settled()
        async with Recorders(each_nats_server.url, tmp_path, n_databases(tmp_path, n_streams)) as recorders:
            await recorders.written(at * 36 + 24)
            made = await recorders.operator.ask(recorders.peers[-1].identity, wire.GetReport(SPRING))
            assert made.dispositions == ({"completed": at * 12} if at else {}) | {"open": 12}
            assert (made.attempts, made.events, made.note) == (at * 12 + 12, at * 36 + 24, "")
            page = await recorders.operator.ask(recorders.peers[-1].identity, wire.GetLedger(SPRING))
            assert [row.contact_id for row in page.rows] == [f"k{number:04}" for number in range(at * 12 + 12)]
            assert page.total == at * 12 + 12
    assert n_databases(tmp_path, 1) == 4, "what the last ones have stays in reports"


async def test_a_central_that_does_not_lead_makes_more_streams_and_takes_none_away(bus: Bus) -> None:
    await bus.ensure_layout()
    assert set(await bus.ensure_layout(n_streams=2, changes_limits=False)) == {*EVENT_STREAMS[:2]}
    assert await bus.ensure_layout(n_streams=1, changes_limits=False) == []
    assert await bus.ensure_layout(n_streams=1) == []
    assert await bus.n_event_streams() == 2
    await tell_of_calls(bus, 1, 0, 3)
    await tell_of_calls(bus, 2, 3, 3)


async def test_a_node_that_reads_fewer_streams_than_there_are_says_so_in_its_reports(
    bus: Bus, each_nats_server: NatsServer, tmp_path: Path
) -> None:
    await bus.ensure_layout(n_streams=4)
    async with Recorders(each_nats_server.url, tmp_path, 2) as recorders:
        made = await recorders.operator.ask(recorders.peers[1].identity, wire.GetReport(SPRING))
        assert made.note == "calls' events are in 4 streams, and this node reads 2 of them: recorder.streams"
