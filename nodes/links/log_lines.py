"""The log that this machine keeps, for whoever asks over the mesh: the lines of a call, and those with a word in them.

Looked for in a thread, one search at a time, line by line: what is read needs no memory, and the process that is asked
goes on meanwhile. A line is a call's if it has its id, or the id of its trace.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

from nodes.kept_log import BEFORE, NOW
from nodes.mesh.mesh import Mesh
from nodes.telemetry.trace import of_call
from protocols.wire.ids import Identity
from protocols.wire.log_lines import MOST_BYTES, MOST_LINES, FindLogLines, LogLines

MOST_WORD: Final = 200
_WALL: Final = re.compile(rb'"wall": "([0-9T:.Z-]{1,40})"')


class KeptLines:
    """Those in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._one = asyncio.Lock()

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(FindLogLines, self.find)

    async def find(self, asked: FindLogLines, sender: Identity) -> LogLines:
        """Return what is found."""
        async with self._one:
            return await asyncio.to_thread(look, self._directory, asked)


def look(directory: Path, asked: FindLogLines) -> LogLines:
    """Return the newest lines of the log in `directory` that are asked for. Raises: OSError, but not for no log."""
    wanted, since = patterns(asked), asked.since.encode()
    most, found, n_bytes, n_found, oldest = min(max(1, asked.most), MOST_LINES), deque[bytes](), 0, 0, b""
    with ExitStack() as stack:
        for file in _files(directory, stack):
            for line in file:
                wall = moment(line)
                oldest = oldest or wall
                if not wall or wall < since or not all(one.search(line) for one in wanted) or not line.endswith(b"\n"):
                    continue
                n_found += 1
                found.append(line[:-1])
                n_bytes += len(line)
                while len(found) > most or (n_bytes > MOST_BYTES and len(found) > 1):
                    n_bytes -= len(found.popleft()) + 1
    told = tuple(line.decode(errors="replace")[:MOST_BYTES] for line in found)
    return LogLines(told, n_found, oldest.decode())


def moment(line: bytes) -> bytes:
    """Return when a line was written; empty for what is no line.

    >>> moment(b'{"event": "node.up", "wall": "2026-03-03T10:00:00.000000Z"}')
    b'2026-03-03T10:00:00.000000Z'
    """
    found = _WALL.search(line, max(0, len(line) - 60)) or _WALL.search(line)
    return found[1] if found else b""


def patterns(asked: FindLogLines) -> list[re.Pattern[bytes]]:
    """Return what a line must have: each of these.

    >>> from protocols.wire.ids import CallId
    >>> (c1,) = patterns(FindLogLines(CallId("c1")))
    >>> [bool(c1.search(line)) for line in (b'"call_id": "c1"', b'"recording": "c1.2"', b'"call_id": "c12"')]
    [True, True, False]
    """
    wanted = []
    if asked.call_id:
        trace = of_call(asked.call_id).trace_id.encode()
        wanted.append(re.compile(rb"(?<![\w-])%b(?![\w-])|%b" % (re.escape(asked.call_id.encode()), trace)))
    if asked.word:
        written = json.dumps(asked.word[:MOST_WORD], ensure_ascii=False)[1:-1].encode(errors="replace")
        wanted.append(re.compile(re.escape(written), re.IGNORECASE))
    return wanted


def _files(directory: Path, stack: ExitStack) -> list[BinaryIO]:
    """Open the files, the older one first; one that takes the other's place meanwhile is read once."""
    opened: list[BinaryIO] = []
    for name in (NOW, BEFORE):
        with suppress(FileNotFoundError):
            file = stack.enter_context((directory / name).open("rb"))
            if not any(os.path.sameopenfile(one.fileno(), file.fileno()) for one in opened):
                opened.insert(0, file)
    return opened


__all__ = ["KeptLines", "look", "moment", "patterns"]
