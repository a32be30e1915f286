"""The watchdog: real loops held by real code, in real time. The limits are short, so that the tests are.

Nothing waits for a duration but what blocks the loop on purpose; the rest waits for what the watchdog says.
"""

import asyncio
import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from supervisors import (
    Actor,
    BadSpec,
    Child,
    ChildExited,
    ChildStarted,
    Crash,
    Dynamic,
    Gone,
    Interrupted,
    LoopBlocked,
    LoopFreed,
    StartFailed,
    Supervisor,
    Watchdog,
    eventloop,
    running,
)
from supervisors.exits import Exit
from supervisors.process import OsProcess, ProcessDied, Program
from supervisors.testing import Boom, Echo, Recorder
from supervisors.watchdog import EXIT_CODE, Report

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
HOG = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def spin(seconds: float = 3600.0) -> None:
    """Hold the loop for so long as the watchdog counts it: time in which there was a processor."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class Blocker(Actor):
    """Blocks the loop in a plain handler, and where handlers lead."""

    def spin(self, seconds: float = 3600.0) -> None:
        spin(seconds)

    def run(self, work: Callable[[], object]) -> None:
        work()

    def spin_later(self) -> None:
        self.after(0.0, Blocker.spin)

    def spin_in_a_task(self) -> None:
        _ = self.task(self._spin())

    def go_on_spinning(self) -> None:
        while True:
            try:
                spin()
            except (Exception, asyncio.CancelledError):  # noqa: BLE001, S110 - the beast
                pass

    def take_long_to_clean_up(self) -> None:
        try:
            spin()
        finally:
            spin(0.1)

    async def _spin(self) -> None:
        spin()


class Waiter(Actor):
    """Blocks the loop in a handler of the other engine."""

    async def spin(self) -> None:
        await asyncio.sleep(0)
        spin()

    async def swallow_and_spin(self) -> None:
        while True:
            try:
                spin()
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the beast
                await asyncio.sleep(0)


class Unborn(Actor):
    def __init__(self) -> None:
        spin()


class SlowToBegin(Actor):
    async def init(self) -> None:
        await asyncio.sleep(0)
        spin()


class SlowToEnd(Actor):
    def terminate(self, reason: Exit) -> None:
        spin()

    def end(self) -> None:
        self.stop()


def quick(
    *,
    warn_s: float | None = 0.1,
    interrupt_s: float | None = None,
    tick_s: float = 0.02,
    report: Report = lambda event: None,
) -> Watchdog:
    """A watchdog that looks 50 times a second, and whose word nobody reads at once."""
    return Watchdog(warn_s=warn_s, interrupt_s=interrupt_s, tick_s=tick_s, report=report)


def held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def command(how: str, interrupt_s: float | str = "never", exit_s: float | str = "never") -> list[str]:
    return [sys.executable, str(PROGRAMS / "blocked.py"), how, str(interrupt_s), str(exit_s)]


def end_of(how: str, interrupt_s: float | str, exit_s: float) -> subprocess.CompletedProcess[str]:
    args = command(how, interrupt_s, exit_s)
    return subprocess.run(args, env=ENV, capture_output=True, text=True, timeout=60, check=False)


def crash_of(recorder: Recorder, path: str) -> BaseException:
    reason = recorder.exits()[path]
    assert isinstance(reason, Crash)
    return reason.error


class TestABlockedLoopIsReported:
    async def test_at_once_while_it_is_blocked_with_the_actor_its_handler_and_its_stack(self) -> None:
        told: list[tuple[str, LoopBlocked | LoopFreed]] = []
        let_go = threading.Event()

        def report(event: LoopBlocked | LoopFreed) -> None:
            told.append((threading.current_thread().name, event))
            let_go.set()

        recorder = Recorder()
        tree = Supervisor([Supervisor([Child(Blocker, id="zmq")], id="links")])
        async with running(tree, hook=recorder, watchdog=quick(report=report)) as system:
            await system.ref("links/zmq", Blocker).ask(Blocker.run, lambda: let_go.wait(60))
            freed = await recorder.until(LoopFreed)
        (_, blocked), (thread, _) = told
        assert thread == "watchdog"
        assert isinstance(blocked, LoopBlocked)
        assert (blocked.path, blocked.during) == ("links/zmq", "Blocker.run")
        assert 0.1 <= blocked.seconds <= freed.seconds
        assert any(line.endswith("in Blocker.run") for line in blocked.stack)
        assert "threading.py" in blocked.stack[-1]
        assert recorder.of(LoopBlocked) == [blocked], "the hook hears the same, later"

    async def test_once_however_long_it_lasts_and_once_more_when_it_is_over(self) -> None:
        recorder = Recorder()
        async with running(Supervisor([Child(Blocker, id="a")]), hook=recorder, watchdog=quick()) as system:
            for n in (1, 2):
                await system.ref("a", Blocker).ask(Blocker.spin, 0.4)
                await recorder.until(LoopFreed, n=n)
        events = [event for event in recorder.events if isinstance(event, LoopBlocked | LoopFreed)]
        assert [type(event) for event in events] == [LoopBlocked, LoopFreed] * 2
        assert all(event.seconds >= 0.3 for event in recorder.of(LoopFreed))

    async def test_afterwards_when_c_code_has_kept_the_gil(self) -> None:
        def took() -> float:
            began = time.thread_time()
            sum(itertools.repeat(0, 1_000_000))
            return time.thread_time() - began

        n = int(1_000_000 * 0.5 / min(took() for _ in range(5)))  # half a second, if it is as fast as it just was
        recorder = Recorder()
        async with running(Supervisor([Child(Blocker, id="a")]), hook=recorder, watchdog=quick()) as system:
            for longer in (1, 2, 4, 8):
                await system.ref("a", Blocker).ask(Blocker.run, partial(sum, itertools.repeat(0, longer * n)))
                await asyncio.sleep(0.2)
                if recorder.of(LoopBlocked):
                    break
            blocked = await recorder.until(LoopBlocked)
        assert (blocked.path, blocked.during) == ("a", "Blocker.run")

    def test_as_soon_of_a_loop_that_waited_when_it_was_looked_at(self) -> None:
        """One that says so itself is not woken, and seldom looked at."""

        async def main() -> None:
            recorder = Recorder()
            watchdog = quick(warn_s=0.2, interrupt_s=1.2)
            async with running(Supervisor([Child(Blocker, id="a")]), hook=recorder, watchdog=watchdog) as system:
                for n in (1, 2):
                    await asyncio.sleep(0.25)  # it waits, and is seen to wait
                    await system.ref("a", Blocker).ask(Blocker.spin, 0.4)
                    assert (await recorder.until(LoopFreed, n=n)).seconds >= 0.3
                with pytest.raises(Gone):
                    await system.ref("a", Blocker).ask(Blocker.spin)
            assert [event.during for event in recorder.of(LoopBlocked)] == ["Blocker.spin"] * 3

        eventloop.run(main())

    async def test_with_the_name_of_the_task_when_it_is_no_actors(self) -> None:
        async def stranger() -> None:
            spin(0.2)

        recorder = Recorder()
        async with running(Supervisor([]), hook=recorder, watchdog=quick(interrupt_s=0.15)):
            await asyncio.create_task(stranger(), name="stranger")
            blocked = await recorder.until(LoopBlocked)
            asyncio.get_running_loop().call_soon(spin, 0.2)
            callback = await recorder.until(LoopBlocked, n=2)
        assert (blocked.path, blocked.during.rpartition(".")[2]) == ("stranger", "stranger")
        assert (callback.path, callback.during) == ("", "spin")

    async def test_of_every_tree_on_the_loop_and_without_one(self) -> None:
        inner, outer = Recorder(), Recorder()
        told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def report(event: LoopBlocked | LoopFreed) -> None:
            loop.call_soon_threadsafe(told.set)

        async with running(Supervisor([]), hook=outer):
            with quick(report=report):
                async with running(Supervisor([Child(Blocker, id="a")]), hook=inner) as system:
                    await system.ref("a", Blocker).ask(Blocker.spin, 0.2)
                    await inner.until(LoopFreed)
                told.clear()
        assert inner.of(LoopBlocked) == outer.of(LoopBlocked)
        with quick(report=report):
            spin(0.2)
            await told.wait()

    async def test_a_report_that_raises_does_not_end_the_watch(self, capsys: pytest.CaptureFixture[str]) -> None:
        def report(event: LoopBlocked | LoopFreed) -> None:
            raise Boom

        recorder = Recorder()
        async with running(
            Supervisor([Child(Blocker, id="a")]), hook=recorder, watchdog=quick(report=report)
        ) as system:
            for n in (1, 2):
                await system.ref("a", Blocker).ask(Blocker.spin, 0.2)
                await recorder.until(LoopFreed, n=n)
        assert "Boom" in capsys.readouterr().err


class TestNobodyIsBlamed:
    async def test_when_nothing_blocks(self) -> None:
        recorder = Recorder()
        async with running(Supervisor([Child(Echo, id="a")]), hook=recorder, watchdog=Watchdog(warn_s=0.5)) as system:
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                await system.ref("a", Echo).ask(Echo.add)
        assert not recorder.of(LoopBlocked)

    async def test_when_many_short_handlers_keep_the_loop_busy(self) -> None:
        recorder = Recorder()
        tree = Supervisor([Dynamic(Blocker, id="many")])
        async with running(tree, hook=recorder, watchdog=Watchdog(warn_s=0.5, interrupt_s=0.6)) as system:
            many = [await system.dynamic("many", Blocker).start() for _ in range(300)]
            await asyncio.gather(*(one.ask(Blocker.spin, 0.005) for one in many))
        assert not recorder.of(LoopBlocked)
        assert recorder.exits().keys() >= {one.path for one in many}
        assert not [reason for reason in recorder.exits().values() if isinstance(reason, Crash)]

    async def test_when_actors_that_share_a_callback_take_their_time_together(self) -> None:
        told: list[object] = []
        tree, watchdog = Supervisor([Dynamic(Blocker, id="many")]), Watchdog(warn_s=0.3, report=told.append)
        async with running(tree, watchdog=watchdog) as system:
            many = [await system.dynamic("many", Blocker).start() for _ in range(18)]
            await asyncio.gather(*(one.ask(Blocker.spin, 0.05) for one in many))
            await asyncio.sleep(2 * watchdog.tick_s)
        assert not told

    def test_when_the_whole_process_was_stopped(self) -> None:
        with subprocess.Popen(command("be_stopped"), env=ENV, stderr=subprocess.PIPE, text=True) as program:
            os.waitid(os.P_PID, program.pid, os.WSTOPPED)
            time.sleep(0.5)  # so long is it stopped
            program.send_signal(signal.SIGCONT)
            assert program.communicate(timeout=20)[1] == ""
        assert program.returncode == 0

    def test_when_the_loop_finds_no_processor(self) -> None:
        """On a core that others have: what takes a twentieth of a second there is longer than its limits."""
        argv, core = [sys.executable, "-c", HOG], min(os.sched_getaffinity(0))
        hogs = [subprocess.Popen(argv, start_new_session=True) for _ in range(6)]  # sessions share alike (sched(7))
        try:
            for hog in hogs:
                os.sched_setaffinity(hog.pid, {core})
            done = end_of("starve", 0.3, 0.5)
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        assert (done.returncode, done.stderr) == (0, "")


class TestAnInterrupt:
    @pytest.mark.parametrize(
        ("cls", "handler", "during"),
        [
            (Blocker, Blocker.spin, "Blocker.spin"),
            (Blocker, Blocker.spin_later, "Blocker.spin"),
            (Blocker, Blocker.spin_in_a_task, "Blocker._spin"),
            (Blocker, Blocker.go_on_spinning, "Blocker.go_on_spinning"),
            (Waiter, Waiter.spin, "Waiter.spin"),
            (Waiter, Waiter.swallow_and_spin, "Waiter.swallow_and_spin"),
            (SlowToEnd, SlowToEnd.end, "SlowToEnd.terminate"),
        ],
    )
    async def test_is_the_crash_of_the_actor_and_its_supervisor_decides(
        self, cls: type[Actor], handler: Callable[..., object], during: str
    ) -> None:
        recorder = Recorder()
        tree = Supervisor([Child(Echo, id="before"), Child(cls, id="a"), Child(Echo, id="after")])
        async with running(tree, hook=recorder, watchdog=quick(interrupt_s=0.2)) as system:
            await system.ref("before", Echo).ask(Echo.add)
            system.ref("a", cls).tell(handler)
            await recorder.until(ChildExited, "a")
            blocked = await recorder.until(LoopBlocked)
            assert (blocked.path, blocked.during) == ("a", during)
            assert isinstance(crash_of(recorder, "a"), Interrupted)
            assert system.ref("a", cls).is_alive
            assert await system.ref("before", Echo).ask(Echo.add) == 2
            assert await system.ref("after", Echo).ask(Echo.add) == 1

    @pytest.mark.parametrize("is_asked", [True, False])
    async def test_cuts_short_an_error_that_takes_long_to_tell(self, is_asked: bool) -> None:
        class LongTale(Exception):
            n_told = 0

            def __str__(self) -> str:
                LongTale.n_told += 1
                if LongTale.n_told == 1:
                    spin()
                return "told"

        class Teller(Echo):
            def tell_it(self) -> None:
                raise LongTale

        async with running(Supervisor([Child(Teller, id="a")]), watchdog=quick(interrupt_s=0.2)) as system:
            ref = system.ref("a", Teller)
            down, asked = ref.down(), ref.ask(Teller.tell_it) if is_asked else ref.tell(Teller.tell_it)
            assert isinstance(await down, Crash)
            assert await ref.ask(Echo.add) == 1
            if isinstance(asked, asyncio.Future):
                assert isinstance(asked.exception(), Gone)

    async def test_is_what_the_asker_gets_as_the_cause(self) -> None:
        async with running(Supervisor([Child(Blocker, id="a")]), watchdog=quick(interrupt_s=0.2)) as system:
            with pytest.raises(Gone, match=r"a has held the event loop for 0\.\d s") as gone:
                await system.ref("a", Blocker).ask(Blocker.spin)
        assert isinstance(gone.value.__cause__, Interrupted)

    @pytest.mark.parametrize("cls", [Unborn, SlowToBegin])
    async def test_fails_the_start_of_what_does_not_begin(self, cls: type[Actor]) -> None:
        recorder = Recorder()
        tree = Supervisor([Dynamic(cls, id="slow"), Child(Echo, id="a")])
        async with running(tree, hook=recorder, watchdog=quick(interrupt_s=0.2)) as system:
            with pytest.raises(StartFailed) as failed:
                await system.dynamic("slow", cls).start()
            assert isinstance(failed.value.exit, Crash)
            assert isinstance(failed.value.exit.error, Interrupted)
            assert await system.ref("a", Echo).ask(Echo.add) == 1
            assert (await recorder.until(LoopBlocked)).path == "slow/1"

    @pytest.mark.parametrize("work", [lambda: time.sleep(60), lambda: held().acquire(timeout=60)])
    async def test_wakes_what_python_can_be_woken_from(self, work: Callable[[], object]) -> None:
        async with running(Supervisor([Child(Blocker, id="a")]), watchdog=quick(interrupt_s=0.2)) as system:
            with pytest.raises(Gone):
                await system.ref("a", Blocker).within(30).ask(Blocker.run, work)

    async def test_leaves_time_to_clean_up(self) -> None:
        async with running(Supervisor([Child(Blocker, id="a")]), watchdog=quick(interrupt_s=0.2)) as system:
            with pytest.raises(Gone) as gone:
                await system.ref("a", Blocker).ask(Blocker.take_long_to_clean_up)
        assert gone.value.__cause__ is not None
        assert gone.value.__cause__.__context__ is None

    async def test_cuts_a_hook_short_and_harms_nobody(self) -> None:
        reported: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(type(context["exception"])))

        def hook(event: object) -> None:
            if isinstance(event, ChildExited) and isinstance(event.reason, Crash):
                spin()

        async with running(Supervisor([Child(Echo, id="a")]), hook=hook, watchdog=quick(interrupt_s=0.2)) as system:
            system.ref("a", Echo).tell(Echo.boom)
            await system.ref("a", Echo).down()
            assert await system.ref("a", Echo).ask(Echo.add) == 1
        assert reported == [Interrupted]

    async def test_does_not_reach_a_stranger(self) -> None:
        async with running(Supervisor([]), watchdog=quick(interrupt_s=0.15)):
            spin(0.4)

    async def test_hits_whom_it_is_meant_for_or_nobody(self) -> None:
        """Handlers that return at about the moment of their interrupt, while others wait for their turn."""
        recorder, seconds, n_answered = Recorder(), 0.03, 0
        tree = Supervisor([Child(Blocker, id="late"), *(Child(Echo, id=f"{n}") for n in range(20))], intensity=1000)
        watchdog = quick(tick_s=0.002, warn_s=None, interrupt_s=0.02)
        async with running(tree, hook=recorder, watchdog=watchdog) as system:
            others = [system.ref(f"{n}", Echo) for n in range(20)]
            for round_ in range(1, 61):
                answer = system.ref("late", Blocker).ask(Blocker.spin, seconds)
                counts = [other.ask(Echo.add) for other in others]
                (error,) = await asyncio.gather(answer, return_exceptions=True)
                n_answered += error is None
                seconds += 0.001 if error is None else -0.001
                assert [await count for count in counts] == [round_] * 20
        crashes = [event.path for event in recorder.of(ChildExited) if isinstance(event.reason, Crash)]
        assert crashes == ["late"] * (60 - n_answered)
        assert 6 <= n_answered <= 54, "some were quicker, some were not"

    async def test_a_signal_that_nobody_sent_does_nothing(self) -> None:
        async with running(Supervisor([Child(Blocker, id="a")]), watchdog=quick(interrupt_s=60)) as system:
            await system.ref("a", Blocker).ask(Blocker.run, lambda: signal.raise_signal(signal.SIGURG))

    def test_needs_the_main_thread(self) -> None:
        failed: list[BaseException] = []

        async def main() -> None:
            async with running(Supervisor([]), watchdog=Watchdog(interrupt_s=1.0)):
                raise AssertionError("started")

        def run() -> None:
            try:
                asyncio.run(main())
            except BadSpec as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert failed


class TestTheLastLimit:
    def test_ends_a_process_blocked_in_c_with_all_stacks_on_stderr(self) -> None:
        done = end_of("compute_in_c", interrupt_s=0.2, exit_s=0.5)
        assert done.returncode == EXIT_CODE == 75
        assert "Thread 0x" in done.stderr
        assert "in compute_in_c" in done.stderr
        first, *_, last = done.stderr.splitlines()
        assert first.startswith("LoopBlocked(path='blocker', during='Blocker.compute_in_c', seconds=")
        assert last.startswith("LoopBlocked(path='blocker', during='Blocker.compute_in_c', seconds=")

    def test_ends_what_catches_every_interrupt(self) -> None:
        done = end_of("catch_everything", interrupt_s=0.2, exit_s=0.5)
        assert done.returncode == EXIT_CODE
        assert "caught" in done.stdout
        assert "Blocker.catch_everything" in done.stderr.splitlines()[-1]

    def test_ends_what_does_not_even_let_the_watchdog_run(self) -> None:
        done = end_of("keep_the_gil", "never", exit_s=0.3)
        assert done.returncode == -signal.SIGVTALRM
        assert "in keep_the_gil" in done.stderr

    def test_does_not_end_a_process_that_was_stopped_for_longer(self) -> None:
        """Whoever stops a process, with its machine or by a signal: it has blocked nothing."""
        with subprocess.Popen(command("be_stopped", exit_s=0.4), env=ENV, stderr=subprocess.PIPE, text=True) as program:
            os.waitid(os.P_PID, program.pid, os.WSTOPPED)
            time.sleep(0.8)
            program.send_signal(signal.SIGCONT)
            _, said = program.communicate(timeout=60)
        assert program.returncode == 0, said

    async def test_is_told_to_the_launcher_which_starts_the_process_again(self) -> None:
        recorder = Recorder()
        ours, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        argv = (sys.executable, str(PROGRAMS / "child.py"), "watched")
        program = Program(argv, env={"PYTHONPATH": str(ROOT)}, sockets={"news": news})
        async with running(Supervisor([OsProcess.child("a", program)]), hook=recorder) as system:
            system.ref("a", OsProcess).tell(OsProcess.inform, {"hang": True})
            died = (await recorder.until(ChildExited, "a")).reason
            await recorder.until(ChildStarted, "a", n=2)
        ours.close()
        news.close()
        assert isinstance(died, Crash)
        assert isinstance(died.error, ProcessDied)
        assert (died.error.exit.code, died.error.exit.why) == (EXIT_CODE, "")
        assert "during='main'" in died.error.exit.stderr[-1]


class TestTheWatch:
    @pytest.mark.parametrize("error", [None, Boom])
    async def test_ends_with_its_tree_and_leaves_nothing_behind(self, error: type[Exception] | None) -> None:
        before = threading.active_count(), signal.getsignal(signal.SIGURG)

        async def run() -> None:
            async with running(Supervisor([Child(Echo, id="a")]), watchdog=Watchdog(interrupt_s=1.0, exit_s=60.0)):
                assert "watchdog" in {thread.name for thread in threading.enumerate()}
                if error is not None:
                    raise error

        with pytest.raises(error) if error is not None else nullcontext():
            await run()
        assert (threading.active_count(), signal.getsignal(signal.SIGURG)) == before

    async def test_can_be_taken_up_again(self) -> None:
        watchdog = quick()
        for _ in range(2):
            recorder = Recorder()
            async with running(Supervisor([Child(Blocker, id="a")]), hook=recorder, watchdog=watchdog) as system:
                await system.ref("a", Blocker).ask(Blocker.spin, 0.2)
                await recorder.until(LoopBlocked)
        watchdog.stop()

    @pytest.mark.parametrize(
        "limits",
        [
            {"warn_s": 0.0},
            {"tick_s": 0.0},
            {"exit_s": math.inf},
            {"warn_s": 1.0, "interrupt_s": 0.5},
            {"interrupt_s": 2.0, "exit_s": 2.0},
        ],
    )
    def test_of_limits_that_make_no_sense_is_refused(self, limits: dict[str, float]) -> None:
        with pytest.raises(BadSpec):
            Watchdog(**limits)  # type: ignore[arg-type]
