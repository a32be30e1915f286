"""Files that appear whole or not at all, readable by their owner only: secrets, and what other processes read.

An operator may call a command as root where the node runs as somebody else; the file then is the directory's owner's,
for a desk that cannot read it lets nobody in. Standard library only, because the launcher imports it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def open_private(path: Path, flags: int) -> int:
    """Open a file of mode 0600, which is made when it is not there; return its descriptor. Raises: OSError."""
    number = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(number, owner.st_uid, owner.st_gid)
    return number


def write_private(path: Path, data: bytes, *, lasts: bool = True) -> None:
    """Write a file that its readers see whole, the old one or the new. Raises: OSError.

    `lasts`: after a power cut, too; for what is made anew at each start nobody need wait for the disk.
    """
    with _draft(path, data, lasts) as draft:
        draft.replace(path)


def make_private(path: Path, data: bytes) -> bytes:
    """Return what a file has, which is `data` if there was none: of several who make it at once, one does.

    It has a name on the disk, too, when this returns: nobody uses a secret that a power cut could take back.
    Raises: OSError.
    """
    if not path.exists():
        with _draft(path, data, True) as draft, suppress(FileExistsError):
            os.link(draft, path)
        _sync(path.parent)
    return path.read_bytes()


@contextmanager
def _draft(path: Path, data: bytes, lasts: bool) -> Iterator[Path]:
    """Have `data` in a new file beside `path`, so that nobody's link decides where a secret goes."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_EXCL), "wb") as file:
            file.write(data)
            file.flush()
            if lasts:
                os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):
            draft.unlink()


def _sync(directory: Path) -> None:
    """Have the disk know a name (fsync(2): a file's own does not include it)."""
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["make_private", "open_private", "write_private"]
