"""Machines to look at, until Enter is pressed; how to reach each is printed.

    MACHINES="a b" sudo --preserve-env=MACHINES .venv/bin/python -m pytest -s tests/ops/machines/hold.py

`BINDS`: directories of this machine that they see too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.ops.machines.machine import machines

READY: Final = "Enter ends them."


@pytest.mark.timeout(0)
async def test_machines_are_there_until_enter_is_pressed(say: Callable[[str], None]) -> None:
    names, binds = (os.environ.get(name, "").split() for name in ("MACHINES", "BINDS"))
    async with machines(names, [Path(path) for path in binds]) as made:
        for name, state in (await made.boot()).items():
            say(f"{name}: {state.word} {' '.join(state.failed)} after {state.after_s:.1f} s")
        inside = f"nsenter --net=/proc/{await made.controller.init.here()}/ns/net"
        for machine in made.values():
            say(" ".join((inside, *machine.ssh)))
        say(READY)
        await asyncio.to_thread(sys.stdin.readline)
