"""The node's log on its own disk: the newest lines of all its processes, two files that are never larger than is said.

    <state>/log/now.jsonl       what is written now
    <state>/log/before.jsonl    what was written before; the next `now.jsonl` takes its place

The launcher writes it beside its standard error, in a thread of its own: nobody waits for the disk, and a disk that is
full or slow loses lines of this log alone, which is told in it. So there is something to look into wherever a node
runs, in a terminal, under systemd or in a container, without rights on the machine's journal (`ringmaster logs`). What
libraries and the NATS server write is no JSON, and becomes a line of the event `output`.

A part of the launcher: the standard library only.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from nodes.files import open_private
from nodes.sink import Spooled, line_of

NOW: Final = "now.jsonl"
BEFORE: Final = "before.jsonl"


class KeptLog(Spooled):
    """Writes into `directory`, `most_bytes` in all. Safe in every thread. `process`: who writes it."""

    def __init__(self, directory: Path, most_bytes: int, process: str) -> None:
        self._directory, self._most_bytes = directory, most_bytes // 2
        self._fd_now: int | None = None
        self._size = 0
        super().__init__(-1, process)

    def write(self, text: str) -> int:
        """Have whole lines written."""
        for line in text.split("\n"):
            if line.startswith("{"):
                super().write(f"{line}\n")
            elif line.strip():
                super().write(line_of(self.process, "info", "output", text=line))
        return len(text)

    def _write(self, data: bytes) -> int:
        try:
            fd = self._room_for(len(data))
            while data:
                n = os.write(fd, data)
                self._size, data = self._size + n, data[n:]
        except OSError:
            self._close()
        return data.count(b"\n")

    def _room_for(self, n_bytes: int) -> int:
        """Return the file that is written now; a new one, where that would become too large. Raises: OSError."""
        fd = self._open() if self._fd_now is None else self._fd_now
        if self._size and self._size + n_bytes > self._most_bytes:
            self._close()
            (self._directory / NOW).replace(self._directory / BEFORE)
            fd = self._open()
        return fd

    def _open(self) -> int:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._fd_now = fd = open_private(self._directory / NOW, os.O_WRONLY | os.O_APPEND)
        self._size = os.fstat(fd).st_size
        if self._size:
            self._size += os.write(fd, b"\n")  # a line that was begun there ends here
        return fd

    def _close(self) -> None:
        if self._fd_now is not None:
            fd, self._fd_now = self._fd_now, None
            os.close(fd)


class Both(io.TextIOBase):
    """Writes to each of two."""

    def __init__(self, first: TextIO, second: io.TextIOBase) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        """Have it written to both."""
        self._second.write(text)
        return self._first.write(text)

    def flush(self) -> None:
        """Wait for both, for a moment."""
        self._first.flush()
        self._second.flush()

    def fileno(self) -> int:
        """Return the first one's descriptor."""
        return self._first.fileno()


@contextmanager
def keeping(directory: Path, most_mb: int, process: str) -> Iterator[None]:
    """Have what this process writes to its standard error kept for the length of the block; 0: nothing is."""
    if not most_mb:
        yield
        return
    before = sys.stderr
    kept = KeptLog(directory, most_mb * 1024 * 1024, process)
    sys.stderr = Both(before, kept)
    try:
        yield
    finally:
        kept.flush()
        sys.stderr = before


__all__ = ["BEFORE", "NOW", "Both", "KeptLog", "keeping"]
