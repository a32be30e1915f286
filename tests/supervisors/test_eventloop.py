"""The loop reads before a timer judges, also when the process was stopped in between."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from supervisors.eventloop import ReadsFirst, is_waiting, run

ROOT = Path(__file__).parents[2]
STOPPED = """
import asyncio, os, sys
from supervisors.eventloop import run

async def main():
    loop, order = asyncio.get_running_loop(), []
    loop.add_reader(0, lambda: (order.append("read"), loop.remove_reader(0)))
    loop.call_later(0.3, order.append, "timer")
    os.write(1, b"waiting")
    while len(order) < 2:
        await asyncio.sleep(0.1 if order else 0.5)
    os.write(1, ", ".join(order).encode())

run(main())
"""


def test_what_came_while_the_process_was_stopped_is_read_before_the_time_out_that_waited_for_it() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(
        [sys.executable, "-c", STOPPED], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    with program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.read(7) == b"waiting"
        program.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED)
        program.stdin.write(b"x")
        time.sleep(0.4)  # longer than the time-out
        program.send_signal(signal.SIGCONT)
        assert program.stdout.read() == b"read, timer"


def test_a_loop_of_ours_waits_looks_and_ends_as_asyncios() -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(0.05)
        assert loop.time() - began >= 0.05
        return isinstance(loop, asyncio.SelectorEventLoop)

    assert run(main())


def test_a_loop_says_while_it_waits_and_that_nothing_holds_it_when_it_does_not() -> None:
    async def main() -> None:
        loop, seen, is_over = asyncio.get_running_loop(), set[bool](), threading.Event()
        assert not is_waiting(loop)

        def look() -> None:
            while not is_over.is_set():
                seen.add(is_waiting(loop))
                time.sleep(0.001)

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            async with asyncio.timeout(20):
                while seen != {True, False}:
                    await asyncio.sleep(0.01)
                    time.sleep(0.01)  # noqa: ASYNC251 - something holds it
            is_over.set()
            looking.result()

    run(main())


def test_of_somebody_elses_loop_it_is_not_known_whether_it_waits() -> None:
    loop = asyncio.SelectorEventLoop()
    assert not is_waiting(loop)
    loop.close()


def test_a_look_without_time_does_not_wait() -> None:
    ours, theirs = socket.socketpair()
    with ReadsFirst() as selector, ours, theirs:
        selector.register(ours, 1)
        assert selector.select(0) == selector.select(-1) == selector.select(0.01) == []
        theirs.send(b"x")
        assert len(selector.select(0)) == len(selector.select(None)) == 1
