"""Takes away what machines leave on this one, once whoever has them is gone, however that went: files, control groups.

    python sweep.py DIRECTORY GROUP...       standard input: a pipe, whose other end only the owner has

Nobody else needs to: processes, mounts and namespaces of machines end with the ground on which they stand. The owner's
regular end is to close the pipe and wait. Standard library only, and a session of its own: what is sent to the owner's
group does not reach it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

LIMIT_S: Final = 30.0
LOOK_S: Final = 0.05


def main() -> int:
    """Wait for the owner's end, remove everything, and return 0; 1: a group still has processes after LIMIT_S."""
    directory, *groups = map(Path, sys.argv[1:])
    sys.stdin.buffer.read()
    end = time.monotonic() + LIMIT_S
    while (are_left := not all([_is_removed(group) for group in groups])) and time.monotonic() < end:
        time.sleep(LOOK_S)
    shutil.rmtree(directory, ignore_errors=True)
    return int(are_left or directory.exists())


def _is_removed(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # a process is still in it
            os.rmdir(path)
    return not group.exists()


if __name__ == "__main__":
    sys.exit(main())
