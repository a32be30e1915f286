"""Records that the cluster has not taken yet: a bounded buffer in memory, and on disk as soon as the cluster is away.

    directory/<name>.<pid>.jsonl      one JSON line each: {"event_id": ..., "subject": ..., "body": {...}}

The file is locked as long as its process lives, so a file that can be locked is an orphan: `adopt` takes over what a
predecessor could not deliver. Records are idempotent by their event id, so a file is replayed whole, and emptied when
everything was taken. A line that was cut by a kill is dropped and counted.

Full means `refuse` for what may be dropped: the oldest records tell how calls began, and no report is better for losing
them. What may not be always finds room, and whoever makes it is to make less before (`used`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from nodes.reading import read_json

MAX_RECORDS: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One message for a stream; `body` is JSON, `event_id` the same at each try, `call_id` a header if there is one."""

    event_id: str
    subject: str
    body: bytes
    call_id: str = ""
    may_drop: bool = False


class _Line(msgspec.Struct, omit_defaults=True):
    event_id: str
    subject: str
    body: msgspec.Raw
    call_id: str = ""


class Spool:
    """First in, first out. `save` and `adopt` touch the disk, and may run in another thread."""

    def __init__(
        self, directory: Path | None, name: str, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._directory = directory
        self._file = f"{name}.{os.getpid()}.jsonl"
        self._max_records, self._max_bytes = max_records, max_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._n_saved = 0
        self._fd: int | None = None
        self._writing = Lock()
        self.n_torn = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def used(self) -> float:
        """The share that is in use; above 1, where nothing more could be dropped."""
        return max(len(self._records) / self._max_records, self._bytes / self._max_bytes)

    def add(self, record: Record) -> bool:
        """Take a record; False (`refuse`) when there is no room, and it may be dropped."""
        size = self._bytes + len(record.body)
        if record.may_drop and (len(self._records) >= self._max_records or size > self._max_bytes):
            return False
        self._records.append(record)
        self._bytes = size
        return True

    def first(self, n: int) -> list[Record]:
        """Return the oldest records, up to `n`."""
        return list(islice(self._records, n))

    def taken(self, n: int) -> None:
        """Forget the `n` oldest: the stream has them. The file is emptied with the last."""
        for _ in range(n):
            self._bytes -= len(self._records.popleft().body)
        self._n_saved = max(0, self._n_saved - n)
        if not self._records and self._fd is not None:
            os.ftruncate(self._fd, 0)

    def unsaved(self) -> list[Record]:
        """Return the records that are only in memory."""
        return list(islice(self._records, self._n_saved, None))

    def save(self, records: Sequence[Record]) -> None:
        """Write what `unsaved` returned to the file. It outlives this process, not the machine (no fsync)."""
        if not records or self._directory is None:
            return
        with self._writing:
            fd, data = self._open(self._directory), b"".join(map(_line, records))
            size = os.fstat(fd).st_size
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)  # no torn line in the middle of the file
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file)

    def saved(self, n: int) -> None:
        """Remember that the `n` next records are in the file now."""
        self._n_saved += n

    def adopt(self) -> list[Record]:
        """Return what predecessors left in the directory, written to our own file before theirs are removed.

        The caller hands them to `adopted`. Raises: `OSError` when the disk does not let us.
        """
        if self._directory is None:
            return []
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found: list[Record] = []
        for path in sorted(self._directory.glob("*.jsonl")):
            if path.name != self._file and len(found) < self._max_records and (fd := _lock(path)) is not None:
                records = self._read(path)
                self.save(records)
                found += records
                path.unlink()
                os.close(fd)
        return found

    def adopted(self, records: Sequence[Record]) -> None:
        """Put what `adopt` has found before everything else."""
        self._records.extendleft(reversed(records))
        self._bytes += sum(len(record.body) for record in records)
        self._n_saved += len(records)

    def close(self) -> None:
        """Let go of the file: with nothing left in it, it is removed; else the next process adopts it."""
        if self._fd is not None and self._directory is not None:
            if not self._records:
                (self._directory / self._file).unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def _open(self, directory: Path) -> int:
        """Return the file's descriptor. It gets its name once it is locked, or another would take it for an orphan."""
        if self._fd is None:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = directory / f"{self._file}.new"
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(directory / self._file)
            self._fd = fd
        return self._fd

    def _read(self, path: Path) -> list[Record]:
        return list(self._parse(path.read_bytes().splitlines()))

    def _parse(self, lines: Iterable[bytes]) -> Iterable[Record]:
        for line in lines:
            try:
                read = read_json(line, _Line)
            except ValueError:
                self.n_torn += 1
            else:
                yield Record(read.event_id, read.subject, bytes(read.body), read.call_id)


def _line(record: Record) -> bytes:
    return msgspec.json.encode(_Line(record.event_id, record.subject, msgspec.Raw(record.body), record.call_id)) + b"\n"


def _lock(path: Path) -> int | None:
    """Return a locked descriptor of an orphan; None when its process lives, or somebody else was faster."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return fd
    except BlockingIOError:
        pass
    os.close(fd)
    return None


__all__ = ["MAX_BYTES", "MAX_RECORDS", "Record", "Spool"]
