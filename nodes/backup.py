"""A backup as files: a directory that is whole, or is none, and says of each file how long it is and what its hash is.

    TO/2026-03-03T100000Z/manifest.json         written last: without it there is no backup
                         /state/...             files of the state directory, as they lie there
                         /campaigns/...         central's snapshot, and the contact lists that it names
                         /database/...          the tables, as Parquet
                         /recordings/0/...      of each directory of recordings
    TO/forgotten.jsonl                          who was forgotten, up to the newest backup: for all that are older

Nothing is written beside what is there: a directory begins with a dot until it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from nodes.errors import NodeError
from nodes.reading import read_json

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
"""Of this layout; a backup of a higher one is of a newer version, and refused."""
BLOCK: Final = 1024 * 1024


class BadBackup(NodeError):
    """What is there is no backup, not a whole one, or one that this version does not know."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its place in the backup, its length, and the SHA-256 of its bytes."""

    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup has. `rows`: of each table of the database. `key`: the fingerprint of the contact key."""

    format: int
    version: str
    node: str
    at: str
    key: str
    files: tuple[Entry, ...]
    rows: dict[str, int] = field(default_factory=dict)
    is_whole: bool = True
    """Campaigns, too; else what one machine alone has."""
    holds: dict[str, int] = field(default_factory=dict)
    """How much of what somebody would miss: of a node that was only just started all are 0."""
    sealed: str = ""
    """The id of the key without which its files cannot be read (`nodes.backup_sealed`); empty: there is none."""

    def name_of(self, place: str) -> str:
        """Return by which name a file of it is sealed: it opens as no other file, and in no other backup."""
        return f"{self.node} {self.at} {place}"


class Writing:
    """A backup that is being made, in a directory that begins with a dot."""

    def __init__(self, to: Path, name: str) -> None:
        self.final, self.path = to / name, to / f".{name}"
        if self.final.exists():
            raise BadBackup(f"{self.final}: is there already")
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, mode=0o700)

    def copy(self, source: Path, place: str) -> None:
        """Copy a file, with the time of its last change: by that recordings have their end. Raises: OSError."""
        target = self.path / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)

    def finish(self, manifest: Manifest) -> Path:
        """Have the backup be there, with every file on the disk. Raises: OSError."""
        files = tuple(entry_of(path, self.path) for path in regular(self.path))
        told = replace(manifest, files=files)
        (self.path / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1))
        for path in (*regular(self.path), self.path / MANIFEST):
            _sync(path)
        self.path.rename(self.final)
        _sync(self.final.parent)
        return self.final


def read(path: Path) -> Manifest:
    """Return what a backup says of itself, after every file was read and found to be what it was. Raises: BadBackup."""
    try:
        manifest = read_json((path / MANIFEST).read_bytes(), Manifest)
    except FileNotFoundError as error:
        raise BadBackup(f"{path}: has no {MANIFEST}: it is no backup, or was never finished") from error
    except (msgspec.DecodeError, OSError) as error:
        raise BadBackup(f"{path / MANIFEST}: {error}") from error
    if manifest.format > FORMAT:
        raise BadBackup(f"{path}: was made by a newer version ({manifest.version}): restore it with that one")
    for one in manifest.files:
        place = path / one.path
        if not place.resolve().is_relative_to(path.resolve()):
            raise BadBackup(f"{path / MANIFEST}: {one.path} is not below it")
        try:
            found = entry_of(place, path)
        except OSError as error:
            raise BadBackup(f"{place}: {error.strerror}") from error
        if found != one:
            raise BadBackup(f"{place}: is not what was written ({found.n_bytes} bytes of {one.n_bytes})")
    return manifest


def entry_of(path: Path, root: Path) -> Entry:
    """Return what is said of a file. Raises: OSError."""
    found, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
            n_bytes += len(block)
    return Entry(path.relative_to(root).as_posix(), n_bytes, found.hexdigest())


def regular(root: Path) -> Iterator[Path]:
    """Yield all files below a directory, in order."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != MANIFEST:
            yield path


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["BadBackup", "Entry", "FORMAT", "MANIFEST", "Manifest", "Writing", "entry_of", "read", "regular"]
