"""What was done and by whom: one line of JSON each, in `<state>/audit.jsonl` and in the log.

    {"at": "2026-03-02T09:30:00Z", "what": "session.begun", "who": "ann", "role": "agent", "from": "192.0.2.7"}

Orders stand there as method and route, never with a number or words. The file is its owner's only; at 16 MiB it becomes
`audit.jsonl.1`, in place of the one before. Strangers who fail cannot fill it: of refusals one line a second is kept,
with the number of those that were not.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from nodes.admin.roles import Who
from nodes.errors import in_words
from nodes.files import open_private
from nodes.telemetry import logs
from supervisors.bucket import Bucket

FILE: Final = "audit.jsonl"
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_WAITING: Final = 1000
"""Lines that wait for a disk that is slow; the oldest are dropped, they are in the log."""

log = logs.get(__name__)


class Audit:
    """Writes what it is told, in order, off the loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: deque[str] = deque(maxlen=MOST_WAITING)
        self._more = asyncio.Event()
        self._writing = threading.Lock()  # at the end a thread may still be at it
        self._refusals = Bucket(rate=1.0, burst=20.0, now=time.monotonic())
        self._n_unsaid = 0

    def note(self, what: str, who: Who | None, origin: str, **fields: object) -> None:
        """Write down that somebody did something; None: somebody unknown. `origin`: their address."""
        known = {"who": who.name, "role": who.role.value} if who else {}
        line = {"what": what, **known, "from": origin, **fields}
        log.info("audit", **line)
        self._lines.append(written(line))
        self._more.set()

    def refused(self, what: str, origin: str, **fields: object) -> None:
        """Write down that somebody was not let in; of many a second, one."""
        if not self._refusals.take(1, time.monotonic()):
            self._n_unsaid += 1
            return
        self.note(what, None, origin, **fields, **({"unsaid": self._n_unsaid} if self._n_unsaid else {}))
        self._n_unsaid = 0

    async def run(self) -> None:
        """Write for ever; at the end, what is left."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                await asyncio.to_thread(self._write)
        finally:
            self._write()

    def _write(self) -> None:
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            try:
                append(self._path, "".join(lines))
            except OSError as error:
                log.error("audit.not_written", error=in_words(error), n_lines=len(lines))


def written(line: dict[str, object]) -> str:
    """Return a line of the file: what happens now."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"at": at, **line}) + "\n"


def append(path: Path, text: str) -> None:
    """Add whole lines to the file. Raises: OSError."""
    if not text:
        return
    if path.exists() and path.stat().st_size > MOST_BYTES:
        path.replace(path.with_suffix(".jsonl.1"))
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_APPEND), "a") as file:
        file.write(text)


__all__ = ["FILE", "Audit", "append", "written"]
