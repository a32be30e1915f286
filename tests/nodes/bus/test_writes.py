"""A nats-server that answers and takes nothing is found, and ended if it is ours; nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from nats.js.errors import ServerError
from structlog.testing import capture_logs

from nodes.bus import connection, remedy, writes
from nodes.bus.bus import Bus
from nodes.bus.connection import GREETING, Connection
from nodes.bus.login import Login, login
from nodes.bus.remedy import Remedy
from nodes.bus.server import pid_of
from nodes.bus.writes import STUCK_S, TRIES, Writes
from nodes.links.errors import BusAway
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket, Stream
from tests.conftest import NatsServer

N1 = NodeId("n1")
CORE = min(os.sched_getaffinity(0))
SERVER = """
import socket
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
while True: pass
"""
HOG = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


class Written:
    """Writes with a clock of our own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.writes = Writes(lambda: self.now)

    def fails(self, cause: Exception, name: str = "RM_EVENTS") -> None:
        with suppress(BusAway), self.writes.of(name):
            raise BusAway("no") from cause

    def is_taken(self, name: str = "RM_EVENTS") -> None:
        with self.writes.of(name) as took:
            took()


@pytest.fixture
def written() -> Written:
    return Written()


def test_ten_seconds_of_writes_that_nobody_acknowledges_are_stuck(written: Written) -> None:
    for _ in range(TRIES):
        assert written.writes.stuck() == {}
        written.fails(TimeoutError())
        written.now += STUCK_S / (TRIES - 1)
    assert written.writes.stuck().keys() == {"RM_EVENTS"}
    written.is_taken("rm_leases")
    assert written.writes.stuck(), "another stream's luck says nothing about this one"
    written.is_taken()
    assert written.writes.stuck() == {}


def test_a_hundred_writes_that_fail_together_are_one_try(written: Written) -> None:
    for _ in range(100):
        written.fails(TimeoutError())
    written.now += STUCK_S + 60
    assert written.writes.stuck() == {}, "whoever was stopped for a minute has tried once"


def test_time_in_which_nobody_could_answer_does_not_count(written: Written) -> None:
    for _ in range(4 * TRIES):
        written.fails(TimeoutError())
        written.now += STUCK_S / TRIES
        written.writes.excuse(0.9 * STUCK_S / TRIES)
        assert written.writes.stuck() == {}
    for _ in range(TRIES):
        written.fails(TimeoutError())
        written.now += STUCK_S / TRIES
    assert written.writes.stuck()
    assert written.writes.is_waiting
    written.is_taken()
    assert not written.writes.is_waiting


def test_tries_of_long_ago_are_no_evidence(written: Written) -> None:
    for _ in range(2 * TRIES):
        written.fails(TimeoutError())
        written.now += STUCK_S / TRIES
    assert written.writes.stuck()
    written.now += 60
    assert written.writes.stuck() == {}, "nobody has tried since"
    written.fails(TimeoutError())
    assert written.writes.stuck() == {}, "and now it was once"


def test_an_answer_that_is_no_is_an_answer_and_a_lost_connection_explains_everything(written: Written) -> None:
    for cause in (ConnectionError(), ValueError("maximum bytes exceeded")):
        for _ in range(2 * TRIES):
            written.fails(cause)
            written.now += STUCK_S
        assert written.writes.stuck() == {}
    for _ in range(2 * TRIES):
        written.fails(TimeoutError())
        written.now += STUCK_S / TRIES
    assert written.writes.stuck()
    written.writes.forget()
    assert written.writes.stuck() == {}


def test_refusals_again_and_again_are_told_until_one_is_taken_and_end_no_server(written: Written) -> None:
    full = ServerError(code=503, description="insufficient resources", err_code=10023)
    for seconds in (0.0, 4.0, 8.0):
        written.fails(full, "rm_leases")
        assert written.writes.refused_s(["rm_leases"]) == seconds
        assert written.writes.refused_s(["RM_CAMPAIGN"]) == 0.0
        written.now += 4.0
    assert written.writes.stuck() == {}
    written.is_taken("rm_leases")
    assert written.writes.refused_s(["rm_leases"]) == 0.0
    written.fails(full, "rm_leases")
    written.now += 60
    written.fails(full, "rm_leases")
    assert written.writes.refused_s(["rm_leases"]) == 0.0, "nobody has tried in between"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writes, "STUCK_S", 0.3)
    monkeypatch.setattr(writes, "APART_S", 0.05)
    monkeypatch.setattr("nodes.bus.bus.ACK_S", 0.05)
    monkeypatch.setattr("nodes.bus.bus.LOOK_S", 0.05)


@pytest.mark.usefixtures("soon")
async def test_an_embedded_server_that_takes_nothing_is_ended_and_what_waited_is_taken_by_the_next(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    """A right that is missing makes a server that answers everything but this, as a disk that was full does."""
    may, may_not = '"rm.ev.>", "rm.state.calls.*"', '"rm.state.calls.*"'
    anybody = await Bus.connect(nats_server.url, name="central-0", node_id=N1)
    await anybody.ensure_layout()
    nats_server.kill()
    nats_server.configure(lambda text: text.replace(may, may_not))
    await nats_server.start()
    edge = await Bus.connect(login(nats_server.config, Role.EDGE), name="edge-0", node_id=N1, spool=tmp_path / "spool")
    settings = Path(nats_server.plan.argv[-1])
    assert pid_of(settings)
    with capture_logs() as lines:
        for n in range(200):
            assert edge.record("rm.ev.a.call.ended", f"e{n}", {"n": n})
        async with asyncio.timeout(60):
            while pid_of(settings):
                await asyncio.sleep(0.02)
        nats_server.configure(lambda text: text.replace(may_not, may))
        nats_server.kill()  # it has ended: this takes note
        await nats_server.start()
        async with asyncio.timeout(60):
            await edge.settled()
    (ended,) = [line for line in lines if line["event"] == "nats.ended"]
    assert ended["streams"] == [Stream.EVENTS]
    assert [one.event_id async for one in anybody.replay(Stream.EVENTS)] == [f"e{n}" for n in range(200)]
    await edge.close()
    await anybody.close()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("was_connected", [True, False])
async def test_an_embedded_server_that_stands_still_is_ended_and_the_next_is_not(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, was_connected: bool
) -> None:
    """Its kernel goes on taking connections, so that for the launcher it lives."""
    monkeypatch.setattr(connection, "PING_S", 0.1)
    monkeypatch.setattr(connection, "GREETING_S", 0.1)
    monkeypatch.setattr("nodes.bus.bus.CONNECT_S", 0.5)
    settings = Path(nats_server.plan.argv[-1])
    if not was_connected:
        nats_server.freeze()
    edge = await Bus.connect(login(nats_server.config, Role.EDGE), name="edge-0", node_id=N1)
    if was_connected:
        assert edge.connected
        nats_server.freeze()
    with capture_logs() as lines:
        async with asyncio.timeout(60):
            while pid_of(settings):
                await asyncio.sleep(0.02)
            monkeypatch.setattr(connection, "GREETING_S", 5.0)  # on a busy machine the next one may be slow
            nats_server.kill()  # it has ended: this takes note
            await nats_server.start()
            await edge.up()
            for _ in range(100):  # longer than it took to find the first one
                assert pid_of(settings)
                await asyncio.sleep(0.01)
    (ended,) = [line for line in lines if line["event"] == "nats.ended"]
    assert ended["streams"] == [GREETING]
    await edge.close()


@contextmanager
def late_server(settings: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Have a server that would greet, behind a process that never rests on its core; yields it, and its address."""
    here = [sys.executable, "-c", SERVER, str(settings)]
    server = subprocess.Popen(here, stdout=subprocess.PIPE, text=True)
    hog = subprocess.Popen([sys.executable, "-c", HOG])
    try:
        assert server.stdout
        port = server.stdout.readline().strip()
        settings.with_suffix(".pid").write_text(str(server.pid))
        for process in (server, hog):
            os.sched_setaffinity(process.pid, {CORE})
        os.sched_setscheduler(server.pid, os.SCHED_IDLE, os.sched_param(0))
        yield server, f"nats://127.0.0.1:{port}"
    finally:
        for process in (server, hog):
            process.kill()
            process.wait()
        if server.stdout:
            server.stdout.close()


@pytest.mark.usefixtures("soon")
async def test_an_embedded_server_that_finds_no_processor_is_late_and_not_ended_and_one_that_was_stopped_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GREETING_S", 0.1)
    monkeypatch.setattr("nodes.bus.bus.CONNECT_S", 0.1)
    with late_server(settings := tmp_path / "nats-server.conf") as (server, url), capture_logs() as lines:
        edge = await Bus.connect(Login(url, "", embedded=settings), name="edge-0", node_id=N1)
        failing = edge._connection.writes._failing
        async with asyncio.timeout(60):
            while GREETING not in failing or failing[GREETING].n_tries < 3 * TRIES:
                await asyncio.sleep(0.02)
        assert server.poll() is None
        os.kill(server.pid, signal.SIGSTOP)
        async with asyncio.timeout(60):
            while server.poll() is None:
                await asyncio.sleep(0.02)
        await edge.close()
    assert [line["streams"] for line in lines if line["event"] == "nats.ended"] == [[GREETING]]


@pytest.mark.usefixtures("soon")
async def test_a_server_that_is_starting_refuses_and_is_not_taken_for_one_that_stands_still(
    nats_server: NatsServer,
) -> None:
    nats_server.kill()
    away = Connection(login(nats_server.config, Role.EDGE), "edge-0")
    for _ in range(2 * TRIES):
        await away.look_for_greeting()
        await asyncio.sleep(0.06)
    assert away.writes.stuck() == {}


def test_a_server_of_somebody_else_or_on_a_full_disk_is_left_alone_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as lines:
        for _ in range(3):
            assert not Remedy(None).apply({"RM_EVENTS": 12.0})
        monkeypatch.setattr(remedy, "FREE_BYTES", 2**62)
        assert not Remedy(tmp_path / "nats-server.conf").apply({"RM_EVENTS": 12.0})
    assert {line["event"] for line in lines} == {"nats.stuck", "nats.disk_full"}


def test_a_stale_pid_file_names_nobody(tmp_path: Path) -> None:
    settings = tmp_path / "nats-server.conf"
    for said in ("", "x", "1", "999999999"):
        settings.with_suffix(".pid").write_text(said)
        assert pid_of(settings) is None


async def test_a_stream_that_was_deleted_is_made_again_and_limits_follow_the_settings(
    each_nats_server: NatsServer,
) -> None:
    bus = await Bus.connect(each_nats_server.url, name="central-0", node_id=N1)
    assert Stream.EVENTS in await bus.ensure_layout(events_bytes=1_000_000)
    assert await bus.ensure_layout(events_bytes=1_000_000) == []
    assert await bus.ensure_layout(events_bytes=500_000) == [Stream.EVENTS]
    await bus._connection.jetstream.delete_stream("KV_rm_dnc")
    assert await bus.ensure_layout(events_bytes=500_000) == ["KV_rm_dnc"]
    await bus.close()


async def test_a_store_that_is_full_refuses_lease_and_journal_and_the_figures_say_so(nats_server: NatsServer) -> None:
    nats_server.kill()
    nats_server.configure(lambda text: re.sub(r"max_file_store: \d+", "max_file_store: 1MB", text))
    await nats_server.start()
    bus = await Bus.connect(nats_server.url, name="central-0", node_id=N1)
    await bus.ensure_layout()
    lease = bus.lease("central", "n1.central-0:1")
    with suppress(BusAway):
        for n in range(400):
            await bus.commit("rm.ev.a.turn.heard", f"e{n}", {"words": "x" * 4000})
    assert bus.figures()["bus_refused_s"] == 0.0, "events are not what people are dialled by"
    async with asyncio.timeout(60):
        while not bus.figures()["bus_refused_s"]:
            with suppress(BusAway):
                await lease.keep()
            await asyncio.sleep(0.2)
    assert bus.figures()["bus_stuck_s"] == 0.0
    await bus.purge(Stream.EVENTS, before=2**40)
    async with asyncio.timeout(60):
        while bus.figures()["bus_refused_s"]:
            with suppress(BusAway):
                await lease.keep()
    assert lease.token
    await bus.close()


async def test_events_that_fill_their_share_give_up_the_oldest_and_journal_leases_and_list_still_find_room(
    nats_server: NatsServer,
) -> None:
    nats_server.kill()
    nats_server.configure(lambda text: re.sub(r"max_file_store: \d+", "max_file_store: 2MB", text))
    await nats_server.start()
    bus = await Bus.connect(nats_server.url, name="edge-0", node_id=N1)
    await bus.ensure_layout(events_bytes=int(0.7 * 2_000_000))
    words = {"words": "x" * 4000}
    for n in range(800):
        bus.record("rm.ev.a.turn.heard", f"e{n}", words)
    async with asyncio.timeout(60):
        await bus.settled()
    assert await bus.commit("rm.campaign.spring", "a1", words) == 1
    assert await bus.kv(Bucket.LEASES).put("central", {"holder": "x"})
    assert await bus.kv(Bucket.DNC).put("ada", {"by": "them"})
    told = [one.event_id async for one in bus.replay(Stream.EVENTS)]
    assert told[-1] == "e799"
    assert 200 < len(told) < 400
    await bus.close()
