"""Foreign programs as peers: on free ports of 127.0.0.1, without a terminal, and ended by the id of their process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

START_S = 10.0
STOP_S = 5.0
LOOK_S = 0.02
HOST = "127.0.0.1"


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
            while port and not is_taken(port):
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


def is_taken(port: int) -> bool:
    """Say whether somebody has this UDP port; who tried to bind it would keep it from its owner for a moment."""
    sockets = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in sockets)


__all__ = ["HOST", "NotStarted", "is_taken", "program"]
