"""A process's first start: chance is tried again, and a process that says that it cannot is believed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nodes.first_start import TRIES, begin, is_chance
from supervisors import Backoff, Dynamic, StartFailed, Supervisor, running
from supervisors.process import OsProcess, ProcessExit, ProcessReport, Program, Standing

READY = """
import json, os, pathlib, signal, socket, sys
place, n_deaths, status = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
n_begun = len(list(place.iterdir()))
(place / str(n_begun)).touch()
if n_begun < n_deaths:
    if status:
        sys.exit("it cannot, and this is why")
    os.kill(os.getpid(), signal.SIGSEGV)
control = socket.socket(fileno=json.loads(os.environ["SUPERVISORS_CHARGE"])["control"])
control.sendall(b'{"ready": {}}\\n')
control.recv(1)
"""


def n_begun(place: Path) -> int:
    return len(list(place.iterdir()))


async def begun(place: Path, n_deaths: int, status: int = 0) -> list[ProcessReport]:
    """Begin a process as the launcher does; return what was reported of it."""
    reports: list[ProcessReport] = []
    argv = (sys.executable, "-S", "-c", READY, str(place), str(n_deaths), str(status))
    program = Program(argv, silence_s=60.0, ready_s=60.0)

    def one(name: str) -> Supervisor:
        return Supervisor(
            [OsProcess.child(name, program, on_change=reports.append)], id=name, backoff=Backoff(0.01, 0.1)
        )

    async with running(Supervisor([Dynamic(one, id="processes", start_timeout_s=60.0)])) as system:
        await begin(system.dynamic("processes", one).start, "speech-0")
    return reports


async def test_a_process_that_dies_by_a_signal_as_it_starts_is_started_again(tmp_path: Path) -> None:
    reports = await begun(tmp_path, 2)
    assert n_begun(tmp_path) == 3
    assert [one.exit.signal for one in reports if one.exit][:2] == [11, 11]
    assert Standing.ACTIVE in [one.standing for one in reports]


async def test_one_that_dies_each_time_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="signal 11"):
        await begun(tmp_path, 99)
    assert n_begun(tmp_path) == TRIES


async def test_one_that_says_that_it_cannot_is_believed_at_once(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="code 1"):
        await begun(tmp_path, 1, status=1)
    assert n_begun(tmp_path) == 1


def test_one_that_we_have_killed_was_too_slow_and_no_chance() -> None:
    assert is_chance(ProcessExit(None, 9, "", ()))
    assert not is_chance(ProcessExit(None, 9, "not ready within 60 s", ()))
    assert not is_chance(ProcessExit(2, None, "", ()))
