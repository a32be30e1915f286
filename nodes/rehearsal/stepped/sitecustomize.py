"""A wall clock that can be stepped, for one host's Python processes: no namespace of the kernel moves it.

Python imports this by its name when the directory is on PYTHONPATH (site, "sitecustomize"). `time.time`, `time.time_ns`
and `datetime.now` then are ahead by what the file in `RINGMASTER_REHEARSAL_CLOCK` says: eight bytes, a double, read
anew each time. The nats-server and the kernel keep the true time. `datetime` is written in C, and its attributes can be
replaced only behind its back. A preloaded library (libfaketime 0.9.10) would move the server, too, and breaks
`time.sleep`.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import mmap
import os
import struct
import time
from typing import Any, Final

CLOCK: Final = "RINGMASTER_REHEARSAL_CLOCK"
AHEAD: Final = struct.Struct("d")


def step(file: str) -> None:
    """Have the clocks of this process follow a file."""
    with open(file, "rb") as opened:
        ahead = mmap.mmap(opened.fileno(), AHEAD.size, prot=mmap.PROT_READ)
    true, true_ns = time.time, time.time_ns

    def time_() -> float:
        ahead_s: float = AHEAD.unpack_from(ahead)[0]
        return true() + ahead_s

    def time_ns() -> int:
        return true_ns() + int(AHEAD.unpack_from(ahead)[0] * 1e9)

    def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return cls.fromtimestamp(time_(), tz)

    time.time, time.time_ns = time_, time_ns
    attributes: dict[str, Any] = gc.get_referents(datetime.datetime.__dict__)[0]
    attributes["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


if CLOCK in os.environ:
    step(os.environ[CLOCK])
