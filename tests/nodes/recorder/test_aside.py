"""A report database that cannot be used is set aside, and a new one is filled: nobody waits for a file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from nodes.bus.bus import Bus
from nodes.recorder.aside import opened
from nodes.recorder.figures import report
from nodes.recorder.process import Recorder
from nodes.recorder.reports import figures
from nodes.recorder.store import Store, dead_letter
from protocols.wire import events
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.reports import GetFigures
from protocols.wire.subjects import Stream, call_event
from tests.conftest import NatsServer

N_EVENTS = 400
LOOK = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
print(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
"""


def filled(database: Path) -> bytes:
    """Make a database of several blocks, and return its bytes."""
    store = Store(database)
    for stream in Stream:
        store.fill(stream)
    store.write([dead_letter(f"letter {n}", "reason", f"{n:09}" * 60) for n in range(4000)])
    store.close()
    return database.read_bytes()


def of_another_version(database: Path) -> None:
    database.unlink()
    connection = duckdb.connect(str(database))
    connection.execute("CREATE TABLE dead_letters (letter_id VARCHAR PRIMARY KEY, weight DOUBLE)")
    connection.close()


UNUSABLE: dict[str, Callable[[Path, bytes], object]] = {
    "empty": lambda database, good: database.write_bytes(b""),
    "no database": lambda database, good: database.write_bytes(os.urandom(20_000)),
    "cut after the head": lambda database, good: database.write_bytes(good[:5000]),
    "of another version": lambda database, good: of_another_version(database),
}


@pytest.mark.parametrize("how", UNUSABLE)
def test_what_cannot_be_opened_is_set_aside_and_kept_and_the_new_one_says_so(how: str, tmp_path: Path) -> None:
    database = tmp_path / "ringmaster.duckdb"
    UNUSABLE[how](database, filled(database))
    unusable = database.read_bytes()
    store = opened(database)
    assert not store.is_filled(Stream.EVENTS)
    (aside,) = tmp_path.glob("ringmaster.duckdb.broken-*Z")
    assert aside.read_bytes() == unusable
    said = report(figures(store, GetFigures()))
    assert aside.name in said.note
    assert said.dead_letters == 0
    store.close()
    again = opened(database)
    assert again.note == said.note
    again.close()


def test_a_file_that_somebody_else_keeps_open_is_set_aside_after_a_while(tmp_path: Path) -> None:
    database = tmp_path / "ringmaster.duckdb"
    filled(database)
    argv = (sys.executable, "-c", LOOK, str(database))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdin
        assert looking.stdout
        looking.stdout.readline()
        store = opened(database, locked_s=0.0)
        assert "lock" in store.note
        store.close()
        looking.stdin.close()
        assert looking.stdout.readline() == "4000\n"


def event(n: int) -> CallEvent:
    ids = CallId(f"c{n % 20}"), AttemptId(""), CampaignId(""), NodeId("n1")
    wall = events.datetime.fromisoformat("2026-03-03T12:00:00+00:00")
    return CallEvent(f"e{n}", *ids, wall, 1, Kind.RINGING, {"after_ms": n})


def overwritten(database: Path) -> None:
    """Damage what lies between the heads of the file and its last block."""
    good = database.read_bytes()
    database.write_bytes(good[:20_000] + os.urandom(len(good) - 40_000) + good[-20_000:])


def cut_in_the_middle(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


@pytest.mark.parametrize("damaged", [overwritten, cut_in_the_middle])
async def test_damage_that_shows_later_is_found_and_everything_comes_again_from_the_stream(
    damaged: Callable[[Path], None], nats_server: NatsServer, tmp_path: Path
) -> None:
    database = tmp_path / "ringmaster.duckdb"
    bus = await Bus.connect(nats_server.url, name="recorder-0", node_id=NodeId("n1"))
    await bus.ensure_layout()
    for made in map(event, range(N_EVENTS)):
        bus.record(call_event(made.call_id, made.kind), made.event_id, events.to_body(made))
    await bus.settled()
    consumer = bus.consume(Stream.EVENTS, "recorder")  # a predecessor has acknowledged everything
    await consumer.ack(await consumer.fetch())
    filled(database)
    damaged(database)
    recorder = Recorder(opened(database), bus)
    recording = asyncio.create_task(recorder.consume(Stream.EVENTS))
    try:
        async with asyncio.timeout(60):
            while True:
                await recorder._read(lambda store: store.records("SELECT max(body) FROM dead_letters"))
                (row,) = await recorder._read(lambda store: store.records("SELECT count(*) AS n FROM events"))
                if row["n"] == N_EVENTS:
                    break
                await asyncio.sleep(0.02)
        assert recorder.counts["set_aside"] <= 1
        assert ".broken-" in recorder._store.note
    finally:
        recording.cancel()
        await asyncio.wait([recording])
        await recorder.close()
        await bus.close()
