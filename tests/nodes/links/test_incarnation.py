"""A mark proves that its process has ended: never of one that runs, and never of one that cannot be seen from here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nodes.links import incarnation


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_process_that_was_killed_is_gone_even_before_anybody_has_waited_for_it(sleeper) -> None:
    mark = incarnation.of(sleeper.pid)
    assert not incarnation.is_gone(mark)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert incarnation.is_gone(mark)
    sleeper.communicate()
    assert incarnation.is_gone(mark)
    with pytest.raises(ProcessLookupError):
        incarnation.of(sleeper.pid)


def test_a_process_that_was_given_the_same_id_is_another(sleeper) -> None:
    boot, namespace, pid, began = incarnation.of(sleeper.pid).split("/")
    assert incarnation.is_gone("/".join((boot, namespace, pid, str(int(began) - 1))))
    sleeper.communicate()


def test_of_another_machine_or_container_nothing_is_proven() -> None:
    boot, namespace, _, began = incarnation.own().split("/")
    nobody = str(2**22)
    assert incarnation.is_gone("/".join((boot, namespace, nobody, began)))
    assert not incarnation.is_gone("/".join(("another", namespace, nobody, began)))
    assert not incarnation.is_gone("/".join((boot, "1", nobody, began)))
    assert not incarnation.is_gone("nonsense")
