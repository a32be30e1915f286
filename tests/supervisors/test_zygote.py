"""Processes that are forked from a zygote: they are as those that are run, and its end is nobody else's.

Which way a process has come is in what it says when it is ready: who has loaded its modules.
"""

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from supervisors import BadSpec, Child, Restart, StartFailed, Supervisor, running, zygote
from supervisors.leash import Leash
from supervisors.process import OsProcess, ProcessReport, Program, Standing
from supervisors.zygote import Zygote
from tests.supervisors.test_process import PROGRAMS, ROOT, News

PATIENCE_S = 100.0
ALIKE = ("Umask", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp", "Threads", "PPid")
"""What /proc tells in `status`, and is to be the same."""


OTHERS: set[int] = set()
"""Children of this process that other tests have left."""


def ours() -> dict[int, str]:
    """Return the children of this process, without others' than this module's, and the state of each."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and int(file.parent.name) not in OTHERS:
                found[int(file.parent.name)] = state
    return found


@pytest.fixture
async def news() -> AsyncIterator[News]:
    """What children say; afterwards there is none, and no descriptor is left."""
    OTHERS.clear()
    OTHERS.update(ours())
    fds, news = len(os.listdir("/proc/self/fd")), News()
    yield news
    news.ours.close()
    news.theirs.close()
    assert ours().keys() == set()
    assert len(os.listdir("/proc/self/fd")) - fds <= 0


class Tree:
    """A zygote that is supervised, and what is begun by it."""

    def __init__(self, news: News, zygote: Zygote) -> None:
        self.news = news
        self.zygote = zygote
        self.report = ProcessReport("zygote", 0, Standing.STARTING, {})
        self.changed = asyncio.Event()

    def hear(self, report: ProcessReport) -> None:
        self.report = report
        self.changed.set()

    async def until(self, standing: Standing, not_pid: int = 0) -> int:
        """Wait until the zygote is this good; return its process."""
        async with asyncio.timeout(PATIENCE_S):
            while self.report.standing is not standing or self.report.pid == not_pid:
                self.changed.clear()
                await self.changed.wait()
        return self.report.pid

    def begin(self, *args: str, **sockets: socket.socket) -> Leash:
        program = self.news.program(*args)
        program = replace(program, sockets={**program.sockets, **sockets}, zygote=self.zygote)
        return Leash(program, is_spare=False, changed=lambda _: None)

    async def begun(self, *args: str, **sockets: socket.socket) -> Leash:
        leash = self.begin(*args, **sockets)
        async with asyncio.timeout(PATIENCE_S):
            await leash.ready()
        return leash


@asynccontextmanager
async def a_tree(news: News, *kind: str, silence_s: float = 60.0) -> AsyncIterator[Tree]:
    """Have a zygote, of this kind."""
    argv = (sys.executable, str(PROGRAMS / "zygote.py"), *kind)
    program = Program(argv, env={"PYTHONPATH": str(ROOT)}, beat_s=0.05, silence_s=silence_s)
    with closing(Zygote(program)) as zygote:
        tree = Tree(news, zygote)
        spec = zygote.child("zygote", on_change=tree.hear)
        async with running(Supervisor([spec], intensity=100)):
            yield tree


async def end(*leashes: Leash) -> None:
    """Kill them and wait for it."""
    for leash in leashes:
        leash.kill()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(leash.gone() for leash in leashes))


async def nobody_else(*leashes: Leash, zygote: int = 0) -> None:
    """Wait until this process has no children but these and the zygote, not even dead ones."""
    async with asyncio.timeout(PATIENCE_S):
        while ours().keys() - {zygote, *(leash.pid for leash in leashes)}:
            await asyncio.sleep(0.01)


def loaded_by(leash: Leash) -> int:
    pid = leash.info["loaded_by"]
    assert isinstance(pid, int)
    return pid


class TestWhoIsForked:
    async def test_is_its_launchers_child_and_finds_everything_as_who_is_run_does(
        self, news: News, tmp_path: Path
    ) -> None:
        async with a_tree(news) as tree:
            zygote = await tree.until(Standing.ACTIVE)
            forked, other = await tree.begun("flag"), await tree.begun("flag")
            tree.zygote.close()
            run = await tree.begun("flag")
            assert loaded_by(forked) == loaded_by(other) == zygote
            assert loaded_by(run) == run.pid
            seen = {}
            for leash in (forked, other, run):
                leash.tell({"write": str(tmp_path / "said")})
                await news.hear("wrote")
                seen[leash] = look(leash.pid, json.loads((tmp_path / "said").read_text()))
            dice = [one.pop("dice") for one in seen.values()]
            assert seen[forked] == seen[other] == seen[run]
            assert len({*dice}) == 3, "each throws its own dice"
            await end(forked, other, run)

    async def test_ends_as_others_do_and_says_why(self, news: News) -> None:
        async with a_tree(news) as tree:
            leash = await tree.begun()
            leash.tell({"crash": "line one\nline two"})
            await leash.gone()
            assert leash.exit is not None
            assert (leash.exit.code, leash.exit.stderr) == (3, ("line one", "line two"))
            leash = await tree.begun()
            await leash.stop()
            assert leash.exit is not None
            assert (leash.exit.code, leash.exit.signal) == (0, None)
            leash = tree.begin("stillborn")
            await leash.gone()
            assert leash.exit is not None
            assert (leash.exit.code, leash.exit.stderr) == (1, ("cannot start",))

    async def test_has_as_many_sockets_as_it_is_given(self, news: News) -> None:
        with ExitStack() as stack:
            many = {f"s{n}": stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for n in range(600)}
            many["s599"].bind(("127.0.0.1", 0))
            far = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            async with a_tree(news) as tree:
                leash = await tree.begun(**many)
                assert loaded_by(leash) != leash.pid
                far.sendto(b"7", many["s599"].getsockname())
                leash.tell({"read": "s599"})
                assert await news.hear("read") == 7
                await end(leash)

    async def test_is_begun_by_its_supervisor_as_any_other(self, news: News) -> None:
        async with a_tree(news) as tree:
            program = replace(news.program(), zygote=tree.zygote)
            child = OsProcess.child("a", program, on_change=news.report)
            async with running(Supervisor([child])):
                pid = await news.hear("ready")
                assert news.standings(pid) == [Standing.STARTING, Standing.ACTIVE]
                os.kill(pid, signal.SIGKILL)
                again = await news.hear("ready")
            await news.until_gone(again)
            assert [report.pid for report in news.reports] == [pid] * 3 + [again] * 3

    async def test_has_never_been_when_its_start_is_cancelled_before_it_is_there(self, news: News) -> None:
        async def start(child: Child[OsProcess]) -> None:
            async with running(Supervisor([child])):
                raise AssertionError("started")

        with closing(Zygote(Program((sys.executable,)))) as never:
            program = replace(news.program(), zygote=never)
            starting = asyncio.create_task(start(OsProcess.child("a", program, on_change=news.report)))
            while not never._births:
                await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        assert news.reports == []

    async def test_two_hundred_times_leaves_nothing(self, news: News) -> None:
        """Each is ended at another moment: before it is there, while it begins, when it is ready."""
        async with a_tree(news) as tree:
            zygote = await tree.until(Standing.ACTIVE)
            fds = len(os.listdir(f"/proc/{zygote}/fd"))
            for n in range(20):
                leashes = [tree.begin() for _ in range(10)]
                await asyncio.sleep(0.002 * n)
                await end(*leashes)
            leash = await tree.begun()
            assert loaded_by(leash) == zygote
            await nobody_else(leash, zygote=zygote)
            await end(leash)
            assert len(os.listdir(f"/proc/{zygote}/fd")) == fds

    def test_speaks_with_its_launcher_or_is_refused(self) -> None:
        with pytest.raises(BadSpec):
            Program((sys.executable,), speaks=False, zygote=object())  # type: ignore[arg-type]


def look(pid: int, said: Mapping[str, object]) -> dict[str, object]:
    """Return what /proc tells of a process, and what it has said itself."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    group, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2:4]
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return {
        **{key: status[key] for key in ALIKE},
        "leads": (group, session) == (str(pid), str(pid)),
        "fds": Counter(re.sub(r"\[\d+\]", "", fd) for fd in fds),
        "stdin": os.readlink(f"/proc/{pid}/fd/0"),
        "cwd": os.readlink(f"/proc/{pid}/cwd"),
        "cgroup": Path(f"/proc/{pid}/cgroup").read_text(),
        "oom": Path(f"/proc/{pid}/oom_score_adj").read_text(),
        "schedule": (os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)),
        **said,
    }


class TestAZygoteThat:
    async def test_dies_is_nobody_elses_death_and_is_started_again(self, news: News) -> None:
        async with a_tree(news) as tree:
            first, zygote = await tree.begun(), await tree.until(Standing.ACTIVE)
            os.kill(zygote, signal.SIGKILL)
            assert await tree.until(Standing.ACTIVE, not_pid=zygote) != zygote
            second = await tree.begun()
            assert (loaded_by(first), loaded_by(second)) == (zygote, tree.report.pid)
            first.tell({"roster": 1})
            await news.hear("told ['roster']")
            await end(first, second)

    async def test_is_gone_is_waited_for_by_nobody(self, news: News, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zygote, "WAITS_S", 3600.0)
        async with a_tree(news) as tree:
            pid = await tree.until(Standing.ACTIVE)
            os.kill(pid, signal.SIGSTOP)
            leashes = [tree.begin() for _ in range(3)]
            os.kill(pid, signal.SIGKILL)
            for leash in leashes:
                async with asyncio.timeout(PATIENCE_S):
                    await leash.ready()
                assert loaded_by(leash) == leash.pid
            await end(*leashes)

    async def test_is_stopped_is_not_waited_for_long(self, news: News, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zygote, "WAITS_S", 0.1)
        async with a_tree(news) as tree:
            pid = await tree.until(Standing.ACTIVE)
            os.kill(pid, signal.SIGSTOP)
            leash = await tree.begun()
            assert loaded_by(leash) == leash.pid
            os.kill(pid, signal.SIGCONT)
            monkeypatch.setattr(zygote, "WAITS_S", PATIENCE_S)
            other = await tree.begun()
            assert loaded_by(other) == await tree.until(Standing.ACTIVE)
            await nobody_else(leash, other, zygote=tree.report.pid)
            await end(leash, other)

    async def test_stays_stopped_is_ended_for_its_silence_and_nobody_waits_longer(self, news: News) -> None:
        async with a_tree(news, silence_s=0.7) as tree:
            pid = await tree.until(Standing.ACTIVE)
            os.kill(pid, signal.SIGSTOP)
            leash = await tree.begun()
            assert loaded_by(leash) == leash.pid
            assert await tree.until(Standing.ACTIVE, not_pid=pid) != pid
            await end(leash)

    async def test_is_late_has_forked_for_nobody(self, news: News, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zygote, "WAITS_S", 0.1)  # and it takes 0.3 s
        async with a_tree(news, "slow") as tree:
            pid = await tree.until(Standing.ACTIVE)
            leash = await tree.begun()
            killed = tree.begin()
            killed.kill()
            assert loaded_by(leash) == leash.pid
            monkeypatch.setattr(zygote, "WAITS_S", PATIENCE_S)
            other = await tree.begun()
            assert loaded_by(other) == pid
            await nobody_else(leash, other, zygote=pid)
            await end(leash, other, killed)

    @pytest.mark.parametrize("kind", ["rubbish", "liar", "mistaken", "hasty", "list"])
    async def test_answers_garbage_is_as_none(self, news: News, kind: str) -> None:
        async with a_tree(news, kind) as tree:
            pid = await tree.until(Standing.ACTIVE)
            leash = await tree.begun()
            assert loaded_by(leash) == leash.pid
            await end(leash)
            assert (tree.report.pid, tree.report.standing) == (pid, Standing.ACTIVE), "it is there, and of no use"

    @pytest.mark.parametrize("n_words", ["0", "1"])
    async def test_forks_who_dies_before_it_has_begun_is_as_none(self, news: News, n_words: str) -> None:
        async with a_tree(news, "dies", n_words) as tree:
            pid = await tree.until(Standing.ACTIVE)
            leash = await tree.begun()
            assert loaded_by(leash) == leash.pid
            await nobody_else(leash, zygote=pid)
            await end(leash)

    @pytest.mark.parametrize("kind", ["threaded", "stillborn"])
    async def test_can_be_none_is_as_none(self, news: News, kind: str) -> None:
        with pytest.raises(StartFailed):
            async with a_tree(news, kind):
                raise AssertionError("started")
        argv = (sys.executable, str(PROGRAMS / "zygote.py"), kind)
        with closing(Zygote(Program(argv, env={"PYTHONPATH": str(ROOT)}))) as useless:
            leash = Tree(news, useless).begin()  # while it is not known yet
            with suppress(StartFailed):
                async with running(Supervisor([replace(useless.child("zygote"), restart=Restart.TEMPORARY)])):
                    raise AssertionError("started")
            async with asyncio.timeout(PATIENCE_S):
                await leash.ready()
            assert loaded_by(leash) == leash.pid
            await end(leash)

    @pytest.mark.parametrize("seed", range(2))
    async def test_is_killed_and_stopped_at_any_moment_has_everybody_there_in_the_end(
        self, news: News, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nobody's end is somebody else's: a process that is not of this kind keeps its exit status."""
        monkeypatch.setattr(zygote, "WAITS_S", 0.2)
        dice = random.Random(seed)
        async with a_tree(news) as tree:
            stranger = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.2; exit 7")
            kept: list[Leash] = []
            for _ in range(4):
                leashes = [tree.begin() for _ in range(4)]
                await asyncio.sleep(dice.choice([0.0, 0.001, 0.003, 0.01, 0.1]))
                pid = await tree.until(Standing.ACTIVE)
                os.kill(pid, dice.choice([signal.SIGKILL, signal.SIGSTOP]))
                await asyncio.sleep(dice.choice([0.0, 0.001, 0.01]))
                await end(leashes.pop(), leashes.pop())
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                kept += leashes
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(leash.ready() for leash in kept))
            assert await stranger.wait() == 7
            await nobody_else(*kept, zygote=await tree.until(Standing.ACTIVE))
            await end(*kept)


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.01, 0.05])
async def test_a_launcher_that_is_killed_while_it_has_processes_forked_leaves_none(after_s: float) -> None:
    """They are found by the environment that they have all begun with."""
    mark = f"MARK={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAMS / "launcher.py"), "zygote",
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), name: value},
    )  # fmt: skip
    assert launcher.stdout is not None
    await launcher.stdout.readline()  # the zygote is ready, and four are asked for
    await asyncio.sleep(after_s)
    launcher.kill()
    await launcher.wait()
    async with asyncio.timeout(PATIENCE_S):
        while marked(mark):
            await asyncio.sleep(0.01)


def marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
