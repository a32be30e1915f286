"""SIPp as a callee: a scenario plays one call to the letter, and its exit status says whether we did our part."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nodes import ports
from tests.journeys.peers.programs import HOST, program

SCENARIOS = Path(__file__).parent / "sipp"
PATIENCE_S = 100.0


class Sipp:
    """One process, for one call. `uri` is dialled."""

    def __init__(self, made: asyncio.subprocess.Process, port: int, errors: Path) -> None:
        self._made, self._errors = made, errors
        self.uri = f"sip:sipp@{HOST}:{port}"

    async def complaint(self) -> str:
        """Wait for its verdict; return what it has to complain of, or nothing."""
        async with asyncio.timeout(PATIENCE_S):
            status = await self._made.wait()
        return f"status {status}: {_read(self._errors)}" if status else ""


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


@asynccontextmanager
async def sipp(scenario: str, directory: Path, to: str = "") -> AsyncIterator[Sipp]:
    """Have SIPp play a scenario of the folder `sipp`: as a callee, or with `to` (host:port) as a caller."""
    port, control, media = ports.take(), ports.take(), ports.take(8)  # it takes those behind the first for media, too
    errors = directory / f"{scenario}-{port}.errors"
    argv = [
        "sipp", *([to] if to else []), "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", HOST, "-p", str(port),
        "-mi", HOST, "-mp", str(media), "-ci", HOST, "-cp", str(control), "-m", "1", "-nostdin",
        "-timeout", f"{PATIENCE_S:.0f}s", "-timeout_error", "-trace_err", "-error_file", str(errors),
    ]  # fmt: skip
    environment = {**os.environ, "TERM": "dumb"}
    log = directory / f"{scenario}-{port}.log"
    async with program(argv, 0 if to else port, log, environment) as made:
        yield Sipp(made, port, errors)


__all__ = ["Sipp", "sipp"]
