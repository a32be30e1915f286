"""A backup that is encrypted: checked by anybody, opened by who has its key, and no file of it is taken for another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodes import backup
from nodes.backup_sealed import opened, seal_all
from nodes.storage.sealing import Key, NotSealed

FILES = {"state/contact.key": b"0123", "recordings/0/c1.wav": bytes(range(256)) * 5000, "campaigns/empty": b""}
KEY = Key.of(bytes(32))
ENDED_NS = 1_772_532_000_000_000_000


def made(to: Path, at: str = "2026-03-03T10:00:00+00:00") -> Path:
    """Make an encrypted backup of FILES."""
    writing = backup.Writing(to, f"n1-{at}")
    for name, data in FILES.items():
        (source := to / "source").write_bytes(data)
        os.utime(source, ns=(ENDED_NS, ENDED_NS))
        writing.copy(source, name)
    told = backup.Manifest(backup.FORMAT, "0.1.0", "n1", at, "fingerprint", ())
    return writing.finish(seal_all(KEY, writing.path, told))


def test_who_has_the_key_has_each_file_as_it_was_and_of_the_same_age(tmp_path: Path) -> None:
    told = backup.read(path := made(tmp_path))
    assert told.sealed == KEY.id.hex()
    with opened(KEY, path, told) as files:
        found = [one for one in backup.regular(files)]
        assert {one.relative_to(files).as_posix(): one.read_bytes() for one in found} == FILES
        assert {one.stat().st_mtime_ns for one in found} == {ENDED_NS}
        assert {one.stat().st_mode & 0o777 for one in found} == {0o600}
    assert not files.exists()


def test_nothing_of_what_it_has_is_to_be_read_without_the_key(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert [one for one in backup.regular(path) if FILES["state/contact.key"] in one.read_bytes()] == []
    with pytest.raises(NotSealed, match="key_unknown"), opened(Key.of(bytes(31) + b"x"), path, backup.read(path)):
        pass


@pytest.mark.parametrize("what", ["another file", "another backup's", "flipped"])
def test_a_file_that_is_not_the_one_is_not_opened(tmp_path: Path, what: str) -> None:
    path, other = made(tmp_path), made(tmp_path, "2026-03-04T10:00:00+00:00")
    told, place = backup.read(path), path / "recordings/0/c1.wav"
    match what:
        case "another file":
            (path / "state/contact.key").replace(place)
        case "another backup's":
            (other / "recordings/0/c1.wav").replace(place)
        case _:
            data = bytearray(place.read_bytes())
            data[-1] ^= 1
            place.write_bytes(data)
    with pytest.raises(backup.BadBackup):
        backup.read(path)
    with pytest.raises(NotSealed), opened(KEY, path, told):
        pass
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".opened")] == []
