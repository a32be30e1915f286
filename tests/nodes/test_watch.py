"""What the log says when the event loop of a process is held, and what the process does about it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nodes import watch
from supervisors import ChildExited, LoopFreed, Normal
from supervisors.program import Program

ROOT = Path(__file__).parents[2]
HELD = """
import asyncio, time
from nodes import watch
from nodes.telemetry import logs

async def main():
    logs.configure("info", "n1", "edge-0")
    with watch.over_process(logs.get("child").warning):
        time.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("over", [watch.over_process, watch.over_launcher])
async def test_a_held_loop_is_a_line_when_it_happens_and_one_when_it_is_over(over: watch.Over) -> None:
    loop, freed = asyncio.get_running_loop(), asyncio.Event()
    lines: list[tuple[str, dict[str, Any]]] = []

    def log(event: str, **fields: object) -> None:
        lines.append((event, fields))
        if event == "loop.freed":
            loop.call_soon_threadsafe(freed.set)

    async def hold() -> None:
        time.sleep(0.5)  # noqa: ASYNC251 - what is to be found

    with over(log):
        await asyncio.create_task(hold(), name="held")
        await freed.wait()
    (blocked, what), (_, total) = lines
    assert (blocked, what["path"]) == ("loop.blocked", "held")
    assert 250 <= what["ms"] <= total["ms"]
    assert "hold" in what["during"]
    assert "test_watch.py" in what["stack"][-1]


def test_a_process_that_stays_held_ends_before_its_launcher_loses_patience_and_its_last_words_say_where() -> None:
    began = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", HELD], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == os.EX_TEMPFAIL
    assert time.monotonic() - began > watch.EXIT_S
    first, *_, last = done.stderr.splitlines()
    line = json.loads(first)
    assert (line["event"], line["level"], line["process"]) == ("loop.blocked", "warning", "edge-0")
    assert "during='main'" in last


def test_the_launchers_patience_is_longer() -> None:
    program = Program(("x",))
    assert watch.EXIT_S < program.silence_s - program.beat_s


def test_the_hook_leaves_to_the_watchdog_what_that_has_logged() -> None:
    assert watch.is_told(LoopFreed("a", 0.3))
    assert not watch.is_told(ChildExited("a", Normal()))
