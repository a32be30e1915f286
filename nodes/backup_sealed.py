"""A backup that only who has its key can read: each of its files is sealed as recordings are (`nodes.storage.sealing`).

The manifest stays as it is: whether all files are there and are what was written is seen without the key. It tells what
files are called, how long they are, and how many rows there were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from nodes import backup
from nodes.files import open_private
from nodes.storage.sealing import Key, Ring, Sealed, seal


def seal_all(key: Key, root: Path, made: backup.Manifest) -> backup.Manifest:
    """Encrypt all files of a backup that is being made; return its manifest with the key's id. Raises: OSError."""
    for path in [*backup.regular(root)]:
        place, draft = path.relative_to(root).as_posix(), path.with_name(f".{path.name}")
        with path.open("rb") as source, _new(draft) as file:
            for piece in seal(key, made.name_of(place), path.stat().st_size, source):
                file.write(piece)
        _replaced(path, draft)
    return replace(made, sealed=key.id.hex())


@contextmanager
def opened(key: Key, path: Path, manifest: backup.Manifest) -> Iterator[Path]:
    """Have the files of a backup as they were, beside it, for the length of the block. Raises: NotSealed, OSError."""
    ring = Ring({}, {key.id: key})
    with TemporaryDirectory(prefix=".opened.", dir=path.parent) as made:
        for one in manifest.files:
            sealed, target = path / one.path, Path(made) / one.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with sealed.open("rb") as file, _new(target) as to:
                inner = Sealed(ring, manifest.name_of(one.path), one.n_bytes, partial(_read, file))
                for at in range(0, inner.n_bytes, backup.BLOCK):
                    to.write(inner.read(at, backup.BLOCK))
            _timed(target, sealed)
        yield Path(made)


def _new(path: Path) -> BinaryIO:
    return os.fdopen(open_private(path, os.O_WRONLY | os.O_EXCL), "wb")


def _read(file: BinaryIO, at: int, n: int) -> bytes:
    file.seek(at)
    return file.read(n)


def _replaced(path: Path, draft: Path) -> None:
    _timed(draft, path)
    draft.replace(path)


def _timed(path: Path, by: Path) -> None:
    told = by.stat()
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


__all__ = ["opened", "seal_all"]
