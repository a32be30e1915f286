"""What was recorded while the cluster was away: bounded, in order, and there after a kill."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.bus.spool import Record, Spool


def record(n: int) -> Record:
    return Record(f"e{n}", "rm.ev.c1", b'{"n":%d}' % n, may_drop=True)


def filled(spool: Spool, n: int) -> Spool:
    for one in range(n):
        assert spool.add(record(one))
    return spool


def save(spool: Spool) -> None:
    waiting = spool.unsaved()
    spool.save(waiting)
    spool.saved(len(waiting))


def test_a_full_spool_refuses_the_newest(tmp_path: Path):
    spool = filled(Spool(tmp_path, "edge-0", max_records=3), 3)
    assert spool.used == 1.0
    assert not spool.add(record(3))
    spool.taken(1)
    assert spool.add(record(4))
    assert [one.event_id for one in spool.first(9)] == ["e1", "e2", "e4"]


def test_what_may_not_be_dropped_finds_room_in_a_full_spool(tmp_path: Path):
    spool = filled(Spool(tmp_path, "edge-0", max_records=3), 3)
    assert spool.add(Record("end", "rm.ev.c1", b"{}"))
    assert not spool.add(record(4))
    assert [one.event_id for one in spool.first(9)] == ["e0", "e1", "e2", "end"]
    assert spool.used > 1.0


def test_a_spool_is_full_by_bytes_as_well(tmp_path: Path):
    spool = Spool(tmp_path, "edge-0", max_bytes=20)
    assert [spool.add(record(n)) for n in range(4)] == [True, True, False, False]
    spool.taken(1)
    assert spool.add(record(4))


def test_a_process_leaves_no_file_when_everything_was_taken(tmp_path: Path):
    spool = filled(Spool(tmp_path, "edge-0"), 3)
    save(spool)
    (path,) = tmp_path.iterdir()
    assert len(path.read_text().splitlines()) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    spool.taken(3)
    assert path.read_text() == ""
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path):
    save(filled(Spool(tmp_path, "edge-0"), 3))
    assert Spool(tmp_path, "edge-1").adopt() == []


def test_a_torn_line_is_dropped_and_counted_and_the_others_are_adopted(tmp_path: Path):
    (tmp_path / "edge-0.1.jsonl").write_bytes(b'{"event_id":"a","subject":"s","body":{}}\n\xff\n{"event_id":"b","sub')
    spool = Spool(tmp_path, "edge-1")
    assert spool.adopt() == [Record("a", "s", b"{}")]
    assert spool.n_torn == 2


def test_without_a_directory_everything_lives_in_memory():
    spool = filled(Spool(None, "cli"), 2)
    save(spool)
    assert spool.adopt() == []
    spool.close()


def test_what_a_full_disk_takes_in_part_is_an_error_and_leaves_no_torn_line(tmp_path: Path):
    spool = filled(Spool(tmp_path, "edge-0"), 2)
    save(spool)
    spool.add(record(2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / os.listdir(tmp_path)[0]).stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            save(spool)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [one.event_id for one in spool.unsaved()] == ["e2"]
    save(spool)
    assert len((tmp_path / os.listdir(tmp_path)[0]).read_text().splitlines()) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from nodes.bus.spool import Record, Spool

spool = Spool(Path(sys.argv[1]), "edge-0")
for n in range(100):
    spool.add(Record(f"e{n}", "rm.ev.c1", b"{}"))
spool.save(spool.unsaved())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_had_saved_is_adopted_in_order_once(tmp_path: Path):
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert died.returncode == -signal.SIGKILL
    heir = Spool(tmp_path, "edge-0-spare")
    heir.adopted(heir.adopt())
    assert [one.event_id for one in heir.first(200)] == [f"e{n}" for n in range(100)]
    assert heir.unsaved() == [], "it is in the heir's own file"
    assert Spool(tmp_path, "third").adopt() == [], "and the heir lives"


steps = st.lists(st.sampled_from(["add", "save", "take", "die"]), max_size=40)


@given(steps)
def test_whoever_dies_when_everything_saved_and_not_taken_is_found_in_its_order(done: list[str]):
    with tempfile.TemporaryDirectory() as name:
        directory, life, n = Path(name), 0, 0
        spool = Spool(directory, "p0")
        waiting: list[str] = []  # the model: what should wait, and how many of them are safe
        n_safe = 0
        for step in done:
            if step == "add":
                spool.add(record(n))
                waiting.append(f"e{n}")
                n += 1
            elif step == "save":
                save(spool)
                n_safe = len(waiting)
            elif step == "take" and waiting:
                spool.taken(1)
                waiting.pop(0)
                n_safe = max(0, n_safe - 1)
            elif step == "die":
                if spool._fd is not None:
                    os.close(spool._fd)  # as the kernel does it
                life += 1
                spool = Spool(directory, f"p{life}")
                spool.adopted(spool.adopt())
                found = [one.event_id for one in spool.first(1000)]
                # taken ones may come again while the file holds others: the stream knows them by their id
                assert found[len(found) - n_safe :] == waiting[:n_safe]
                assert found == sorted(found, key=lambda one: int(one[1:]))
                waiting, n_safe = found, len(found)
        spool.close()
