"""Machines: booted by systemd, reached by ssh, parted by the network between them, and gone with who has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.ops.machines.base import ROOT
from tests.ops.machines.hold import READY
from tests.ops.machines.machine import CONTROLLER, NO_CONNECTION, hierarchies, machines

NAMES: Final = ("central-1", "central-2", "central-3", "edge-1", "edge-2")
GONE_S: Final = 60.0
LOOK_S: Final = 0.05
HOLD: Final = "tests/ops/machines/hold.py"
REACHES: Final = "timeout 5 bash -c ': < /dev/tcp/{}/22'"
KNOWN: Final[Mapping[str, str]] = {}
"""Units that may fail on such a machine -> why."""
SPACES: Final = ("net", "mnt", "pid")


@pytest.mark.timeout(900)
async def test_machines_boot_and_are_reached_and_a_partition_cuts_one_off(say: Callable[[str], None]) -> None:
    async with machines(NAMES) as made:
        states = await made.boot()
        for name, state in states.items():
            say(f"{name}: {state.word} {' '.join(state.failed)} after {state.after_s:.1f} s")
        assert {state.word for state in states.values()} <= {"running", "degraded"}
        assert {unit for state in states.values() for unit in state.failed} <= KNOWN.keys()
        assert [(await machine.run("hostname")).out for machine in made.values()] == [f"{name}\n" for name in NAMES]
        assert len({(await machine.run("cat /etc/machine-id")).out for machine in made.values()}) == len(NAMES)

        first, second, *_, last = made.values()
        everybody_else = [CONTROLLER, *NAMES[:-1]]
        assert (await first.run(REACHES.format(last.address))).status == 0
        await made.net.part([last.name], everybody_else)
        assert (await last.run("true")).status == NO_CONNECTION
        assert (await first.run(REACHES.format(last.address))).status != 0
        assert (await first.run(REACHES.format(second.address))).status == 0
        await made.net.join([last.name], everybody_else)
        assert (await last.run("true")).status == 0
        assert (await first.run(REACHES.format(last.address))).status == 0


@pytest.mark.timeout(300)
async def test_a_machine_that_has_lost_its_power_comes_back_with_its_disk() -> None:
    async with machines(["a"]) as made:
        machine = made["a"]
        await machine.boot()
        await machine.run("echo written > /var/lib/note; touch /run/note")
        await machine.host.power_off()
        await machine.host.power_on()
        await machine.boot()
        assert (await machine.run("cat /var/lib/note; test ! -e /run/note && echo booted")).out == "written\nbooted\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ending", ["in order", "killed"])
def test_nothing_is_left_of_machines_however_their_owner_ends(ending: str) -> None:
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", HOLD]
    env = {**os.environ, "MACHINES": "a b"}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdin
        assert owner.stdout
        said = []
        while READY not in (line := owner.stdout.readline()):
            assert line, said
            said.append(line)
        name = re.search(r"ringmaster-ops-\w+", "".join(said))
        assert name, said
        processes = {pid: start for pid, (_, start) in _below(owner.pid).items()}
        assert sum(program == "systemd" for program, _ in _below(owner.pid).values()) == 2
        spaces = {space for pid in processes for space in _spaces(pid)} - _spaces(os.getpid())
        assert list(_named(name[0]))
        if ending == "killed":
            owner.kill()
        owner.stdin.close()
        assert owner.wait() == (-9 if ending == "killed" else 0)
    end = time.monotonic() + GONE_S
    while (left := [*_still(processes, spaces), *_named(name[0])]) and time.monotonic() < end:
        time.sleep(LOOK_S)
    assert left == []


def _below(root: int) -> dict[int, tuple[str, str]]:
    """Return who descends from a process: process id -> the program's name, and when it was started."""
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    found = {root}
    while more := {pid for pid, (_, parent, _) in stats.items() if parent in found} - found:
        found |= more
    return {pid: (stats[pid][0], stats[pid][2]) for pid in found & stats.keys()}


def _still(processes: Mapping[int, str], spaces: set[str]) -> Iterator[str]:
    """Yield those processes that still run, for ids are used again; and the namespaces that somebody is still in."""
    for pid, start in processes.items():
        if (stat := _stat(pid)) and stat[2] == start:
            yield f"process {pid} ({stat[0]})"
    yield from spaces & {space for pid in _pids() for space in _spaces(pid)}


def _named(name: str) -> Iterator[str]:
    """Yield what has the name of a run: mounts that any process sees, control groups, files."""
    for pid in _pids():
        with suppress(OSError):
            if name in Path(f"/proc/{pid}/mountinfo").read_text():
                yield f"a mount, seen by {pid}"
    groups = (mount / name for mount in hierarchies(Path("/proc/self/mountinfo").read_text()))
    yield from (str(path) for path in (*groups, ROOT / "var/ops/runs" / name) if path.exists())


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _stat(pid: int) -> tuple[str, int, str] | None:
    """Return a process's program, parent and time of start (proc(5), fields 2, 4 and 22); None: it has gone."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    except OSError:
        return None
    fields = after.split()
    return before.partition("(")[2], int(fields[1]), fields[19]


def _spaces(pid: int) -> set[str]:
    found = set()
    for kind in SPACES:
        with suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found
