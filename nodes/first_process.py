"""The first process of a container, where that is us: it starts the launcher, reaps orphans, and passes signals on.

Whoever loses their parent in a PID namespace becomes a child of its first process, and stays as a zombie until that
waits for it. If that were the launcher, it would have to tell its own processes from all others, whose ends it must not
take; and a signal for which the first process has no handler is not delivered to it. So the launcher is a child of one
that does nothing else. With either of them ends the other, and with the first process the kernel ends everybody.

A part of the launcher: the standard library.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

FIRST: Final = 1
"""The id of a namespace's first process (pid_namespaces(7))."""
SIGNALLED: Final = 128
"""Added to the number of the signal that has ended a process: its exit status as shells have it."""


def step_aside(ends: Iterable[int]) -> None:
    """Return as the second process of the namespace, if this is its first; the first stays behind until that ends.

    `ends`: signals that the second is to have; it has them blocked, as this process may have had. Call it before a
    thread is started.
    """
    if os.getpid() != FIRST:
        return
    ends = {*ends}
    heard = {*ends, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    if (launcher := os.fork()) == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard - ends)
        return
    while True:
        number = signal.sigwait(heard)
        if number in ends:
            os.kill(launcher, number)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] == launcher:
                    code = os.waitstatus_to_exitcode(ended[1])
                    os._exit(code if code >= 0 else SIGNALLED - code)


__all__ = ["FIRST", "step_aside"]
