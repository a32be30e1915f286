"""Standard error that nobody reads: nothing waits for it, and what was lost of it is told."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nodes import sink as module
from nodes.sink import Dropping, Spooled

ROOT = Path(__file__).parents[2]
LINE = "x" * 99 + "\n"
CHILD = """
import asyncio, sys
from nodes import watch
from nodes.sink import Dropping
from nodes.telemetry import logs
from supervisors.parent import Parent

async def main():
    sys.stderr = Dropping(2, "child")
    logs.configure("info", "n1", "child")
    log = logs.get("child")
    parent = await Parent.attach(watch.over_process(log.warning))
    await parent.ready({})
    async def talk():
        n = 0
        while True:
            await asyncio.sleep(0.002)
            for _ in range(20):
                n += 1
                log.info("said", n=n, text="x" * 100)
    talking = asyncio.create_task(talk())
    async for order in parent.orders:
        pass

asyncio.run(main())
"""
LAUNCHER = """
import asyncio, os, sys
from nodes.sink import Spooled
from supervisors import Supervisor, running
from supervisors.process import OsProcess, Program

async def main():
    def changed(report):
        os.write(1, f"{report.standing.name} {report.pid}\\n".encode())
    program = Program((sys.executable, "-c", os.environ["CHILD"]), beat_s=0.1, silence_s=0.9)
    async with running(Supervisor([OsProcess.child("x", program, on_change=changed)])):
        while True:
            await asyncio.sleep(0.1)
            os.write(1, b"beat\\n")

sys.stderr = Spooled(2, "launcher")
asyncio.run(main())
"""


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe as whoever reads it little by little has it: small."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def told(text: str) -> list[int]:
    """Return how many lines were dropped, as often as that was said."""
    return [json.loads(line)["lines"] for line in text.split("\n")[:-1] if "log.dropped" in line]


def test_a_child_drops_what_its_pipe_does_not_take_and_says_how_much_when_it_takes_again() -> None:
    with pipe() as (reader, writer):
        sink = Dropping(writer, "edge-0")
        for _ in range(100):
            sink.write(LINE)
        first = os.read(reader, 65536).decode()
        sink.write("next\n")
        second = os.read(reader, 65536).decode()
    whole = (first + second).splitlines(keepends=True)
    assert all(line == LINE or "log.dropped" in line or line == "next\n" for line in whole), "no line is cut"
    assert whole.count(LINE) + told(second)[0] == 100
    assert whole[-1] == "next\n"


def test_a_line_that_was_begun_is_ended_before_another_begins() -> None:
    with pipe() as (reader, writer):
        sink = Dropping(writer, "edge-0")
        long = "y" * 6000 + "\n"
        sink.write(long)
        sink.write(LINE)  # dropped: the long one is half out
        text = os.read(reader, 65536).decode()
        sink.flush()
        sink.write("next\n")
        text += os.read(reader, 65536).decode()
    assert text.startswith(long)
    assert told(text) == [1]
    assert text.endswith("next\n")


def test_the_launcher_waits_for_nobody_and_what_it_has_kept_comes_out_when_somebody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 64 * 1024)
    with pipe() as (reader, writer):
        sink, n = Spooled(writer, "launcher"), 5 * module.MAX_BYTES // len(LINE)
        began = time.monotonic()
        for _ in range(n):
            sink.write(LINE)
        assert time.monotonic() - began < 60.0
        text = ""
        while text.count(LINE) + sum(told(text)) < n:
            text += os.read(reader, 65536).decode()
    assert text.count(LINE) + sum(told(text)) == n
    assert sum(told(text)) > n / 2


def test_its_last_lines_are_written_before_it_ends_if_somebody_reads() -> None:
    with pipe() as (reader, writer):
        sink = Spooled(writer, "launcher")
        sink.write("last\n")
        sink.flush()
        os.set_blocking(reader, False)
        assert os.read(reader, 100) == b"last\n"
        for _ in range(100):
            sink.write(LINE)
        began = time.monotonic()
        sink.flush()
        assert 0.4 < time.monotonic() - began < 60.0, "and if nobody does, not for long"


def test_a_terminal_that_was_stopped_with_ctrl_s_stops_nobody() -> None:
    ours, theirs = pty.openpty()
    sink = Spooled(theirs, "launcher")
    termios.tcflow(theirs, termios.TCOOFF)
    for _ in range(1000):
        sink.write(LINE)
    termios.tcflow(theirs, termios.TCOON)
    text = b""
    while text.count(b"x" * 99) < 1000:
        text += os.read(ours, 65536)
    sink.flush()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("sink", [Dropping, Spooled])
def test_a_closed_pipe_ends_nobody(sink: type[Dropping] | type[Spooled]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    made = sink(writer, "edge-0")
    made.write(LINE)
    made.flush()
    os.close(writer)


@pytest.mark.parametrize("sink", [Dropping, Spooled])
def test_lines_of_many_threads_are_whole(sink: type[Dropping] | type[Spooled]) -> None:
    reader, writer = os.pipe()
    made = sink(writer, "edge-0")
    threads = [threading.Thread(target=lambda: [made.write(LINE) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.flush()
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.readlines() == [LINE] * 400


async def test_a_node_whose_log_nobody_reads_goes_on_and_says_later_what_is_missing() -> None:
    """Launcher and child write more than a pipe and the launcher hold; then the launcher stands still, too."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CHILD": CHILD}
    launcher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LAUNCHER, stdout=asyncio.subprocess.PIPE, stderr=writer, env=env
    )
    writer.close()
    assert launcher.stdout is not None
    try:
        while not (match := re.match(rb"ACTIVE (\d+)", await launcher.stdout.readline())):
            pass
        n_beats, before = 0, _n_read(launcher.pid)
        # A second and a half: longer than the watchdog and the launcher leave anybody who is held.
        while n_beats < 15 or _n_read(launcher.pid) - before < 2 * module.MAX_BYTES:
            async with asyncio.timeout(60):
                assert await launcher.stdout.readline() == b"beat\n", "the child has died, or the launcher stands"
            n_beats += 1
        log = Log(reader)
        await log.until("launcher")
        # What the child says it has dropped may be dropped, too, while the launcher is full: so that is read out first.
        # And on a busy machine a second may not be enough for the child to fill its pipe: then there is another.
        for _ in range(10):
            launcher.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)
            launcher.send_signal(signal.SIGCONT)
            with suppress(TimeoutError):
                async with asyncio.timeout(6):
                    await log.until("child")
                    break
        assert "child" in log.told
        os.kill(int(match[1]), 0)  # it is there
    finally:
        launcher.kill()
        await launcher.wait()
        reader.close()


class Log:
    """What comes out of the launcher's standard error, looked at once: there are many megabytes."""

    def __init__(self, reader: socket.socket) -> None:
        self._reader, self._rest = reader, ""
        self.told: set[str] = set()
        """The processes of which it was told that lines are missing."""

    async def until(self, process: str) -> None:
        """Read until that one has told so; a minute at most."""
        async with asyncio.timeout(60):
            while process not in self.told:
                self._rest += (await asyncio.get_running_loop().sock_recv(self._reader, 1 << 20)).decode()
                lines, _, self._rest = self._rest.rpartition("\n")
                self.told |= set(re.findall(r'"process": "(\w+)".*log.dropped', lines))


def _n_read(pid: int) -> int:
    """Return how many bytes a process has read."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])
