"""The do-not-call list as this machine keeps it: one file that only grows, written by every process of the node.

    <state>/do_not_call.jsonl       one JSON line an entry; a line {"whole": fingerprint} says that the list was once
    known whole, and was made with that contact key

It is on disk before anybody counts on it, and read by every process: what one has learnt, all know within half a
second, also while NATS is away. Writers take turns (flock). A line that was cut by a kill or a full disk, or names
nobody, is left where it is and read by nobody. A file that has become shorter, or is gone, is told to the caller, who
writes again what it knows: the list never shrinks unnoticed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from nodes.reading import read_json
from protocols.wire.campaigns import is_contact_id
from protocols.wire.do_not_call import Listing

FILE: Final = "do_not_call.jsonl"


class _Line(msgspec.Struct, omit_defaults=True):
    listing: Listing | None = None
    whole: str = ""


class KeptList:
    """The file, as far as this process has read it. All of it touches the disk, and may run in another thread.

    `made_with`: the fingerprint of this node's contact key. `is_whole`: the file says that it is, under this key;
    `is_others`: under another one.
    """

    def __init__(self, path: Path, made_with: str) -> None:
        self._path, self.made_with = path, made_with
        self._offset = 0
        self.is_whole = self.is_others = False
        self.n_torn = 0

    def news(self) -> list[Listing] | None:
        """Return what was added since the last time; None when the file is shorter than what was read of it.

        Raises: `OSError`.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._again()
                    return None
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            if self._offset == 0:
                return []
            self._again()
            return None
        complete = data.rfind(b"\n") + 1  # the rest is being written now, or was cut
        self._offset += complete
        return list(self._parse(data[:complete].splitlines()))

    def all(self) -> list[Listing]:
        """Return all that the file says, whatever of it this process has read. Raises: `OSError`."""
        return KeptList(self._path, self.made_with).news() or []

    def was_others(self) -> bool:
        """Return whether the file was ever whole under another key, whatever of it was read. Raises: `OSError`."""
        reader = KeptList(self._path, self.made_with)
        reader.news()
        return reader.is_others

    def _again(self) -> None:
        self._offset, self.is_whole, self.is_others = 0, False, False

    def add(self, listings: Iterable[Listing], is_whole: bool = False) -> None:
        """Write entries down, on disk when this returns. Raises: `OSError`; then none of them is."""
        lines = [_Line(listing=one) for one in listings]
        if is_whole:
            lines.append(_Line(whole=self.made_with))
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with self._locked() as fd:
            size = os.fstat(fd).st_size
            cut = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            try:
                _write_all(fd, b"\n" * cut + data)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _parse(self, lines: Iterable[bytes]) -> Iterator[Listing]:
        for line in lines:
            try:
                read = read_json(line, _Line)
            except ValueError:
                self.n_torn += bool(line)
                continue
            self.is_whole |= read.whole == self.made_with
            self.is_others |= read.whole not in ("", self.made_with)
            if read.listing is None:
                continue
            if is_contact_id(read.listing.contact_id):
                yield read.listing
            else:
                self.n_torn += 1


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


__all__ = ["FILE", "KeptList"]
