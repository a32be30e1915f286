"""A node as the first process of a container: signals reach it, orphans are reaped, and nobody's end is taken away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from nodes import control_groups
from nodes.child import STAND_INS
from nodes.config import ENVIRONMENT, load
from nodes.links.roster import Roster
from nodes.ports import take
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from tests.conftest import control_group, last_lines, must_run
from tests.nodes.commands.conftest import COMMAND

WITHIN_S: Final = 150.0
LOOK_S: Final = 0.02
APART: Final = ("unshare", *(("--user", "--map-root-user") if os.geteuid() else ()), "--pid", "--fork", "--mount-proc")
LEAVES_AN_ORPHAN: Final = """
import subprocess
from nodes.rehearsal.scripted import speech

async def run(parent, config, identity):
    subprocess.run(["sh", "-c", "sleep 3600 & echo $! > orphan"], check=True)
    await speech.run(parent, config, identity)
"""
ALONE: Final = '{ [ -z "$GROUP" ] || echo 0 > "$GROUP/cgroup.procs"; } && exec "$@"'


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if subprocess.run([*APART, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives us no PID namespace")


def until(what: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not what():
        must_run(process, log)
        assert time.monotonic() < end_s, last_lines(log)
        time.sleep(LOOK_S)


def status(pid: int) -> dict[str, str]:
    """Return what /proc says of a process; nothing where it has been waited for."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}


def inside(first: int) -> dict[int, int]:
    """Return the processes of the namespace: id there -> id here."""
    space = os.readlink(f"/proc/{first}/ns/pid")
    found = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError, KeyError):
            if os.readlink(f"/proc/{name}/ns/pid") == space:
                found[int(status(int(name))["NSpid"].split()[-1])] = int(name)
    return found


def child_of(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def may_be_in_time() -> bool:
    """Whether a process of ours gets real-time priority here."""
    claim = "import sys; from nodes.media import realtime; sys.exit(not realtime.claim())"
    return subprocess.run([sys.executable, "-c", claim], check=False).returncode == 0


@contextmanager
def node(tmp_path: Path, group: Path | None) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Have a node up whose first process is `ringmaster up`, alone in its control group if there is one."""
    (tmp_path / "leaves_an_orphan.py").write_text(LEAVES_AN_ORPHAN)
    first, file, log = take(6), tmp_path / "ringmaster.toml", tmp_path / "log"
    file.write_text(
        "[node]\nroles = ['speech', 'media', 'edge']\n[paths]\nstate = 's'\n[nats]\nurl = 'nats://127.0.0.1:1'\n"
        f"[sip]\nport = {first}\n[rtp]\nports = [{first + 4}, {first + 5}]\n[media]\nchannels = 1\n"
        "[speech]\nprocesses = 1\n[edge]\nprocesses = 1\n"
    )
    environment = {
        **os.environ, ENVIRONMENT: str(file), STAND_INS: "speech=leaves_an_orphan", VARIABLE: str(Pace()),
        "PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}", "GROUP": str(group or ""),
    }  # fmt: skip
    with log.open("wb") as said:
        command = [*APART, "--kill-child", "sh", "-c", ALONE, "sh", COMMAND, "up"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said)
    try:
        until(lambda: '"node.up"' in log.read_text(), process, log)
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_a_node_is_the_first_process_of_a_container(tmp_path: Path) -> None:
    with control_group() as group, node(tmp_path, group) as (process, log):
        run = load(tmp_path / "ringmaster.toml").paths.run
        first = child_of(process.pid)
        roster = json.loads((run / "roster.json").read_text())
        launcher = inside(first)[roster["launcher"]["pid"]]
        assert int(status(launcher)["PPid"]) == first

        def active(role: str) -> int:
            """Return the role's active process by its id here; 0: there is none."""
            peers = Roster.read(run / "roster.json").active(role)
            return inside(first).get(peers[0].pid, 0) if peers else 0

        media, edge, speech = map(active, ("media", "edge", "speech"))
        assert {int(status(pid)["PPid"]) for pid in (media, edge, speech)} == {launcher}

        orphan = inside(first)[int((tmp_path / "orphan").read_text())]
        assert int(status(orphan)["PPid"]) == first
        os.kill(orphan, signal.SIGKILL)
        until(lambda: not status(orphan), process, log)

        os.kill(edge, signal.SIGKILL)
        until(lambda: active("edge") not in (0, edge), process, log)
        assert active("media") == media
        (ended,) = [json.loads(line) for line in log.read_text().splitlines() if '"process.ended"' in line]
        assert (ended["name"], ended["why"]) == ("edge-0", "ended with signal 9"), "nobody else has taken its status"

        policies = {os.sched_getscheduler(int(task)) for task in os.listdir(f"/proc/{media}/task")}
        assert (os.SCHED_RR | os.SCHED_RESET_ON_FORK in policies) == may_be_in_time()

        if group:
            places = {first: "launcher", launcher: "launcher", media: "media", speech: "speech", active("edge"): "rest"}
            until(
                lambda: {pid: control_groups.own(Path(f"/proc/{pid}")).name for pid in places} == places, process, log
            )

        os.kill(first, signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
        assert not (run / "roster.json").exists()
        assert "Traceback" not in log.read_text()


STEP_ASIDE: Final = "import os, signal, sys; from nodes.first_process import step_aside; step_aside({15}); "


@pytest.mark.parametrize(
    ("then", "ends_with"),
    [
        ("sys.exit(2)", 2),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("assert os.getpid() != 1; os.kill(1, signal.SIGTERM); sys.exit(signal.sigwait({15}))", 15),
    ],
)
def test_the_container_ends_as_its_launcher_does_and_is_told_to_end_in_its_place(then: str, ends_with: int) -> None:
    done = subprocess.run([*APART, sys.executable, "-c", STEP_ASIDE + then], check=False, timeout=WITHIN_S)
    assert done.returncode == ends_with


def test_anywhere_else_nobody_steps_aside() -> None:
    code = STEP_ASIDE + "sys.exit(os.getpid() != int(sys.argv[1]) and os.getppid() != int(sys.argv[1]))"
    assert subprocess.run([sys.executable, "-c", code, str(os.getpid())], check=False).returncode == 0
