"""What may go wrong while days become files: killed at any step, a full disk, a bad one, one that is not there."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from nodes.recorder import archive as module
from nodes.recorder.store import Store, StoreUnwritable
from tests.nodes.recorder.test_archive import NOON, archive, at_each_line, files, in_database, of_days, reported, told

TODAY, ALL_LEAVE = "2026-03-04", "2026-03-05"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ringmaster.duckdb"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()


def drafts(directory: Path) -> list[Path]:
    return list(directory.rglob(".*.parquet"))


def test_whatever_the_step_at_which_it_is_killed_every_event_is_there_once_and_the_next_life_goes_on(
    store: Store, database: Path, tmp_path: Path
) -> None:
    rows = [*of_days(2), told("late", NOON - timedelta(days=1))]
    store.write(rows[:-1])
    archive(store, "2026-03-03", ALL_LEAVE)
    store.write(rows)
    looks = dict[object, Path]()

    def copy() -> None:
        """What a process that is killed now leaves on the disk."""
        stats = [(path, path.stat()) for path in database.parent.rglob("*")]
        found = frozenset((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
        if found not in looks:
            looks[found] = shutil.copytree(database.parent, tmp_path / str(len(looks)))

    at_each_line(lambda: archive(store, TODAY, ALL_LEAVE), copy)
    assert len(looks) >= 6
    assert any(drafts(left) for left in looks.values()), "one was killed with a file half made"
    for left in looks.values():
        again = Store(left / database.name)
        made = reported(again)
        assert (made.attempts, made.events, made.note) == (7, 7, "")
        again.write(rows)  # the stream gives again what was not acknowledged
        archive(again, TODAY, ALL_LEAVE)
        made = reported(again)
        assert (made.attempts, made.events, made.archived, in_database(again)) == (7, 7, 7, 0)
        again.close()
        assert not drafts(left)


def test_on_a_full_disk_a_day_stays_in_the_database_and_leaves_no_half_of_a_file(store: Store, database: Path) -> None:
    store.write(of_days(2, 5000))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
    try:
        with pytest.raises(StoreUnwritable, match="File too large"):
            store.archive("2026-03-02", drops=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, was)
    assert (reported(store).attempts, in_database(store)) == (10_000, 10_000)
    assert (files(database.parent), drafts(database.parent)) == ([], [])
    archive(store, TODAY, ALL_LEAVE)
    assert (reported(store).attempts, in_database(store)) == (10_000, 0)


@pytest.mark.parametrize("what", ["WHERE n < 3", "SELECT replaced", ""], ids=["a row less", "another value", "garbage"])
def test_a_file_that_is_not_what_it_was_made_from_takes_nobodys_place(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store.write(of_days(2))
    assert store.archive("2026-03-02", drops=False) == 3
    store.write([told("late", NOON - timedelta(days=1))])
    path = database.parent / "archive" / "day=2026-03-02" / "ringmaster.parquet"
    good, real = path.read_bytes(), module._sync

    def spoil(file: Path) -> None:
        """What a disk may do between writing and reading."""
        if file.name.startswith("."):
            rows = duckdb.sql(f"SELECT * FROM '{file}' LIMIT 3").fetchall()
            assert len(rows) == 3
            if what.startswith("WHERE"):
                duckdb.sql(f"COPY (SELECT * FROM read_parquet('{path}')) TO '{file}' (FORMAT parquet)")
            elif what:
                changed = f"SELECT * REPLACE ('other' AS call_id) FROM read_parquet('{file}')"
                duckdb.sql(f"CREATE OR REPLACE TABLE spoilt AS {changed}")
                duckdb.sql(f"COPY spoilt TO '{file}' (FORMAT parquet)")
            else:
                file.write_bytes(good[:50] + bytes(200) + good[250:])
        real(file)

    monkeypatch.setattr(module, "_sync", spoil)
    with pytest.raises((StoreUnwritable, duckdb.Error)):
        store.archive("2026-03-02", drops=True)
    assert path.read_bytes() == good
    assert (drafts(database.parent), in_database(store), reported(store).events) == ([], 7, 7)
    monkeypatch.undo()
    archive(store, TODAY, ALL_LEAVE)
    assert (in_database(store), reported(store).events) == (0, 7)


def test_rows_leave_only_for_a_file_that_has_their_ids_whatever_it_has_else(store: Store, database: Path) -> None:
    store.write(of_days(1))
    store.archive("2026-03-03", drops=False)
    path = database.parent / "archive" / "day=2026-03-03" / "ringmaster.parquet"
    other = "SELECT * REPLACE (event_id || 'x' AS event_id, attempt_id || 'x' AS attempt_id)"
    duckdb.sql(f"CREATE OR REPLACE TABLE others AS {other} FROM read_parquet('{path}')")
    duckdb.sql(f"COPY others TO '{path}' (FORMAT parquet)")
    archive(store, TODAY, ALL_LEAVE)
    assert (in_database(store), reported(store).events, reported(store).attempts) == (0, 6, 6)


def test_a_directory_that_is_not_mounted_is_missed_in_reports_and_nothing_is_written_below_its_mount_point(
    database: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    store = Store(database, disk)
    store.write(of_days(3))
    archive(store, "2026-03-02", ALL_LEAVE)
    assert sorted(path.name for path in disk.iterdir()) == ["day=2026-03-01"]
    disk.rename(tmp_path / "unplugged")
    disk.mkdir()
    assert reported(store).note == f"3 events are missing in {disk}: of 2026-03-01"
    with pytest.raises(StoreUnwritable, match="is not where it was put"):
        store.archive("2026-03-02", drops=True)
    assert (in_database(store), reported(store).events, list(disk.iterdir())) == (6, 6, [])
    disk.rmdir()
    (tmp_path / "unplugged").rename(disk)
    archive(store, TODAY, ALL_LEAVE)
    assert (in_database(store), reported(store).events, reported(store).note) == (0, 9, "")
    store.close()


def test_a_file_that_was_set_aside_is_missed_and_holds_up_nothing(store: Store, database: Path) -> None:
    store.write(of_days(3))
    archive(store, "2026-03-02", ALL_LEAVE)
    (database.parent / "archive" / "day=2026-03-01" / "ringmaster.parquet").write_bytes(b"no parquet")
    assert reported(store).attempts == 6
    assert reported(store).note == f"3 events are missing in {database.parent / 'archive'}: of 2026-03-01"
    archive(store, TODAY, ALL_LEAVE)
    assert (in_database(store), reported(store).events) == (0, 6)


def test_a_database_that_was_put_back_from_a_copy_goes_on_behind_what_has_left_it_since(
    store: Store, database: Path, tmp_path: Path
) -> None:
    store.write(of_days(2))
    archive(store, TODAY, kept_from="")
    store.close()
    shutil.copy(database, tmp_path / "copy")
    newer = Store(database)
    newer.write([told("late", NOON - timedelta(days=1))])
    archive(newer, TODAY, ALL_LEAVE)
    newer.close()
    shutil.copy(tmp_path / "copy", database)
    again = Store(database)
    assert (reported(again).events, reported(again).attempts) == (7, 7)
    archive(again, TODAY, kept_from="")
    assert (reported(again).events, reported(again).attempts, in_database(again)) == (7, 7, 3)
    archive(again, TODAY, ALL_LEAVE)
    assert (reported(again).events, reported(again).archived, in_database(again)) == (7, 7, 0)
    again.close()


def test_a_report_says_what_is_in_files_alone(store: Store) -> None:
    store.write(of_days(3))
    archive(store, TODAY, kept_from="2026-03-03")
    made = reported(store)
    assert (made.events, made.archived, made.archived_from, made.archived_to) == (9, 6, "2026-03-01", "2026-03-02")
