"""The zygote's own side: a process that loads, says that it is ready, and then only forks (`zygote`).

    import ...                       # what all have in common
    serve(main)                      # in each process that is forked: `main()`, and then its end

What it forks is a brother, not a child: clone(2) with CLONE_PARENT makes it its launcher's in the same moment. So the
launcher waits for it as for any other, PR_SET_PDEATHSIG tells it of the launcher's death, and the zygote may die.
Python and the C library think that they have forked as usual: before and after it is done what `os.fork` does, and the
kernel writes the new thread's id where the C library keeps it (PR_GET_TID_ADDRESS), as its own fork has it do. What is
left out is for mutexes that processes share, and for libraries' own words at a fork: nobody here has either.

A fork copies one thread, and what others held is held for ever. So a zygote has one thread, and no event loop. Where
one has more, or the kernel or the processor is one that we do not know, it ends in order, and programs are run.

A process that is forked finds all as one that was run finds it: a session of its own, its standard error, its sockets
and no other files, its environment. What libraries read when they are loaded they have read in the zygote's.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Never

from supervisors.errors import KernelError
from supervisors.leash import die_with
from supervisors.program import CHARGE
from supervisors.zygote import MOST_FDS, REQUESTS, Request

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
"""The number of clone(2), by the name of the processor."""
_FLAGS: Final = 0x8000 | 0x01000000 | 0x00200000 | signal.SIGCHLD
"""CLONE_PARENT, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID: linux/sched.h. The last two are glibc's own."""
_PR_GET_TID_ADDRESS: Final = 40  # linux/prctl.h
_MOST_BYTES: Final = 1024 * 1024
"""More than the socket takes at once."""
_GO: Final = b'{"go":true}\n'

_libc: Final = ctypes.PyDLL(None, use_errno=True)
"""Calls that keep the interpreter's lock, as `os.fork` does."""


class CannotFork(KernelError):
    """This process can be no zygote, and why."""


def serve(main: Callable[[], object]) -> Never:
    """Be the zygote of the launcher that has started this process, until that ends it or dies."""
    charge = json.loads(os.environ.pop(CHARGE))
    try:
        server = _Server(main, charge["launcher_pid"], charge["beat_s"])
    except CannotFork as error:
        sys.stderr.write(f"no process can be forked here, so programs are run: {error}\n")
        sys.exit(0)
    control, requests = (socket.socket(fileno=fd) for fd in (charge["control"], charge["sockets"][REQUESTS]))
    for sock in (control, requests):
        sock.set_inheritable(False)
    gc.collect()
    gc.freeze()  # what is there stays: looking through it would copy it, page by page, in every process
    server.run(control, requests)


class _Server:
    def __init__(self, main: Callable[[], object], launcher_pid: int, beat_s: float) -> None:
        if os.uname().machine not in _CLONE:
            raise CannotFork(f"{os.uname().machine} is not known")
        if (n_threads := len(os.listdir("/proc/self/task"))) != 1:
            raise CannotFork(f"there are {n_threads} threads")
        self._tid = ctypes.c_void_p()
        failed = _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(self._tid), 0, 0, 0)
        if failed or not self._tid.value or ctypes.c_int.from_address(self._tid.value).value != os.getpid():
            raise CannotFork("the kernel does not say where the C library keeps a thread's id")
        self._number = ctypes.c_long(_CLONE[os.uname().machine])
        self._main = main
        self._launcher_pid = launcher_pid
        self._beat_s = beat_s
        self._begun = 0
        self._fds: list[int] = []
        """Of the request that has been begun."""

    def run(self, control: socket.socket, requests: socket.socket) -> Never:
        """Fork what is asked for, and beat."""
        poll = select.poll()
        for sock in (control, requests):
            poll.register(sock, select.POLLIN)
        control.sendall(b'{"ready":{}}\n')
        beats_s = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= beats_s:
                beats_s = now + self._beat_s
                with suppress(OSError):  # it does not read just now, or is gone
                    control.send(b'{"beat":true}\n', socket.MSG_DONTWAIT)
            ready = [fd for fd, _ in poll.poll((beats_s - now) * 1000)]
            if control.fileno() in ready and not control.recv(65536):
                sys.exit(0)  # the launcher is gone
            request = self._read(requests) if requests.fileno() in ready else None
            if request is not None:
                fds, self._fds = self._fds, []
                if time.monotonic() < request["until_s"] and self._fork() == 0:
                    for sock in (control, requests):
                        sock.close()
                    _be(request, fds, self._launcher_pid, self._main)
                for fd in fds:
                    os.close(fd)

    def _read(self, requests: socket.socket) -> Request | None:
        """Read one message; return the request when it is whole."""
        data, fds, _, _ = socket.recv_fds(requests, _MOST_BYTES, MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            sys.exit(0)  # nobody asks any more
        message = json.loads(data)
        if message["number"] != self._begun:
            for fd in self._fds:  # of one that was never sent whole
                os.close(fd)
            self._begun, self._fds = message["number"], []
        self._fds += fds
        whole: Request | None = message if "until_s" in message else None
        return whole

    def _fork(self) -> int:
        """Do as `os.fork` does, for the launcher: 0 in the new process, -1 where there was none to be had."""
        ctypes.pythonapi.PyOS_BeforeFork()
        pid: int = _libc.syscall(self._number, ctypes.c_long(_FLAGS), None, None, self._tid, self._tid)
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
        return pid


def _be(request: Request, fds: list[int], launcher_pid: int, main: Callable[[], object]) -> Never:
    """Be what was asked for, if somebody still waits for it."""
    code = 1
    try:
        if die_with(launcher_pid) and _is_wanted(fds[0]):
            _settle_in(request, fds)
            main()
            code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  it is the end of the process, and nobody is above it
        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _is_wanted(control: int) -> bool:
    """Say who this is, and whether the launcher wants it."""
    with suppress(OSError), socket.socket(fileno=os.dup(control)) as sock:
        sock.sendall(b'{"pid":%d}\n' % os.getpid())
        os.setsid()
        sock.sendall(b'{"born":true}\n')
        return sock.recv(len(_GO), socket.MSG_WAITALL) == _GO
    return False


def _settle_in(request: Request, fds: list[int]) -> None:
    """Have everything as a program finds it that is run."""
    control, stderr, *sockets = fds
    os.dup2(stderr, 2)
    os.close(stderr)
    os.environ.clear()
    os.environ.update(request["env"])
    inherited = dict(zip(request["sockets"], sockets, strict=True))
    os.environ[CHARGE] = json.dumps({**request["charge"], "control": control, "sockets": inherited})
    if request["cwd"] is not None:
        os.chdir(request["cwd"])
    sys.argv = request["argv"][1:]  # without the interpreter
    _show(request["argv"])


def _show(argv: list[str]) -> None:
    """Have ps(1) show this command, as far as there is room. Source: proc_pid_stat(5), arg_start and arg_end."""
    with suppress(OSError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        if 0 < start < end:
            text = b"\0".join(map(os.fsencode, argv))[: end - start - 1]
            ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


__all__ = ["CannotFork", "serve"]
