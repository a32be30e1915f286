"""Foreign programs as peers: on free ports of 127.0.0.1, without a terminal, and ended by the id of their process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

START_S = 10.0
STOP_S = 5.0
LOOK_S = 0.02
HOST = "127.0.0.1"
ABOVE_FREE = 61_000
"""The first port that Linux gives nobody who asks for any (ip_local_port_range)."""
BLOCK, N_BLOCKS = 8, 500
_blocks = count()


class NotStarted(Exception):
    """A peer has ended, or does not listen; what it has said is its text."""


@asynccontextmanager
async def program(
    argv: Sequence[str], listens_on: int, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program for the length of the block, which begins once it has taken UDP port `listens_on` (0: at once)."""
    with log.open("wb") as out:
        made = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=asyncio.subprocess.STDOUT,
            env=environment, cwd=log.parent,
        )  # fmt: skip
    try:
        await _listening(made, listens_on, log)
        yield made
    finally:
        await _ended(made)


async def _listening(made: asyncio.subprocess.Process, port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(START_S):
            while port and is_free(port):
                if made.returncode is not None:
                    raise NotStarted(_last_words(log))
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise NotStarted(f"nothing listens on {port}: {_last_words(log)}") from error


async def _ended(made: asyncio.subprocess.Process) -> None:
    if made.returncode is not None:
        return
    made.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await made.wait()
    except TimeoutError:
        made.kill()
        await made.wait()


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> bool:
    """Say whether nobody has this port."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(n: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> list[int]:
    """Return `n` even ports that are free now, each with a free one behind it: some peers take both."""
    found: list[int] = []
    while len(found) < n:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1]) & ~1
        if port not in found and is_free(port, kind) and is_free(port + 1, kind):
            found.append(port)
    return found


def free_block() -> int:
    """Return the first of `BLOCK` ports that are free now, and that nobody is given who asks for any free one.

    SIPp takes those behind its media port when it starts, however long ago somebody has looked at them. Each process of
    the tests begins elsewhere, and no block is given twice.
    """
    while True:
        first = ABOVE_FREE + (os.getpid() * 97 + next(_blocks)) % N_BLOCKS * BLOCK
        if all(is_free(port) for port in range(first, first + BLOCK)):
            return first


__all__ = ["HOST", "NotStarted", "free_block", "free_ports", "is_free", "program"]
