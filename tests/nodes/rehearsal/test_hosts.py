"""Test hosts are machines: they reach each other, are parted, paused, without power, full; and leave nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from nodes.rehearsal import hosted
from nodes.rehearsal import hosts as harness
from nodes.rehearsal.faults import Fault, FaultKind, draw, inflict
from nodes.rehearsal.hosts import Hosts, NoHosts, hosts
from nodes.rehearsal.remote import NotRun
from tests.nodes.rehearsal.conftest import ECHO, LOOK_S, PATIENCE_S, ask, begin

MARK = "RINGMASTER_TEST_MARK"


async def test_two_hosts_reach_each_other_and_are_two_machines(pair: Hosts) -> None:
    a, b = pair["a"], pair["b"]
    await (await begin(b, "serve", b.address)).says("ready")
    assert await ask(a, b, "hello") == "answer hello"
    assert await ask(b, b, "hello") == "answer hello"
    told = [await host.run(["sh", "-c", "hostname; cut -d. -f1 /proc/uptime; echo $$"]) for host in (a, b)]
    (name_a, clock_a, pid_a), (name_b, clock_b, pid_b) = (done.out.split() for done in told)
    assert (name_a, name_b) == ("a", "b")
    assert int(clock_b) - int(clock_a) == pytest.approx(b.ahead_s - a.ahead_s, abs=2)
    assert max(int(pid_a), int(pid_b)) < 20, "each counts its own processes"
    assert [line for line in b.processes().values() if "echo.py serve" in line] != []
    assert [line for line in a.processes().values() if "echo.py" in line] == []


async def test_the_network_of_this_machine_does_not_see_them(pair: Hosts) -> None:
    ours, its = Path("/proc/net/dev").read_text(), (await pair["a"].run(["cat", "/proc/net/dev"])).out  # noqa: ASYNC240
    assert " p0:" not in ours
    assert " eth0:" in its


async def test_a_partition_has_a_direction_and_nobody_is_told(pair: Hosts) -> None:
    a, b = pair["a"], pair["b"]
    heard_by_a, heard_by_b = await begin(a, "serve", a.address), await begin(b, "serve", b.address)
    await heard_by_a.says("ready")
    await heard_by_b.says("ready")
    await pair.cut("a", "b")
    assert (await ask(a, b, "one"), await ask(b, a, "two")) == ("silence", "silence")
    assert (heard_by_b.lines, heard_by_a.lines) == (["ready"], ["ready", "got two"])
    await pair.part(["a"], ["b"])
    await pair.mend("a", "b")
    assert (await ask(a, b, "three"), await ask(b, a, "four")) == ("silence", "silence")
    assert (heard_by_b.lines, heard_by_a.lines) == (["ready"], ["ready", "got two"])
    await pair.join(["a"], ["b"])
    assert (await ask(a, b, "five"), await ask(b, a, "six")) == ("answer five", "answer six")


async def test_a_bad_network_delivers_late_or_not_at_all_one_way_and_only_for_a_while(pair: Hosts) -> None:
    a, b = pair["a"], pair["b"]
    heard = await begin(b, "serve", b.address)
    await heard.says("ready")

    async def probed() -> tuple[int, int]:
        n, first_ms = (await a.run((sys.executable, str(ECHO), "probe", b.address, "60"))).out.split()
        return int(n), int(first_ms)

    async with pair.bad("a", "b", delay_s=0.2, loss=0.3):
        n, first_ms = await probed()
        assert 20 <= n <= 55, "the seed loses 18 of them, plus or minus what comes too late"
        assert first_ms >= 200, "once, for one way"
        assert len(heard.lines) == 1 + n, "all that came was answered"
        await pair.cut("a", "b")
        assert await ask(a, b, "x") == "silence"
        await pair.mend("a", "b")
    assert (await probed())[0] == 60


async def test_a_host_that_was_paused_goes_on_where_it_was(pair: Hosts) -> None:
    a, b = pair["a"], pair["b"]
    await (await begin(b, "serve", b.address)).says("ready")
    line = await begin(a, "hold", b.address)
    await line.says("talks")
    paused = asyncio.create_task(inflict(Fault(FaultKind.PAUSE, "b", 0.5), pair, {}))
    await line.says("quiet")
    assert (await paused).hit
    await line.says("talks", 2)
    assert line.lines == ["talks", "quiet", "talks"]


async def test_a_process_that_dies_is_heard_of_at_once_and_a_host_without_power_is_not(pair: Hosts) -> None:
    a, b = pair["a"], pair["b"]
    served = await begin(b, "serve", b.address)
    await served.says("ready")
    line = await begin(a, "hold", b.address)
    await line.says("talks")
    served.running.kill()
    assert await line.running.wait() == 0
    assert line.lines[-1] in ("end", os.strerror(errno.ECONNRESET))

    served = await begin(b, "serve", b.address)
    await served.says("ready")
    line = await begin(a, "hold", b.address)
    await line.says("talks")
    await b.power_off()
    assert await served.running.wait() == -signal.SIGKILL
    assert (b.is_on, b.name in pair) == (False, True)
    with pytest.raises(NotRun):
        await b.run(["true"])
    await line.says("quiet")
    assert await ask(a, b, "hello") == "silence"
    await b.power_on()
    assert await line.running.wait() == 0
    assert line.lines == ["talks", "quiet", os.strerror(errno.ECONNRESET)], "the new machine knows no such connection"


async def test_a_disk_is_full_until_it_is_not_and_survives_a_power_cut(pair: Hosts) -> None:
    a = pair["a"]
    write = ["sh", "-c", "echo words >> file && cat file"]
    assert (await a.run(write)).out == "words\n"
    full = asyncio.create_task(inflict(Fault(FaultKind.DISK, "a", 0.1), pair, {}))
    await asyncio.sleep(0)
    assert "No space left" in (await a.run(["cp", "/proc/self/status", "another"])).err
    await full
    await a.power_off()
    await a.power_on()
    assert (await a.run(write)).out == "words\nwords\n"
    assert a.path(a.directory / "file").read_text() == "words\nwords\n"


STEPPED = """
import asyncio, sys, time
from datetime import UTC, datetime
while sys.stdin.readline():
    ours, now = time.time(), datetime.now(UTC).timestamp()
    assert abs(ours - now) < 1 > abs(time.time_ns() / 1e9 - now) and abs(datetime.now().timestamp() - now) < 1
    time.sleep(0.01)
    asyncio.run(asyncio.sleep(0.01))
    print(f"{ours} {time.monotonic()}\\n", end="", flush=True)
"""


async def test_the_wall_clock_of_a_host_is_stepped_while_its_programs_run_and_nothing_else(pair: Hosts) -> None:
    a = pair["a"]
    answers, said = os.pipe()
    asked, asks = os.pipe()
    environment = hosted.steps(a)
    await a.init.start([sys.executable, "-c", STEPPED], a.directory, said, said, asked, environment)
    seen = []
    for ahead_s in (0.0, 7200.0, -3.0, 0.0):
        a.step_clock(ahead_s)
        os.write(asks, b"\n")
        wall, monotonic = map(float, (await asyncio.to_thread(os.read, answers, 1000)).split())
        seen.append((wall - time.time(), monotonic - time.monotonic()))
    assert [round(wall) for wall, _ in seen] == [0, 7200, -3, 0]
    assert all(abs(monotonic - a.ahead_s) < 1 for _, monotonic in seen)
    for fd in (answers, said, asked, asks):
        os.close(fd)


async def test_who_is_not_root_has_them_in_a_user_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "_may_make_namespaces", lambda _: False)
    try:
        async with hosts(("a", "b"), tmp_path, disk_mb=1) as made:
            a, b = made.values()
            await (await begin(b, "serve", b.address)).says("ready")
            assert await ask(a, b, "hello") == "answer hello"
            users = (await a.run(["cat", "/proc/self/uid_map"])).out.split()
            assert users == ["0", str(os.geteuid()), "1"]
            await b.power_off()
            await b.power_on()
    except NoHosts as error:
        pytest.skip(str(error))


async def test_a_command_that_is_not_there_is_refused_by_name(pair: Hosts) -> None:
    with pytest.raises(NotRun, match="no-such-program: No such file"):
        await pair["a"].run(["no-such-program"])


def test_a_seed_draws_the_same_faults_again() -> None:
    def drawn(seed: int) -> list[Fault]:
        dice = random.Random(seed)
        return [draw(dice, ["n1", "n2"], list(FaultKind), 4.0, ["edge", "media"]) for _ in range(20)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert all(bool(fault.role) == (fault.kind is FaultKind.PROCESS) for fault in drawn(3))


class TestNothingIsLeft:
    """Every process of a run carries its mark in its environment."""

    OWNER = """
import asyncio, sys
from pathlib import Path
from nodes.rehearsal.hosts import NoHosts, hosts
async def main():
    try:
        async with hosts(("a", "b"), Path(sys.argv[1]), 1) as made:
            for host in made.values():
                await host.start(["sh", "-c", "trap '' TERM INT HUP; setsid sleep 600 & sleep 600"], sys.stdout)
            made["b"].pause()
            sys.stdout.write("up\\n"); sys.stdout.flush()
            await asyncio.sleep(600)
    except NoHosts as error:
        sys.stdout.write(f"{error}\\n")
asyncio.run(main())
"""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_of_hosts_whose_owner_ends_whatever_runs_there(self, tmp_path: Path, number: signal.Signals) -> None:
        mark = uuid.uuid4().hex
        with subprocess.Popen(
            [sys.executable, "-c", self.OWNER, str(tmp_path)], env={**os.environ, MARK: mark}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        ) as owner:  # fmt: skip
            assert owner.stdout
            if (said := owner.stdout.readline()) != "up\n":
                pytest.skip(said)
            n_ran = len(_alive(mark))
            owner.send_signal(number)
            owner.wait(PATIENCE_S)
        assert n_ran > 6, "one of the two may have been paused before it began its second process"
        give_up_s = time.monotonic() + PATIENCE_S
        while left := _alive(mark):
            assert time.monotonic() < give_up_s, left
            time.sleep(LOOK_S)
        assert list((tmp_path / "a").iterdir()) == [], "its disk was mounted where only it could see it"


def _alive(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
            if is_ours and ") Z " not in (entry / "stat").read_text():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


async def test_without_namespaces_the_reason_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses = tmp_path / "unshare"
    refuses.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NoHosts, match="unshare failed: Operation not permitted"):
        async with hosts(("a",), tmp_path):
            pass
