"""Recordings on this machine's disk as who keeps them sees them: what is to be done with which, and what is in them.

    <root>/c1.wav       published by media; encrypted as soon as it is settled, where there is a key
    <root>/.c1.sealed   its encrypted copy, being written: removed when the process begins
    <root>/c1.sealed    encrypted; takes the place of `c1.wav`, which is removed after it

A file keeps the time of its last change, which is when the recording ended. Whatever a power cut leaves of this order,
each recording is there in at least one form, and the next look goes on with it. All methods wait for the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.audio.wav import HEADER_BYTES as WAV_HEADER
from nodes.files import open_private
from nodes.links.recordings import SEALED, WRITTEN_S
from nodes.storage.names import Place
from nodes.storage.sealing import CHUNK, Key, NotSealed, Ring, Sealed, seal
from protocols.wire.ids import CallId

SETTLED_S: Final = WRITTEN_S
"""A recording that is published may be gone on with for so long: a call that has lost its machine comes back."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A published recording. `ended_s`: wall time of its last change."""

    place: Place
    call_id: CallId
    part: int
    path: Path
    n_bytes: int
    ended_s: float

    @property
    def is_sealed(self) -> bool:
        """Whether it is encrypted."""
        return self.path.suffix == f".{SEALED}"

    @property
    def name(self) -> str:
        """What it is called, without its suffix."""
        return self.path.stem


def waiting(place: Place, suffixes: Iterable[str]) -> Iterator[Waiting]:
    """Yield the published recordings of a directory that have one of these suffixes, settled or not."""
    wanted = tuple(f".{suffix}" for suffix in suffixes)
    try:
        with os.scandir(place.root) as entries:
            for entry in entries:
                if not entry.name.endswith(wanted) or entry.name.startswith("."):
                    continue
                call, _, part = entry.name.rpartition(".")[0].partition(".")
                if part and not (part.isascii() and part.isdecimal()):
                    continue  # nobody's that we know
                with suppress(FileNotFoundError):
                    told = entry.stat()
                    path = Path(entry.path)
                    yield Waiting(place, CallId(call), int(part or 0), path, told.st_size, told.st_mtime)
    except FileNotFoundError:  # nothing has been recorded there yet
        return


def clean_up(place: Place) -> None:
    """Remove what a predecessor did not finish."""
    for draft in place.root.glob(f".*.{SEALED}"):
        draft.unlink(missing_ok=True)


def seal_file(ring: Ring, key: Key, one: Waiting) -> Waiting | None:
    """Have an encrypted file in the place of a recording; None: it is not there any more, or is gone on with.

    Whole and on the disk, read again and opened, before the other is removed. Raises: OSError, NotSealed; then nothing
    has changed.
    """
    target = one.path.with_suffix(f".{SEALED}")
    draft = target.with_name(f".{target.name}")
    try:
        with one.path.open("rb") as source:
            before = os.fstat(source.fileno())
            with os.fdopen(open_private(draft, os.O_RDWR | os.O_TRUNC), "r+b") as file:
                for piece in seal(key, one.name, before.st_size, source):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
                with opened(ring, one.name, draft) as made:
                    made.prove()
                os.utime(file.fileno(), (before.st_mtime, before.st_mtime))
            if target.exists() and not _is_part_of(ring, one, target):
                raise NotSealed(one.name, "two_of_one", "there is another recording of this name, encrypted")
            draft.rename(target)
        sync(target.parent)
        if is_same(one.path, before):
            one.path.unlink()
            sync(target.parent)
        else:  # media goes on with it; what it publishes in the end has all of this
            target.unlink()
            return None
    except FileNotFoundError:
        return None
    finally:
        draft.unlink(missing_ok=True)
    told = target.stat()
    return Waiting(one.place, one.call_id, one.part, target, told.st_size, told.st_mtime)


def _is_part_of(ring: Ring, one: Waiting, target: Path) -> bool:
    """Say whether all of an encrypted file is in a recording: an earlier look ended before it removed that."""
    try:
        with opened(ring, one.name, target) as known, one.path.open("rb") as file:
            at = file.seek(WAV_HEADER)  # the lengths in it differ
            while piece := known.read(at, 16 * CHUNK):
                if file.read(len(piece)) != piece:
                    return False
                at += len(piece)
    except NotSealed:
        return False
    return True


def is_same(path: Path, before: os.stat_result) -> bool:
    """Say whether a file is the one that it was, with nothing written to it since."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    return (now.st_ino, now.st_size, now.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


@contextmanager
def opened(ring: Ring, name: str, path: Path) -> Iterator[Sealed]:
    """Open an encrypted file. Raises: OSError, NotSealed."""
    with path.open("rb") as file:
        number = file.fileno()
        yield Sealed(ring, name, os.fstat(number).st_size, lambda offset, n: os.pread(number, n, offset))


def sync(directory: Path) -> None:
    """Have the disk know which names there are in a directory."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["SETTLED_S", "Waiting", "clean_up", "is_same", "opened", "seal_file", "sync", "waiting"]
