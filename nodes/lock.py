"""Who runs a node with a state directory: a lock on one file, held by the launcher and seen by every command.

The kernel gives it up with the process, however that ends, so a roster that a killed launcher has left behind deceives
nobody. Looking takes nothing: a POSIX record lock tells its holder's process (fcntl(2), F_GETLK). Standard library
only, because the launcher imports it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nodes.errors import NodeError

_FLOCK: Final = "hhqqi0q"
"""`struct flock` of 64-bit Linux: type, whence, start, length, process."""


class AlreadyUp(NodeError):
    """Another node runs with the same state directory: `pid` is its launcher."""

    def __init__(self, state: Path, pid: int | None) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(f"{state}: another node{who} runs with this state directory")
        self.state, self.pid = state, pid


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Be the one node of this state directory for the length of the block.

    One lock a process: another handle on the file would drop it when it is closed. Raises: AlreadyUp, OSError.
    """
    with _path(state).open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUp(state, holder(state)) from error
        yield


def is_known(state: Path) -> bool:
    """Return whether a node was ever here."""
    return _path(state).is_file()


def holder(state: Path) -> int | None:
    """Return the launcher's process id; None when no node runs with this state directory (0: in another container)."""
    try:
        with _path(state).open("r") as file:
            told = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind, _, _, _, pid = struct.unpack(_FLOCK, told)
    return None if kind == fcntl.F_UNLCK else pid


def _path(state: Path) -> Path:
    return state / "lock"


__all__ = ["AlreadyUp", "held", "holder", "is_known"]
