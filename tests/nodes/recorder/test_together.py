"""Several streams of events, a recorder and a database for each: reports are as if there were one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodes.links.bus import Bus
from nodes.links.errors import LayoutMismatch, Refused
from nodes.links.mesh import Mesh
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.recorder.process import Recorder
from nodes.recorder.rows import Share
from nodes.recorder.store import Store
from protocols.wire import events, journal
from protocols.wire import reports as wire
from protocols.wire.campaigns import ContactId, attempt_id
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import CallId, CampaignId, Identity, NodeId
from protocols.wire.subjects import EVENT_STREAMS, Stream, call_event, campaign_events, events_of
from tests.conftest import NatsServer

SPRING, N1 = CampaignId("spring"), NodeId("n1")
AT = datetime(2026, 3, 3, 12, tzinfo=UTC)
N_CALLS = 40


@pytest.fixture
async def bus(each_nats_server: NatsServer) -> AsyncIterator[Bus]:
    connected = await Bus.connect(each_nats_server.url, name="edge-0", node_id=N1)
    yield connected
    await connected.close()


async def tell_of_calls(bus: Bus, n_streams: int, first: int, n: int) -> None:
    """Dial, answer and end so many calls, each in its stream; every turn took another time."""
    for number in range(first, first + n):
        contact = ContactId(f"k{number:04}")
        attempt = attempt_id(SPRING, contact, 1)
        call = CallId(attempt)
        dialled = journal.Attempted(SPRING, contact, attempt, 1, AT, "", "f", ("consent",))
        await bus.commit(campaign_events(SPRING), f"a{number}", journal.to_body(dialled))
        told: list[tuple[Kind, dict[str, Value]]] = [
            (Kind.ANSWERED, {"after_ms": 1}),
            (Kind.PROMPT_STARTED, {"play_id": 1, "spoken": "hello", "answer_ms": 100 + number}),
            (Kind.ENDED, {"disposition": "completed", "cause": "script", "by": "us", "duration_s": 10.0}),
        ]
        for seq, (kind, fields) in enumerate(told, 1):
            made = CallEvent(f"{call}:{seq}", call, attempt, SPRING, N1, AT, seq, kind, fields)
            bus.record(call_event(call, kind, n_streams), made.event_id, events.to_body(made))
    await bus.settled()


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
            recorder.run(await self._stack.enter_async_context(Tasks()))
            self.all.append(recorder)
            self.peers.append(Peer("recorder", f"recorder-{number}", mesh.identity, mesh.endpoint, 1, State.ACTIVE))
        self.know(self.peers)
        self.operator = await Mesh.start(Identity("n1.command:1"))
        self._stack.push_async_callback(self.operator.close)
        self.operator.roster(Roster(1, tuple(self.peers)))
        return self

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
        made = await recorders.operator.ask(recorders.peers[1].identity, wire.GetReport(SPRING))
        assert (made.events, made.turn_ms_p50) == (60, 109.5)
    for number, stream in enumerate(EVENT_STREAMS[:2]):
        assert await bus.consume(stream, "central", events_of("call.*", number, 2)).fetch(), stream
    with pytest.raises(LayoutMismatch):
        await bus.ensure_layout(n_streams=1)
