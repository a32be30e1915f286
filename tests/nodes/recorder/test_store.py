"""Each row once, whatever happens to the batch, the disk or the process."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.recorder.store import Row, Store, StoreLocked, StoreUnwritable, dead_letter

HOLD = """
import sys
from pathlib import Path
from nodes.recorder.store import Store
store = Store(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
WRITE_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from nodes.recorder.store import Row, Store
store = Store(Path(sys.argv[1]))
for batch in count():
    store.write([Row("outcomes", {"attempt_id": f"{batch}/{n}", "campaign_id": "c", "contact_id": "k",
        "disposition": "busy", "cause": "", "wall": "2026-03-03T12:00:00Z"}) for n in range(50)])
    print(batch, flush=True)
"""


def event(n: int, **changed: Any) -> Row:
    values: dict[str, Any] = {
        "event_id": f"e{n}", "call_id": f"c{n}", "attempt_id": "", "campaign_id": "", "node_id": "n1",
        "wall": "2026-03-03T12:00:00+01:00", "seq": n, "kind": "call.ringing", "fields": {"after_ms": n, "name": "王"},
    }  # fmt: skip
    return Row("events", {**values, **changed})


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "the 'state'" / "ringmaster.duckdb"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()


def count(store: Store, table: str = "events") -> int:
    (row,) = store.records(f"SELECT count(*) AS n FROM {table}")
    assert isinstance(row["n"], int)
    return row["n"]


def test_a_batch_that_comes_twice_is_written_once(store: Store) -> None:
    batch = [event(n) for n in range(100)]
    assert store.write(batch) == 100
    assert store.write([*batch, event(100)]) == 1
    assert count(store) == 101


def test_the_same_event_twice_in_one_batch_is_written_once(store: Store) -> None:
    assert store.write([event(1), event(1)]) == 1


def test_what_was_written_comes_back_as_it_was(store: Store) -> None:
    store.write([event(7)])
    (row,) = store.records("SELECT kind, seq, fields->>'name' AS name, epoch(wall) AS wall FROM events")
    assert row == {"kind": "call.ringing", "seq": 7, "name": "王", "wall": 1772535600.0}


@pytest.mark.parametrize(
    "changed",
    [{"wall": "yesterday"}, {"seq": -1}, {"seq": 2**70}, {"fields": {"a": "\ud800"}}, {"event_id": None}],
    ids=["no moment", "negative", "too large", "half a character", "no key"],
)
def test_a_poisoned_row_becomes_a_dead_letter_and_the_others_are_written(store: Store, changed: dict[str, Any]) -> None:
    batch = [event(1), event(2, **changed), event(3)]
    store.write(batch)
    store.write(batch)
    assert count(store) == 2
    assert count(store, "dead_letters") == 1


def test_a_file_that_another_process_has_open_is_refused_with_its_name(database: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreLocked, match=r"ringmaster\.duckdb.*lock"):
            Store(database)
        holder.communicate()
    Store(database).close()


def test_a_full_disk_is_said_and_once_there_is_room_the_same_batch_is_written(store: Store, database: Path) -> None:
    batch = [event(n, fields={"name": "x" * 1000}) for n in range(500)]
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    try:
        with pytest.raises(StoreUnwritable, match="File too large"):
            store.write(batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, was)
    assert count(store) == 0
    assert store.write(batch) == 500


def test_a_killed_writer_has_written_whole_batches_and_every_one_it_said(database: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, database], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(20)]
    writer.kill()
    said += [int(line) for line in writer.communicate()[0].splitlines()]
    store = Store(database)
    per_batch = store.records(
        "SELECT split_part(attempt_id, '/', 1)::INT AS batch, count(*) AS n FROM outcomes GROUP BY 1"
    )
    store.close()
    assert {row["n"] for row in per_batch} == {50}
    assert {row["batch"] for row in per_batch} >= set(said)


def test_a_dead_letter_has_a_bounded_size(store: Store) -> None:
    store.write([dead_letter("x", "r" * 10_000, "b" * 100_000)])
    (row,) = store.records("SELECT length(reason) AS reason, length(body) AS body FROM dead_letters")
    assert row == {"reason": 500, "body": 10_000}


def test_the_database_reaches_no_file_outside_its_directory(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="disabled by configuration"):
        store.records(f"SELECT * FROM read_text('{tmp_path / 'secret'}')")
