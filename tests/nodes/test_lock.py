"""Who runs a node: a lock that the kernel gives up with its holder, and that may be looked at without being taken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodes import lock

HOLD = """
import pathlib, sys
from nodes import lock
with lock.held(pathlib.Path(sys.argv[1])):
    print(flush=True)
    input()
"""


@contextmanager
def another_holds(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold the lock for the length of the block."""
    command = [sys.executable, "-c", HOLD, str(state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout
        holding.stdout.readline()
        try:
            yield holding
        finally:
            holding.kill()


def test_nobody_holds_a_directory_that_never_had_a_node(tmp_path: Path) -> None:
    assert lock.holder(tmp_path) is None
    assert lock.holder(tmp_path / "nowhere") is None
    assert not lock.is_known(tmp_path)


def test_the_holder_is_named_to_who_looks_and_to_who_wants_the_lock(tmp_path: Path) -> None:
    with another_holds(tmp_path) as holding:
        assert lock.holder(tmp_path) == holding.pid
        with pytest.raises(lock.AlreadyUp, match=f"another node \\(process {holding.pid}\\)"), lock.held(tmp_path):
            pass
        assert lock.holder(tmp_path) == holding.pid, "looking and wanting do not take it"


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with another_holds(tmp_path) as holding:
        holding.kill()
        holding.wait()
        assert lock.holder(tmp_path) is None
        assert lock.is_known(tmp_path)
        with lock.held(tmp_path):
            pass
