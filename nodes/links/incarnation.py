"""Proof that a process of this machine has ended: a mark that no other process has ever had, or will have.

A process id alone proves nothing, for it is given again. With the boot, the namespace of the ids and the moment of the
start it names one incarnation (proc(5): /proc/PID/stat, starttime). Of a process of another machine, or of another
container, nothing can be proven here. Standard library only.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_DEAD: Final = "ZX"
"""States of a process that runs no instruction any more; a zombie only waits to be waited for."""


def own() -> str:
    """Return the mark of this process."""
    return of(os.getpid())


def of(pid: int) -> str:
    """Return the mark of a process that runs. Raises: `ProcessLookupError`."""
    state, began = _look(pid)
    if state in _DEAD:
        raise ProcessLookupError(pid)
    return f"{boot()}/{_namespace()}/{pid}/{began}"


def is_gone(mark: str) -> bool:
    """Say whether the process of this mark has provably ended; False also for a mark of somewhere else, or for none.

    >>> is_gone(own()), is_gone("another boot/1/2/3"), is_gone("")
    (False, False, False)
    """
    try:
        where, namespace, pid, began = mark.split("/")
        if (where, namespace) != (boot(), str(_namespace())):
            return False
        state, found = _look(int(pid))
    except ProcessLookupError:
        return True
    except (ValueError, OSError):
        return False
    return found != began or state in _DEAD


@cache
def boot() -> str:
    """Return the id of this boot of the machine: its monotonic clock is the same as long as this is."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


@cache
def _namespace() -> int:
    return (_PROC / "self/ns/pid").stat().st_ino


def _look(pid: int) -> tuple[str, str]:
    """Return state and starting time of a process. Raises: `ProcessLookupError`, `OSError`."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return fields[0], fields[19]


__all__ = ["boot", "is_gone", "of", "own"]
