"""What this machine has and how busy it is: what `/proc` says of its cores, between two looks, and of its memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

STAT: Final = Path("/proc/stat")
MEMINFO: Final = Path("/proc/meminfo")
_GIVES_WAY: Final = (1, 3, 4)
"""Columns `nice`, `idle` and `iowait` (proc_stat(5)): time that was ours, had we wanted it."""
_COUNTED: Final = 8
"""Columns that add up to all time; `steal`, the last of them, is time that others took from this machine."""


class Machine:
    """`busy()`: the share of all cores, 0 to 1, that was taken since the last time; None where nothing says so."""

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._before = self._read()

    def busy(self) -> float | None:
        """Return the share since this was last asked."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return None
        spent = [now - then for now, then in zip(self._before, before, strict=True)]
        free = sum(spent[column] for column in _GIVES_WAY)
        return 1.0 - free / total if (total := sum(spent)) > 0 else None

    def _read(self) -> list[int] | None:
        try:
            with self._stat.open() as file:
                columns = file.readline().split()[1 : _COUNTED + 1]
            return [int(column) for column in columns] if len(columns) == _COUNTED else None
        except (OSError, ValueError):
            return None


def run_queue(stat: Path = STAT) -> int | None:
    """Return how many tasks of the machine run or wait for a processor (`procs_running`); None: nothing says so."""
    try:
        found = [line.split() for line in stat.read_text().splitlines() if line.startswith("procs_running ")]
        return int(found[0][1])
    except (OSError, ValueError, IndexError):
        return None


def memory(meminfo: Path = MEMINFO) -> tuple[int, int] | None:
    """Return the machine's bytes of memory, and those that it could give out yet (proc(5), MemAvailable)."""
    try:
        said = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        total, free = (int(said[word].removesuffix("kB")) * 1024 for word in ("MemTotal", "MemAvailable"))
        return total, free
    except (OSError, ValueError, KeyError):
        return None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


__all__ = ["Machine", "cores", "memory", "run_queue"]
