"""Days that are over become files and leave the database: nothing is lost by it, and nothing is counted twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nodes.recorder import archive as module
from nodes.recorder.figures import report
from nodes.recorder.reports import figures
from nodes.recorder.store import Row, Store
from protocols.wire.reports import GetFigures, Report

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
ARCHIVE_FOR_EVER = """
import sys
from pathlib import Path
from nodes.recorder.store import Store
store = Store(Path(sys.argv[1]))
print("open", flush=True)
for day in store.days_over("2026-03-31"):
    store.archive(day, drops=True)
print("done", flush=True)
"""


def told(call: str, at: datetime, n: int = 1) -> Row:
    """The only event of a call that begins at `at`, or a later one of it."""
    kind = "call.placing" if n == 1 else "turn.heard"
    values = {"event_id": f"{call}:{n}", "call_id": call, "attempt_id": call, "campaign_id": "spring", "node_id": "n1",
              "wall": at.isoformat(), "seq": n, "kind": kind, "fields": {"name": "\u738b"}}  # fmt: skip
    return Row("events", values)


def of_days(n_days: int, n: int = 3) -> list[Row]:
    return [told(f"{day}-{call}", NOON - timedelta(days=day)) for day in range(n_days) for call in range(n)]


def reported(store: Store, since: str = "", until: str = "") -> Report:
    return report(figures(store, GetFigures(since=since, until=until)))


def archive(store: Store, today: str, kept_from: str, is_hourly: bool = False) -> None:
    for day in store.days_over(today):
        store.archive(day, drops=day < kept_from)
    if is_hourly and today in store.days_over("9999-12-31"):
        store.archive(today, drops=False)


def files(directory: Path) -> list[str]:
    return sorted(path.parent.name for path in directory.glob("archive/day=*/ringmaster.parquet"))


def at_each_line(work: Callable[[], object], look: Callable[[], object]) -> None:
    """Do the work, and look before each line of the archive's code that it comes to."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            look()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "the 'state'" / "ringmaster.duckdb"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()


def in_database(store: Store) -> int:
    return int(str(store.records("SELECT count(*) AS n FROM shard0.events")[0]["n"]))


def test_days_that_are_over_are_files_for_anybody_and_old_ones_only_that(store: Store, database: Path) -> None:
    store.write(of_days(3))
    archive(store, today="2026-03-03", kept_from="2026-03-02")
    assert files(database.parent) == ["day=2026-03-01", "day=2026-03-02"]
    pattern = str(database.parent / "archive" / "*" / "*.parquet").replace("'", "''")
    rows = duckdb.sql(
        f"SELECT day, count(*), min(fields->>'name') FROM read_parquet('{pattern}') GROUP BY 1 ORDER BY 1"
    )
    assert [(str(day), n, name) for day, n, name in rows.fetchall()] == [
        ("2026-03-01", 3, "\u738b"), ("2026-03-02", 3, "\u738b"),
    ]  # fmt: skip
    assert in_database(store) == 6
    assert (reported(store).attempts, reported(store).events) == (9, 9)
    assert reported(store, until="2026-03-02T00:00:00+00:00").attempts == 3
    assert reported(store, since="2026-03-02T00:00:00+00:00").attempts == 6


def test_what_comes_late_of_a_day_that_is_gone_is_counted_once_however_often_it_comes(store: Store) -> None:
    store.write(of_days(3))
    archive(store, today="2026-03-04", kept_from="2026-03-03")
    late = told("late", NOON - timedelta(days=2))
    for _ in range(3):
        store.write([late, *of_days(3)])
        assert (reported(store).attempts, reported(store).events) == (10, 10)
        assert reported(store, until="2026-03-02T00:00:00+00:00").attempts == 4
        archive(store, today="2026-03-04", kept_from="2026-03-03")
        assert (reported(store).attempts, reported(store).events) == (10, 10)
        assert in_database(store) == 3


def test_a_day_of_which_more_came_is_written_again_and_one_that_is_whole_is_not(store: Store) -> None:
    store.write(of_days(1))
    assert store.archive("2026-03-03", drops=False) == 3
    assert store.archive("2026-03-03", drops=False) == 0
    store.write([told("late", NOON)])
    assert store.archive("2026-03-03", drops=False) == 4
    assert reported(store).attempts == 4


def test_a_call_over_midnight_is_one_attempt_though_half_of_it_is_a_file(store: Store) -> None:
    midnight = datetime.fromisoformat("2026-03-04T00:00:00+00:00")
    store.write([told("c", midnight - timedelta(seconds=1), 1), told("c", midnight, 2)])
    archive(store, today="2026-03-05", kept_from="2026-03-04")
    made = reported(store)
    assert (made.attempts, made.turns_understood, made.events) == (1, 1, 2)
    assert reported(store, since=midnight.isoformat()).attempts == 0


def test_a_new_database_goes_on_behind_the_archive_also_with_what_the_stream_still_has(database: Path) -> None:
    store = Store(database)
    store.write(of_days(4))
    archive(store, today="2026-03-04", kept_from="2026-03-01")
    store.close()
    database.unlink()
    again = Store(database)
    again.write([*of_days(2), told("new", NOON)])
    assert (reported(again).attempts, reported(again).events) == (13, 13)
    archive(again, today="2026-03-04", kept_from="")
    assert (reported(again).attempts, reported(again).events) == (13, 13)
    again.close()


def test_a_file_that_cannot_be_read_is_set_aside_and_the_database_is_not(store: Store, database: Path) -> None:
    store.write(of_days(2))
    archive(store, today="2026-03-04", kept_from="2026-03-05")
    assert in_database(store) == 0
    file = database.parent / "archive" / "day=2026-03-02" / "ringmaster.parquet"
    good = file.read_bytes()
    file.write_bytes(good[:50] + b"\x00" * 200 + good[250:])
    assert reported(store).attempts == 3
    assert [path.suffix[:8] for path in file.parent.iterdir()] == [".broken-"]
    file.write_bytes(b"no parquet")
    assert reported(store).attempts == 3
    assert database.exists()


def test_a_report_that_is_made_while_days_leave_the_database_has_every_event_once(store: Store) -> None:
    store.write(of_days(20, 50))
    found = set[int]()
    with ThreadPoolExecutor(1) as writer:
        archiving = writer.submit(archive, store, "2026-03-04", "2026-03-05")
        while not archiving.done():
            found |= {reported(store).attempts, reported(store).events}
    assert found == {1000}
    assert in_database(store) == 0


def test_killed_while_days_leave_the_database_every_event_is_there_once(database: Path) -> None:
    store = Store(database)
    store.write(of_days(20, 50))
    store.close()
    for n_days in (1, 6, 0):
        argv = [sys.executable, "-c", ARCHIVE_FOR_EVER, str(database)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as archiving:
            assert archiving.stdout
            assert archiving.stdout.readline() == "open\n"
            while archiving.poll() is None and (not n_days or len(files(database.parent)) < n_days):
                time.sleep(0.001)
            archiving.kill()
        store = Store(database)
        assert (reported(store).attempts, reported(store).events) == (1000, 1000)
        store.close()
    assert len(files(database.parent)) == 20


class Archiving(RuleBasedStateMachine):
    """Events of four days in any order, again and again; days archived, dropped; the database lost, its stream left."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="rm-archive-")
        self.database = Path(self.directory.name) / "ringmaster.duckdb"
        self.store = Store(self.database)
        self.copy = Path(self.directory.name).with_suffix(".copy")
        self.kept: dict[str, str] = {}

    @rule(calls=st.lists(st.tuples(st.sampled_from(DAYS), st.integers(0, 3)), max_size=5))
    def write(self, calls: list[tuple[str, int]]) -> None:
        rows = [told(f"{day}-{n}", datetime.fromisoformat(f"{day}T10:00:00+00:00")) for day, n in calls]
        self.store.write(rows)
        self.kept |= {f"{day}-{n}": day for day, n in calls}

    @rule(today=st.sampled_from(DAYS), kept_from=st.sampled_from(DAYS), is_hourly=st.booleans())
    def archive(self, today: str, kept_from: str, is_hourly: bool) -> None:
        archive(self.store, today, kept_from, is_hourly)

    @rule(today=st.sampled_from(DAYS), kept_from=st.sampled_from(DAYS), is_hourly=st.booleans(), at=st.integers(0, 150))
    def be_killed_while_archiving(self, today: str, kept_from: str, is_hourly: bool, at: int) -> None:
        """Go on from what is on the disk before the line that is reached as the `at`th, or after the last."""
        left, lines = Path(self.directory.name) / "left", count()

        def copy() -> None:
            if next(lines) == at:
                shutil.copytree(self.database.parent, left, ignore=shutil.ignore_patterns("left"))

        at_each_line(lambda: archive(self.store, today, kept_from, is_hourly), copy)
        self.store.close()
        if left.exists():
            for path in [path for path in self.database.parent.iterdir() if path != left]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in left.iterdir():
                path.rename(self.database.parent / path.name)
            left.rmdir()
        self.store = Store(self.database)

    @rule()
    def put_back_a_copy(self) -> None:
        """Of before everything that was archived since, while the stream has all that came since."""
        if self.copy.exists():
            self.store.close()
            shutil.copy(self.copy, self.database)
            self.store = Store(self.database)
            self.write_all_again()
        else:
            self.store.close()
            shutil.copy(self.database, self.copy)
            self.store = Store(self.database)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.database)

    @rule()
    def lose_the_database(self) -> None:
        self.store.close()
        self.database.unlink()
        self.store = Store(self.database)
        self.write_all_again()

    def write_all_again(self) -> None:
        wall = {day: datetime.fromisoformat(f"{day}T10:00:00+00:00") for day in DAYS}
        self.store.write([told(name, wall[day]) for name, day in self.kept.items()])  # the stream has it all

    @invariant()
    def every_event_is_there_once(self) -> None:
        made = reported(self.store, f"{DAYS[1]}T00:00:00+00:00", f"{DAYS[3]}T00:00:00+00:00")
        assert made.events == len(self.kept)
        assert made.attempts == sum(day in DAYS[1:3] for day in self.kept.values())

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()
        self.copy.unlink(missing_ok=True)


TestArchiving = Archiving.TestCase
TestArchiving.settings = settings(max_examples=4, stateful_step_count=12, deadline=None)
