"""Operating-system processes as children: real ones, killed, hung, orphaned and taken over.

Nothing here sleeps to synchronise: each child says on an inherited socket what happens to it.
"""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from supervisors import (
    BRUTAL_KILL,
    BadSpec,
    Child,
    ChildExited,
    ChildStarted,
    Crash,
    Restart,
    StartFailed,
    Supervisor,
    System,
    TreeDown,
    running,
)
from supervisors.parent import NoParent, Parent
from supervisors.process import OsProcess, Pair, ProcessDied, ProcessReport, Program, Standing
from supervisors.testing import Recorder
from supervisors.zygote import Zygote

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
RUN, FORKED = "run", "forked"
CORE = min(os.sched_getaffinity(0))
HOG = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


class News:
    """What the children say, and what the launcher's side reports."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.reports: list[ProcessReport] = []
        self.reported = asyncio.Event()
        self.recorder = Recorder()
        self.zygote: Zygote | None = None

    def program(self, *args: str, **times: float) -> Program:
        return Program(
            (sys.executable, str(PROGRAMS / "child.py"), *args),
            env={"PYTHONPATH": str(ROOT)},
            sockets={"news": self.theirs},
            beat_s=0.05,
            zygote=self.zygote,
            **times,
        )

    async def hear(self, word: str) -> int:
        """Wait for a child to say `word`; return its pid, or the number it adds."""
        async with asyncio.timeout(20):
            while True:
                said = (await asyncio.get_running_loop().sock_recv(self.ours, 1000)).decode()
                if said.startswith(f"{word} "):
                    return int(said.split()[-1])

    def report(self, report: ProcessReport) -> None:
        self.reports.append(report)
        self.reported.set()

    async def until_gone(self, pid: int) -> None:
        """Wait for the launcher's side to have reaped `pid`."""
        async with asyncio.timeout(20):
            while Standing.GONE not in self.standings(pid):
                self.reported.clear()
                await self.reported.wait()

    def standings(self, pid: int) -> list[Standing]:
        return [report.standing for report in self.reports if report.pid == pid]

    def last(self, pid: int) -> ProcessReport:
        return [report for report in self.reports if report.pid == pid][-1]


@pytest.fixture
async def news(request: pytest.FixtureRequest) -> AsyncIterator[News]:
    """With the parameter `forked` children are forked from a zygote, else they are run."""
    news = News()
    if getattr(request, "param", RUN) == FORKED:
        argv = (sys.executable, str(PROGRAMS / "zygote.py"))
        news.zygote = Zygote(Program(argv, env={"PYTHONPATH": str(ROOT)}))
    yield news
    if news.zygote is not None:
        news.zygote.close()
    news.ours.close()
    news.theirs.close()
    for pid in {report.pid for report in news.reports}:
        assert not exists(pid), f"{pid} is still there"


def exists(pid: int) -> bool:
    """Whether the process is there, be it as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int) -> None:
    """Wait for the end of a process, ours or not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert await asyncio.to_thread(poll.poll, 20_000), f"{pid} lives on"
    finally:
        os.close(pidfd)


def connected(bound: socket.socket) -> socket.socket:
    """Bind a socket to a free port, and return one that sends there."""
    bound.bind(("127.0.0.1", 0))
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.connect(bound.getsockname())
    return far


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """Have a process find a processor for a seventh of the time: sessions share alike (sched(7), autogroup)."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG], start_new_session=True) for _ in range(6)]
    try:
        for hog in hogs:
            os.sched_setaffinity(hog.pid, {CORE})
        for thread in map(int, os.listdir(f"/proc/{pid}/task")):
            os.sched_setaffinity(thread, {CORE})
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@asynccontextmanager
async def one(news: News, child: Child[OsProcess] | Child[Pair]) -> AsyncIterator[System]:
    zygote = [news.zygote.child("zygote")] if news.zygote is not None else []
    async with running(Supervisor([*zygote, child], intensity=10), hook=news.recorder) as system:
        yield system


class TestOneProcess:
    async def test_a_process_is_ready_before_its_start_returns_and_stopped_when_its_tree_is(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(), on_change=news.report)) as system:
            (report,) = await system.ref("a", OsProcess).ask(OsProcess.reports)
            assert report.standing is Standing.ACTIVE
            assert report.info["identity"] == f"child-{report.pid}"
        assert await news.hear("stopping") == report.pid
        assert not exists(report.pid)
        await asyncio.sleep(0)
        assert news.standings(report.pid) == [Standing.STARTING, Standing.ACTIVE, Standing.GONE]
        last = news.last(report.pid).exit
        assert last is not None
        assert (last.code, last.signal) == (0, None)

    async def test_what_it_is_told_arrives(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program())) as system:
            system.ref("a", OsProcess).tell(OsProcess.inform, {"roster": ["x" * 100_000]})
            await news.hear("told ['roster']")

    async def test_a_crash_comes_with_its_last_words_and_the_supervisor_restarts_it(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(), on_change=news.report)) as system:
            pid = await news.hear("ready")
            system.ref("a", OsProcess).tell(OsProcess.inform, {"crash": "line one\nline two"})
            crash = await news.recorder.until(ChildExited, "a")
            assert isinstance(crash.reason, Crash)
            assert isinstance(crash.reason.error, ProcessDied)
            assert crash.reason.error.exit.code == 3
            assert crash.reason.error.exit.stderr == ("line one", "line two")
            assert await news.hear("ready") != pid

    async def test_a_clean_exit_is_a_normal_end(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program())) as system:
            system.ref("a", OsProcess).tell(OsProcess.inform, {"leave": True})
            assert str((await news.recorder.until(ChildExited, "a")).reason) == "Normal()"
            await news.recorder.until(ChildStarted, "a", n=2)

    async def test_a_process_that_hangs_is_killed_for_its_silence(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(silence_s=0.7), on_change=news.report)) as system:
            pid = await news.hear("ready")
            system.ref("a", OsProcess).tell(OsProcess.inform, {"hang": True})
            await news.recorder.until(ChildStarted, "a", n=2)
            exit = news.last(pid).exit
            assert exit is not None
            assert (exit.signal, exit.why) == (signal.SIGKILL, "silent for 0.7 s")

    async def test_a_process_that_beats_is_not_silent_however_long_it_has_nothing_to_say(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(silence_s=0.3), on_change=news.report)):
            pid = await news.hear("ready")
            await asyncio.sleep(0.9)  # three times as long as it may be silent
            assert news.standings(pid) == [Standing.STARTING, Standing.ACTIVE]

    async def test_a_process_that_finds_no_processor_is_late_and_not_silent(self, news: News) -> None:
        child = OsProcess.child("a", news.program(silence_s=0.4), on_change=news.report)
        async with one(news, child) as system:
            pid = await news.hear("ready")
            with starved(pid):
                system.ref("a", OsProcess).tell(OsProcess.inform, {"toil": 0.15})  # of a processor: a second or more
                assert await news.hear("toiled") == pid
            assert news.standings(pid) == [Standing.STARTING, Standing.ACTIVE]

    async def test_a_process_that_was_stopped_is_found_also_where_nobody_finds_a_processor(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(silence_s=0.4), on_change=news.report)):
            pid = await news.hear("ready")
            with starved(pid):
                os.kill(pid, signal.SIGSTOP)
                await news.until_gone(pid)
            exit = news.last(pid).exit
            assert exit is not None
            assert exit.why == "silent for 0.4 s"

    async def test_a_process_that_computes_and_says_nothing_is_killed_for_its_silence(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program(silence_s=0.4), on_change=news.report)) as system:
            pid = await news.hear("ready")
            system.ref("a", OsProcess).tell(OsProcess.inform, {"spin": True})
            await news.until_gone(pid)
            exit = news.last(pid).exit
            assert exit is not None
            assert exit.why == "silent for 0.4 s"

    async def test_a_process_has_its_time_between_sigterm_and_sigkill(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program("slow", stop_s=10.0), on_change=news.report)):
            pid = await news.hear("ready")
        assert await news.hear("stopping") == await news.hear("stopped") == pid
        await asyncio.sleep(0)
        exit = news.last(pid).exit
        assert exit is not None
        assert (exit.code, exit.signal, exit.why) == (0, None, "")

    async def test_a_process_that_takes_longer_than_its_time_was_asked_before_it_is_killed(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program("slow", stop_s=0.1), on_change=news.report)):
            pid = await news.hear("ready")
        assert await news.hear("stopping") == pid
        await asyncio.sleep(0)
        exit = news.last(pid).exit
        assert exit is not None
        assert (exit.signal, exit.why) == (signal.SIGKILL, "did not stop")

    async def test_the_last_twenty_lines_are_kept_and_a_line_without_an_end_is_one(self, news: News) -> None:
        program = Program(("sh", "-c", "seq 30 >&2; printf 'and no more' >&2; exit 7"), speaks=False)
        child = OsProcess.child("a", program, on_change=news.report, restart=Restart.TEMPORARY)
        with suppress(StartFailed):  # it may be quicker than its own start
            async with one(news, child):
                await news.recorder.until(ChildExited, "a")
        await news.until_gone(news.reports[0].pid)
        exit = news.reports[-1].exit
        assert exit is not None
        assert exit.code == 7
        assert exit.stderr == (*map(str, range(12, 31)), "and no more")

    async def test_a_socket_that_is_inherited_outlives_who_reads_it(self, news: News) -> None:
        """What arrives while nobody is there is read by the next life."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound, connected(bound) as far:
            program = replace(news.program(), sockets={"news": news.theirs, "rtp": bound})
            async with one(news, OsProcess.child("a", program, on_change=news.report)) as system:
                pid = await news.hear("ready")
                far.send(b"1")
                system.ref("a", OsProcess).tell(OsProcess.inform, {"read": "rtp"})
                assert await news.hear("read") == 1
                os.kill(pid, signal.SIGSTOP)
                far.send(b"2")
                os.kill(pid, signal.SIGKILL)
                assert await news.hear("ready") != pid
                await news.recorder.until(ChildStarted, "a", n=2)
                system.ref("a", OsProcess).tell(OsProcess.inform, {"read": "rtp"})
                assert await news.hear("read") == 2

    async def test_a_process_that_ignores_sigterm_is_killed(self, news: News) -> None:
        program = news.program("stubborn", stop_s=0.3)
        async with one(news, OsProcess.child("a", program, on_change=news.report)):
            pid = await news.hear("ready")
        await asyncio.sleep(0)
        exit = news.last(pid).exit
        assert exit is not None
        assert (exit.signal, exit.why) == (signal.SIGKILL, "did not stop")

    async def test_a_process_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(self, news: News) -> None:
        with pytest.raises(StartFailed, match="ProcessDied") as failed:
            await self.start(news, news.program("stillborn"))
        error = failed.value.__cause__
        while error is not None and not isinstance(error, ProcessDied):
            error = error.__cause__
        assert error is not None
        assert error.exit.stderr == ("cannot start",)

    async def test_a_process_that_is_not_ready_in_time_is_killed_and_fails_the_start(self, news: News) -> None:
        with pytest.raises(StartFailed, match="not ready within"):
            await self.start(news, Program(("sleep", "3600"), ready_s=0.1))

    async def test_a_program_that_is_not_there_fails_the_start(self, news: News) -> None:
        with pytest.raises(StartFailed, match="FileNotFoundError"):
            await self.start(news, Program(("/no/such/program",)))

    async def test_a_foreign_program_is_ready_when_it_is_spawned(self, news: News) -> None:
        program = Program(("sleep", "3600"), speaks=False)
        async with one(news, OsProcess.child("a", program, on_change=news.report)) as system:
            (report,) = await system.ref("a", OsProcess).ask(OsProcess.reports)
            assert report.standing is Standing.ACTIVE
        assert not exists(report.pid)

    async def test_what_a_process_leaves_behind_in_its_group_dies_with_it(self, news: News) -> None:
        async with one(news, OsProcess.child("a", news.program())) as system:
            system.ref("a", OsProcess).tell(OsProcess.inform, {"breed": True})
            grandchild = await news.hear("bred")
            os.kill(await self.pid(system), signal.SIGKILL)
            await gone(grandchild)

    async def test_a_start_that_is_cancelled_leaves_no_process(self, news: News) -> None:
        async def start() -> None:
            async with one(news, OsProcess.child("a", Program(("sleep", "3600")), on_change=news.report)):
                raise AssertionError("started")

        starting = asyncio.create_task(start())
        while not news.reports:
            await news.reported.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await news.until_gone(news.reports[0].pid)

    @pytest.mark.parametrize("news", [RUN, FORKED], indirect=True)
    async def test_a_brutal_kill_leaves_no_process(self, news: News) -> None:
        child = Child(lambda: OsProcess(news.program(), news.report), id="a", shutdown=BRUTAL_KILL)
        async with one(news, child) as system:
            pid = await self.pid(system)
        await news.until_gone(pid)

    @staticmethod
    async def start(news: News, program: Program) -> None:
        async with one(news, OsProcess.child("a", program, on_change=news.report)):
            raise AssertionError("started")

    @staticmethod
    async def pid(system: System) -> int:
        (report,) = await system.ref("a", OsProcess).ask(OsProcess.reports)
        return report.pid

    def test_a_program_without_arguments_or_with_no_time_is_refused(self) -> None:
        for bad in ({"argv": ()}, {"ready_s": 0.0}, {"beat_s": 3.0, "silence_s": 3.0}):
            with pytest.raises(BadSpec):
                Program(**{"argv": ("x",), **bad})  # type: ignore[arg-type]


@pytest.mark.parametrize("news", [RUN, FORKED], indirect=True)
class TestPair:
    async def test_when_the_active_one_is_killed_the_spare_is_told_and_a_new_spare_comes(self, news: News) -> None:
        async with one(news, Pair.child("edge", news.program(), on_change=news.report)) as system:
            active, spare = await news.hear("ready"), await news.hear("spare")
            os.kill(active, signal.SIGKILL)
            assert await news.hear("activated") == spare
            assert not exists(active)
            new_spare = await news.hear("spare")
            reports = await system.ref("edge", Pair).ask(Pair.reports)
            assert [(report.pid, report.standing) for report in reports] == [
                (spare, Standing.ACTIVE),
                (new_spare, Standing.SPARE),
            ]
            assert news.standings(spare) == [Standing.STARTING, Standing.SPARE, Standing.ACTIVE]
            heard = [(report.pid, report.standing) for report in news.reports]
            assert heard.index((active, Standing.GONE)) < heard.index((spare, Standing.ACTIVE))
            assert "edge" not in news.recorder.exits()

    async def test_the_spare_goes_on_reading_the_socket_of_the_active_one(self, news: News) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound, connected(bound) as far:
            program = replace(news.program(), sockets={"news": news.theirs, "rtp": bound})
            async with one(news, Pair.child("edge", program)) as system:
                active, spare = await news.hear("ready"), await news.hear("spare")
                os.kill(active, signal.SIGSTOP)
                far.send(b"7")
                os.kill(active, signal.SIGKILL)
                assert await news.hear("activated") == spare
                system.ref("edge", Pair).tell(Pair.inform, {"read": "rtp"})
                assert await news.hear("read") == 7

    async def test_an_active_one_that_hangs_is_made_sure_of_and_taken_over(self, news: News) -> None:
        async with one(news, Pair.child("edge", news.program(silence_s=0.7))) as system:
            active, spare = await news.hear("ready"), await news.hear("spare")
            os.kill(active, signal.SIGSTOP)
            assert await news.hear("activated") == spare
            assert not exists(active)
            assert system.ref("edge", Pair).is_alive

    async def test_a_spare_that_dies_is_replaced_and_the_active_one_is_left_alone(self, news: News) -> None:
        async with one(news, Pair.child("edge", news.program())) as system:
            active, spare = await news.hear("ready"), await news.hear("spare")
            os.kill(spare, signal.SIGKILL)
            assert await news.hear("spare") != spare
            assert (await system.ref("edge", Pair).ask(Pair.reports))[0].pid == active

    async def test_without_a_spare_the_death_of_the_active_one_is_the_pairs(self, news: News) -> None:
        async with one(news, Pair.child("edge", news.program(), on_change=news.report)):
            active, spare = await news.hear("ready"), await news.hear("spare")
            os.kill(spare, signal.SIGKILL)
            await news.until_gone(spare)
            os.kill(active, signal.SIGKILL)
            await news.recorder.until(ChildStarted, "edge", n=2)
            assert await news.hear("ready") not in (active, spare)

    async def test_killed_the_moment_it_is_active_again_and_again_there_is_always_a_successor(self, news: News) -> None:
        """Far beyond its intensity, and mostly before the next spare is ready: that one is waited for."""
        pair = Pair.child("edge", news.program(), spares=2, intensity=3, on_change=news.report)
        async with one(news, pair) as system:
            active, seen = await news.hear("ready"), set[int]()
            await news.hear("spare")
            for _ in range(12):
                os.kill(active, signal.SIGKILL)
                active = await news.hear("activated")
                assert active not in seen
                seen.add(active)
            assert system.ref("edge", Pair).is_alive
        assert "edge" not in [event.path for event in news.recorder.of(ChildExited) if isinstance(event.reason, Crash)]
        assert max(news.standings(pid).count(Standing.ACTIVE) for pid in seen) == 1

    async def test_an_order_to_be_active_that_comes_at_once_is_obeyed_once(self, news: News) -> None:
        """The spare is told before it has asked whether it is one."""
        async with one(news, Pair.child("edge", news.program("late"))):
            os.kill(await news.hear("ready"), signal.SIGKILL)  # its spare has hardly begun
            assert await news.hear("spare") == await news.hear("activated")


def test_a_pair_without_a_spare_is_refused() -> None:
    with pytest.raises(BadSpec):
        Pair.child("edge", Program(("x",)), spares=0)


async def a_launcher(*kind: str) -> tuple[asyncio.subprocess.Process, dict[str, int]]:
    """Start a launcher with one pair in a process of its own; return it and its children's pids by standing."""
    launcher = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAMS / "launcher.py"),
        *kind,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert launcher.stdout is not None
    pids: dict[str, int] = {}
    async with asyncio.timeout(20):
        while not pids.keys() >= {"active", "spare"}:
            report = json.loads(await launcher.stdout.readline())
            pids[report["standing"]] = report["pid"]
    return launcher, pids


class TestAPause:
    """Longer than anybody may be silent, and than any watchdog lets a loop be held (`watched`: 0.6 s and 0.4 s)."""

    async def test_is_nobodys_death(self) -> None:
        launcher, pids = await a_launcher("watched")
        pids["launcher"] = launcher.pid
        for stopped in (["launcher"], ["launcher", "active", "spare"], ["active", "spare", "launcher"]):
            for name in stopped:
                os.kill(pids[name], signal.SIGSTOP)
            await asyncio.sleep(0.8)
            for name in reversed(stopped):  # whoever goes on first finds the others silent
                os.kill(pids[name], signal.SIGCONT)
                await asyncio.sleep(0.02)
        assert launcher.stdout is not None
        with pytest.raises(TimeoutError):  # nothing is reported in a whole period: nobody died, nobody was started
            async with asyncio.timeout(0.9):
                raise AssertionError(await launcher.stdout.readline())
        os.kill(pids["active"], signal.SIGKILL)
        assert json.loads(await launcher.stdout.readline())["pid"] == pids["active"], "it still sees who does die"
        launcher.kill()
        await launcher.wait()
        await gone(pids["spare"])

    async def test_does_not_save_who_stays_stopped(self) -> None:
        launcher, pids = await a_launcher("watched")
        for pid in (launcher.pid, pids["active"]):
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.8)
        os.kill(launcher.pid, signal.SIGCONT)
        assert launcher.stdout is not None
        assert json.loads(await launcher.stdout.readline()) == {"pid": pids["active"], "standing": "gone"}
        launcher.kill()
        await launcher.wait()
        await gone(pids["spare"])


class TestTheLaunchersDeath:
    @pytest.mark.parametrize("kind", [[], ["stubborn"]])
    async def test_a_launcher_that_is_killed_leaves_no_process(self, kind: list[str]) -> None:
        launcher, pids = await a_launcher(*kind)
        launcher.kill()
        await launcher.wait()
        await gone(pids["active"])
        await gone(pids["spare"])

    async def test_a_process_without_a_launcher_is_told_so(self) -> None:
        with pytest.raises(NoParent):
            await Parent.attach()


async def test_a_process_that_cannot_be_kept_alive_uses_up_the_restart_intensity() -> None:
    async def run() -> None:
        program = Program(("false",), speaks=False)
        async with running(Supervisor([OsProcess.child("a", program)], intensity=2)):
            await asyncio.get_running_loop().create_future()

    with pytest.raises((TreeDown, StartFailed)):  # it may be quicker than its own start
        await run()
