"""The disk as an heir: what is on it when the edge is killed, and what becomes of a disk that is full or broken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes.call.record import CallPhase, CallRecord
from nodes.edge import disk as module
from nodes.edge.disk import Disk
from nodes.edge.record_store import RecordStore, version
from nodes.edge.standby_records import StandbyRecords
from nodes.links.tasks import Tasks
from protocols.wire.ids import CallId
from tests.nodes.edge.records import record


class Edge:
    """The calls of one edge, and its disk."""

    def __init__(self, path: Path, launcher: str = "launcher", former: Sequence[Path] = ()) -> None:
        self.calls: dict[CallId, RecordStore] = {}
        self.standby = StandbyRecords()
        self.disk = Disk(path, launcher, self.calls, self.standby.last_over, tuple, former)

    def has(self, made: CallRecord) -> RecordStore:
        store = self.calls[made.order.call_id] = RecordStore(made, self._wrote)
        return store

    def _wrote(self, store: RecordStore) -> None:
        self.disk.wrote(store)
        if store.record.phase is CallPhase.DONE:
            del self.calls[store.record.order.call_id]
            self.standby.ended(store.record.order.call_id)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        tasks = Tasks()
        await tasks.open()
        tasks.spawn(self.disk.run())
        try:
            yield
        finally:
            await tasks.close()
            self.disk.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls" / "checkpoint"


def on_disk(path: Path) -> dict[str, CallRecord]:
    """What a successor would find now."""
    found = Edge(path).disk.read()
    return {one.order.call_id: one for one in found.standby.take()} if found else {}


def look(path: Path) -> os.stat_result:
    return path.stat()


def listed(path: Path) -> list[Path]:
    return list(path.iterdir())


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.01)


async def test_the_newest_record_of_each_call_is_on_disk_and_none_of_a_call_that_is_over(path: Path) -> None:
    edge = Edge(path)
    one, two = edge.has(record("c1")), edge.has(record("c2"))
    async with edge.writing():
        one.write(n_events=7)
        two.write(n_events=8)
        await until(lambda: {n: found.n_events for n, found in on_disk(path).items()} == {"c1": 7, "c2": 8})
        two.write(phase=CallPhase.DONE)
        await until(lambda: list(on_disk(path)) == ["c1"])
    found = Edge(path).disk.read()
    assert found
    assert found.standby.has_been(CallId("c2"))
    assert look(path).st_mode & 0o077 == 0


async def test_what_an_edge_has_left_that_there_is_no_more_is_the_first_ones_once_that_has_written_it(
    path: Path,
) -> None:
    """The node was given fewer edges: nobody else would end those calls, or say that they are lost."""
    gone, living = path.with_name("checkpoint-edge-1"), path.with_name("checkpoint-edge-2")
    for file, name, launcher in ((gone, "c1", "before"), (living, "c2", "launcher")):
        edge = Edge(file, launcher)
        async with edge.writing():
            edge.has(record(name)).write(n_events=7)
            await until(lambda file=file: on_disk(file))
    first = Edge(path, former=(gone, living, path.with_name("checkpoint-edge-3")))
    (left,) = first.disk.abandoned()
    assert list(left.standby.calls) == ["c1"], "whoever has written under this launcher lives"
    assert gone.exists()
    store = first.has(record("c1"))
    async with first.writing():
        store.write(n_events=8)
        await until(lambda: not gone.exists())
    assert list(on_disk(path)) == ["c1"]
    assert living.exists()


async def test_a_hundred_writes_in_a_row_are_one_on_disk_and_an_answer_is_there_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_S", 60.0)
    edge = Edge(path)
    call = edge.has(record(phase=CallPhase.RINGING, answered_s=0.0))
    async with edge.writing():
        for n in range(100):
            call.write(n_events=n)
        call.write(phase=CallPhase.ANSWERED)
        await until(lambda: on_disk(path))
        size = look(path).st_size
    assert size < 3000
    assert on_disk(path)["c1"].n_events == 99


async def test_what_is_urgent_is_written_alone_and_the_rest_in_its_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At ten dials a second the records of all other calls must not be written ten times a second."""
    edge = Edge(path)
    one, two = edge.has(record("c1")), edge.has(record("c2"))
    async with edge.writing():
        one.write(n_events=1)
        await until(lambda: on_disk(path))
        monkeypatch.setattr(module, "FLUSH_S", 60.0)
        one.write(n_events=2)
        two.write(n_events=2)
        edge.disk.hurry(CallId("c1"))
        await until(lambda: edge.disk.keeps(CallId("c1"), version(one.record)))
        assert (on_disk(path)["c1"].n_events, on_disk(path)["c2"].n_events) == (2, 0)
        assert not edge.disk.keeps(CallId("c2"), version(two.record))
    assert on_disk(path)["c2"].n_events == 2


async def test_while_there_are_calls_the_disk_says_until_when_the_edge_lived(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    edge = Edge(path)
    edge.has(record()).write(n_events=1)
    async with edge.writing():
        await until(lambda: on_disk(path))
        before = edge.disk.read()
        assert before
        await until(lambda: (now := edge.disk.read()) and now.alive_s > before.alive_s)


async def test_a_file_that_has_grown_is_written_anew_with_everything_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SMALLEST", 4000)
    monkeypatch.setattr(module, "FLUSH_S", 0.0)
    edge = Edge(path)
    call, other = edge.has(record("c1")), edge.has(record("c2"))
    edge.has(record("c0")).write(phase=CallPhase.DONE)
    other.write(n_events=1)
    async with edge.writing():
        await until(lambda: on_disk(path))
        first = look(path).st_ino
        n = 0
        while look(path).st_ino == first:
            n += 1
            call.write(n_events=n)
            await asyncio.sleep(0.002)
    assert on_disk(path)["c1"].n_events == n
    assert on_disk(path)["c2"].n_events == 1
    found = Edge(path).disk.read()
    assert found
    assert found.standby.has_been(CallId("c0"))
    assert look(path).st_size < 12_000


async def test_calls_do_not_notice_a_disk_that_refuses_and_it_is_whole_when_it_takes_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    path.parent.write_text("a file where the directory is to be")
    edge = Edge(path)
    call = edge.has(record("c1"))
    edge.has(record("c2"))
    async with edge.writing():
        call.write(n_events=1)
        await until(lambda: edge.disk.n_failed > 1)
        path.parent.unlink()
        await until(lambda: set(on_disk(path)) == {"c1", "c2"})


def test_nothing_is_found_where_nothing_was_written(path: Path) -> None:
    assert on_disk(path) == {}


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"garbage"), lambda path: path.mkdir()])
async def test_what_cannot_be_read_is_set_aside_and_stops_nobody(path: Path, make: Callable[[Path], object]) -> None:
    path.parent.mkdir()
    make(path)
    assert Edge(path).disk.read() is None
    assert [one.name for one in listed(path.parent)] == ["checkpoint.unreadable"]
