"""Standard error that nobody waits for: where it is not read, lines are dropped and counted, and the count is told.

Who presses Ctrl-S at the terminal of a node, leaves its pager open or lets the log's collector hang must not stop the
node: `write(2)` would wait for them, in the event loop and in the watchdog's thread. Two ways out, with one rule: what
cannot be written is dropped, and as soon as something can be written again, a line says how many were.

`Dropping` is a child's: its pipe to the launcher is its own, so that it may be made non-blocking. `Spooled` is the
launcher's: its standard error is shared with the shell and perhaps a terminal, whose other users a non-blocking
description would break. So a thread of its own does the waiting. A part of the launcher: the standard library only.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from nodes.telemetry.redaction import redact

MAX_BYTES: Final = 1024 * 1024
"""What waits in the launcher until somebody reads: about 4,000 lines. Beyond it new ones are dropped."""
FLUSH_S: Final = 0.5
"""How long the launcher's end waits for its last lines."""


def line_of(process: str, level: str, event: str, **fields: object) -> str:
    """Return a log line as every process writes them (`nodes.telemetry.logs`), made with the standard library."""
    wall = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = redact(None, "", {"process": process, **fields, "event": event})
    return json.dumps({**line, "level": level, "wall": wall}, ensure_ascii=False) + "\n"


class Dropping(io.TextIOBase):
    """Writes to `fd`, which is made non-blocking, what that takes now. Safe in every thread. `process`: whose lines."""

    def __init__(self, fd: int, process: str) -> None:
        os.set_blocking(fd, False)
        self._fd, self._process = fd, process
        self._lock = threading.Lock()
        self._rest = b""
        self._n_dropped = 0

    def write(self, text: str) -> int:
        """Write one or more whole lines, or drop them; a line that was begun is ended before the next begins."""
        with self._lock:
            if self._n_dropped and self._put(_told(self._process, self._n_dropped)):
                self._n_dropped = 0
            if self._n_dropped or not self._put(text.encode(errors="replace")):
                self._n_dropped += 1
        return len(text)

    def flush(self) -> None:
        """Write the rest of a line, if there is one."""
        with self._lock:
            self._put(b"")

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def _put(self, data: bytes) -> bool:
        """Write what was begun, then this; False when nothing of it could be written."""
        with suppress(OSError):  # nobody reads, or nobody is there: a log must not end what it tells of
            if self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
            if not self._rest and data:
                self._rest = data[os.write(self._fd, data) :]
                return True
        return not data


class Spooled(io.TextIOBase):
    """Writes to `fd` from a thread of its own; nobody else waits. Safe in every thread. `process`: whose lines."""

    def __init__(self, fd: int, process: str) -> None:
        self._fd, self.process = fd, process
        self._news = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._n_bytes = self._n_dropped = 0
        self._is_writing = False
        threading.Thread(target=self._run, name="stderr", daemon=True).start()

    def write(self, text: str) -> int:
        """Have this written, or drop it when too much waits already."""
        data = text.encode(errors="replace")
        with self._news:
            if self._n_bytes + len(data) > MAX_BYTES:
                self._n_dropped += 1
            else:
                self._waiting.append(data)
                self._n_bytes += len(data)
                self._news.notify_all()
        return len(text)

    def flush(self) -> None:
        """Wait until all is written, `FLUSH_S` at the most. For the end of the process."""
        with self._news:
            self._news.wait_for(lambda: not (self._waiting or self._is_writing), FLUSH_S)

    def waits(self) -> bool:
        """Say whether anything is still to be written."""
        with self._news:
            return bool(self._waiting) or self._is_writing

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def _run(self) -> None:
        while True:
            with self._news:
                self._is_writing = False
                self._news.notify_all()
                self._news.wait_for(lambda: self._waiting)
                self._is_writing = True
                batch, n_dropped = b"".join(self._waiting), self._n_dropped
                self._waiting.clear()
                self._n_bytes = self._n_dropped = 0
            told = _told(self.process, n_dropped) if n_dropped else b""
            if n_lost := self._write(batch + told):
                with self._news:
                    self._n_dropped += n_lost - bool(told) + n_dropped

    def _write(self, data: bytes) -> int:
        """Write it; return how many lines of it are lost and to be told of. Nobody can be told by who does not read."""
        with suppress(OSError):
            while data:
                data = data[os.write(self._fd, data) :]
        return 0


def _told(process: str, n_dropped: int) -> bytes:
    return line_of(process, "warning", "log.dropped", lines=n_dropped).encode()


__all__ = ["FLUSH_S", "MAX_BYTES", "Dropping", "Spooled", "line_of"]
