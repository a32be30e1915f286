"""Test hosts with echoes on them; skipped, with the kernel's reason, where there are no namespaces to be had."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.rehearsal.hosts import Host, Hosts, NoHosts, hosts
from nodes.rehearsal.remote import Running

ECHO = Path(__file__).with_name("echo.py")
PATIENCE_S = 100.0
LOOK_S = 0.01


@dataclass(slots=True)
class Log:
    """What a program on a host has said."""

    file: Path
    running: Running

    @property
    def lines(self) -> list[str]:
        """Its lines so far."""
        return self.file.read_text().splitlines()

    async def says(self, line: str, n: int = 1) -> None:
        """Return when it has said a line, so many times."""
        async with asyncio.timeout(PATIENCE_S):
            while self.lines.count(line) < n:
                await asyncio.sleep(LOOK_S)


async def begin(host: Host, *words: str) -> Log:
    """Have an echo program run on a host."""
    file = host.directory.parent / f"{host.name}-{words[0]}.log"
    with file.open("w") as log:
        running = await host.start((sys.executable, str(ECHO), *words), log)
    return Log(file, running)


async def ask(host: Host, other: Host, word: str) -> str:
    """Have one host ask another; return what came of it."""
    return (await host.run((sys.executable, str(ECHO), "ask", other.address, word))).out.strip()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Hosts]:
    """Two hosts, `a` and `b`, with disks of their own."""
    try:
        async with hosts(("a", "b"), tmp_path, disk_mb=2) as made:
            yield made
    except NoHosts as error:
        pytest.skip(str(error))
