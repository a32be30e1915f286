"""The watchdog's own backstop: it ends a process in which not even the watchdog's thread can run.

What does that is code in C that keeps the GIL and computes. So the limit is processor time of the loop's thread, which
the kernel counts (timer_create(2) on its CPU clock) and which stands still while the process is stopped or finds no
core: a limit on the wall clock, such as faulthandler's own, ends every process that was paused for longer. When it is
reached, faulthandler's C handler writes all stacks to stderr and the signal's default ends the process.

What sleeps in C with the GIL is not found here; the launcher finds it by its silence. Linux.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import time
from typing import Final

SIGNAL: Final = signal.SIGVTALRM
"""By default it ends a process, without a core file: callers' words would be in that."""
_SIGEV_SIGNAL: Final = 0

_libc = ctypes.CDLL(None, use_errno=True)


class _SigEvent(ctypes.Structure):
    """sigevent(7), 64 bytes on every Linux of 64 bits."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class _Timer(ctypes.Structure):
    """itimerspec: the interval and the first time, each as seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Backstop:
    """Ends the process when thread `ident` computes for `limit_s` seconds between two calls of `arm`.

    One in a process: a signal has one handler. Raises OSError when the kernel gives no timer.
    """

    def __init__(self, ident: int, limit_s: float) -> None:
        self._in = _Timer(0, 0, int(limit_s), int(limit_s % 1 * 1e9))
        self._id = ctypes.c_void_p()
        event = _SigEvent(None, SIGNAL, _SIGEV_SIGNAL, b"")
        clock = ctypes.c_int(time.pthread_getcpuclockid(ident))
        faulthandler.register(SIGNAL, file=2, all_threads=True, chain=True)
        _check(_libc.timer_create(clock, ctypes.byref(event), ctypes.byref(self._id)))
        self.arm()

    def arm(self) -> None:
        """Begin to count anew."""
        _check(_libc.timer_settime(self._id, 0, ctypes.byref(self._in), None))

    def cancel(self) -> None:
        """Count no more."""
        _libc.timer_delete(self._id)
        faulthandler.unregister(SIGNAL)


def _check(returned: int) -> None:
    if returned:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
