"""Files that hold secrets: readable by their owner only, and whole or not there.

An operator may call a command as root where the node runs as somebody else; the file then is the state directory's
owner's, for a desk that cannot read it lets nobody in.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def open_private(path: Path, flags: int) -> int:
    """Open a file of mode 0600, which is made when it is not there; return its descriptor. Raises: OSError."""
    number = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(number, owner.st_uid, owner.st_gid)
    return number


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that its readers see whole, the old one or the new. Raises: OSError.

    The draft is a new file, so that nobody's link decides where the secret goes, and is on the disk before it has the
    name.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_EXCL), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


__all__ = ["open_private", "write_private"]
