"""Files that are whole or not there, whoever writes them at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from nodes.files import make_private, write_private


@pytest.mark.parametrize("lasts", [True, False])
def test_a_file_appears_whole_for_its_owner_only_and_leaves_nothing_beside_it(tmp_path: Path, lasts: bool) -> None:
    for size in (8000, 10):
        write_private(tmp_path / "p", b"\xff" * size, lasts=lasts)
        assert (tmp_path / "p").read_bytes() == b"\xff" * size
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "p", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_of_many_who_make_a_file_at_once_one_does_and_all_have_that_one_s(tmp_path: Path) -> None:
    n = 8
    together = Barrier(n)

    def make(k: int) -> bytes:
        together.wait()
        return make_private(tmp_path / "key", bytes([k]) * 32)

    with ThreadPoolExecutor(n) as threads:
        made = set(threads.map(make, range(n)))
    assert made == {(tmp_path / "key").read_bytes()}
    assert make_private(tmp_path / "key", b"another") in made
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
