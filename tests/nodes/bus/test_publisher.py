"""Records on their way to a stream that fails whenever it likes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.bus import publisher as module
from nodes.bus.publisher import Publisher
from nodes.bus.spool import Record, Spool
from nodes.links.errors import BusAway


class Stream:
    """A stream as its clients know it: drops what it has by id, and fails before or after it has taken something."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = failures
        self.taken: list[str] = []

    async def deliver(self, record: Record) -> None:
        failure = self.failures.pop() if self.failures else ""
        await asyncio.sleep(0)
        if failure == "before":
            raise BusAway
        if record.event_id not in self.taken:
            self.taken.append(record.event_id)
        if failure == "after":
            raise BusAway


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "", "", "before", "after"]), max_size=200), st.integers(1, 150))
def test_however_the_stream_fails_it_gets_everything_and_each_once(failures: list[str], n_records: int):
    async def run() -> list[str]:
        stream, up = Stream(list(failures)), asyncio.Event()
        up.set()
        publisher = Publisher(Spool(None, "edge-0"), stream.deliver, up, Counter())
        for n in range(n_records):
            assert publisher.put(Record(f"e{n}", "s", b"{}"))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(publisher.run())
            await publisher.settled()
            running.cancel()
        return stream.taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RETRY_S", 0.0)
        patch.setattr(module, "GATHERS_S", 0.0)
        assert sorted(asyncio.run(run())) == sorted(f"e{n}" for n in range(n_records))


@settings(deadline=None)
@given(st.lists(st.one_of(st.booleans(), st.none(), st.sampled_from(["before", "after"])), max_size=300))
def test_however_long_it_is_away_what_must_not_be_dropped_arrives_once_and_the_rest_arrives_or_is_counted(
    story: list[bool | str | None],
):
    """True and False: a record that may be dropped, and one that may not. None: the cluster is there for a moment."""

    async def run() -> tuple[list[str], list[str], Counter[str]]:
        stream, up, counts = Stream([]), asyncio.Event(), Counter[str]()
        publisher = Publisher(Spool(None, "edge-0", max_records=5), stream.deliver, up, counts)
        needed, n_tried = list[str](), 0
        async with asyncio.TaskGroup() as group:
            running = group.create_task(publisher.run())
            for n, one in enumerate(story):
                if one is None:
                    up.set()
                    await asyncio.sleep(0)
                    up.clear()
                elif isinstance(one, str):
                    stream.failures.append(one)
                else:
                    is_taken = publisher.put(Record(f"e{n}", "s", b"{}", may_drop=one))
                    assert is_taken or one
                    needed += [] if one else [f"e{n}"]
                    n_tried += 1
            up.set()
            await publisher.settled()
            running.cancel()
        assert len(stream.taken) == n_tried - counts["spool_full"]
        return stream.taken, needed, counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RETRY_S", 0.0)
        patch.setattr(module, "GATHERS_S", 0.0)
        taken, needed, _ = asyncio.run(run())
    assert len(set(taken)) == len(taken)
    assert set(needed) <= set(taken)


async def test_what_was_recorded_before_the_stream_came_is_delivered_in_its_order(tmp_path: Path):
    stream, up = Stream([]), asyncio.Event()
    publisher = Publisher(Spool(tmp_path, "edge-0"), stream.deliver, up, Counter())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(publisher.run())
        for n in range(200):
            publisher.put(Record(f"e{n}", "s", b"{}"))
        up.set()
        await publisher.settled()
        running.cancel()
    assert stream.taken == [f"e{n}" for n in range(200)]


async def test_a_full_spool_refuses_and_counts():
    counts: Counter[str] = Counter()
    publisher = Publisher(Spool(None, "edge-0", max_records=1), Stream([]).deliver, asyncio.Event(), counts)
    assert [publisher.put(Record(f"e{n}", "s", b"{}", may_drop=True)) for n in range(3)] == [True, False, False]
    assert counts == {"spool_full": 2}


async def test_an_error_that_is_not_the_streams_absence_ends_the_publisher(tmp_path: Path):
    async def broken(record: Record) -> None:
        raise ZeroDivisionError

    up = asyncio.Event()
    up.set()
    publisher = Publisher(Spool(tmp_path, "edge-0"), broken, up, Counter())
    publisher.put(Record("e1", "s", b"{}"))
    with pytest.raises(ZeroDivisionError):
        await publisher.run()
    assert len(os.listdir(tmp_path)) == 1, "and what it had is on disk"
