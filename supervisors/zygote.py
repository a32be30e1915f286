"""A process that others are forked from, as their launcher knows it: what they would all load, it has loaded once.

    with closing(Zygote(Program((sys.executable, "-m", "nodes.zygote")))) as zygote:
        edge = Program((sys.executable, "-m", "nodes.child"), zygote=zygote)
        async with running(Supervisor([zygote.child("zygote"), OsProcess.child("edge", edge)])):
            ...

It is a child like any other, found when it is silent and started again. What it forks is its launcher's child and not
its own (`forking`), so its death is nobody else's. And nobody needs it: where it is gone, cannot be asked, or says what
it may not, a program is run as without it. Who waits for one that is silent waits until its launcher has ended it.

A process that was asked for is a child of ours from the moment in which it is there, and has to be told from others. So
it says first which process it is, then that it leads a session of its own, and begins its work only when it is told to.
Until then it is nobody: whoever has given up waiting for it kills and reaps it, however late it comes. One that died
before it could say anything is found by the zygote's group, in which nobody else ever is.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypedDict

from supervisors.lines import Lines
from supervisors.process import OsProcess
from supervisors.program import Forked, OnChange, ProcessReport, Program, Standing
from supervisors.spec import Child, Restart

REQUESTS: Final = "requests"
"""The inherited socket on which the zygote is asked, by every life of it the same."""
MOST_FDS: Final = 250
"""Sockets in one message; the kernel takes 253 (SCM_MAX_FD)."""
WAITS_S: Final = 60.0
"""For one that lives and finds no processor: to run a program would take the longer, too. One that does not beat is
ended for it, and then nobody waits any more."""
_WAITS_BYTES: Final = 1024 * 1024
"""Requests may wait until it has loaded; the kernel allows half a megabyte, some fifty of a node's."""
_LOOK_S: Final = 0.05
_N_LOOKS: Final = 40
"""So often is looked for those who died before they said who they were."""


class Request(TypedDict):
    """What a zygote is asked for. Descriptors: the process's control socket, its standard error, its sockets."""

    number: int
    until_s: float
    """Monotonic; nobody waits any more after that."""
    argv: list[str]
    env: dict[str, str]
    cwd: str | None
    charge: dict[str, object]
    sockets: list[str]


class Zygote:
    """A zygote and what is asked of it. Needs a running event loop; `close` it when nobody is to be forked any more."""

    def __init__(self, program: Program) -> None:
        """`program` calls `forking.serve`."""
        self._loop = asyncio.get_running_loop()
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITS_BYTES)
        self._ours.setblocking(False)
        self._program = replace(program, sockets={**program.sockets, REQUESTS: self._theirs})
        self._standing = Standing.STARTING
        self._pid = 0
        self._n_asked = 0
        self._births: set[Birth] = set()
        self._lost: dict[tuple[int, int], int] = {}
        """Whom to reap, as waitid(2) wants it, and how often to look for them."""
        self._timer: asyncio.TimerHandle | None = None

    def child(self, id: str, *, on_change: OnChange | None = None) -> Child[OsProcess]:
        """Return its spec. It ends in order where it can be no zygote, and is not started again then."""

        def changed(report: ProcessReport) -> None:
            self._changed(report)
            if on_change is not None:
                on_change(report)

        return OsProcess.child(id, self._program, on_change=changed, restart=Restart.TRANSIENT)

    def fork(self, program: Program, is_spare: bool, stderr: int, tell: Forked) -> Birth | None:
        """Ask for a process of `program`, and have `tell` called when it is there. None: it cannot be asked now."""
        if self._standing is Standing.GONE or self._ours.fileno() < 0:
            return None
        ours, theirs = socket.socketpair()
        self._n_asked += 1
        request = Request(
            number=self._n_asked,
            until_s=time.monotonic() + WAITS_S,
            argv=[*program.argv],
            env={**os.environ, **program.env},
            cwd=program.cwd,
            charge=program.charge(is_spare=is_spare),
            sockets=[*program.sockets],
        )
        try:
            self._send(request, [theirs.fileno(), stderr, *(sock.fileno() for sock in program.sockets.values())])
        except OSError:  # too much waits already
            ours.close()
            return None
        finally:
            theirs.close()
        birth = Birth(self, ours, tell)
        self._births.add(birth)
        return birth

    def close(self) -> None:
        """Ask no more; those who are not there yet are nobody's."""
        if self._timer is not None:
            self._timer.cancel()
        self._ours.close()
        self._theirs.close()
        for birth in [*self._births]:
            birth.drop()
        for kind, number in self._lost:
            if kind == os.P_PID:
                os.waitpid(number, 0)  # it has been killed
        self._lost.clear()

    def _send(self, request: Request, fds: list[int]) -> None:
        """Send `fds` in as many messages as it takes, the request with the last of them. Raises OSError."""
        begun = json.dumps({"number": request["number"]}).encode()  # tells what is never sent whole from the next
        while len(fds) > MOST_FDS:
            socket.send_fds(self._ours, [begun], fds[:MOST_FDS])
            del fds[:MOST_FDS]
        socket.send_fds(self._ours, [json.dumps(request).encode()], fds)

    def _changed(self, report: ProcessReport) -> None:
        self._standing, self._pid = report.standing, report.pid
        if self._standing is Standing.GONE:
            with suppress(OSError):  # BlockingIOError: nothing is left, and those who waited in there hear their end
                while True:
                    self._theirs.recv(1, socket.MSG_DONTWAIT)
            self.look_for()

    def over(self, birth: Birth) -> None:
        """Nothing more can come of it."""
        self._births.discard(birth)

    def look_for(self, pid: int = 0) -> None:
        """End and reap this process of ours; 0: whoever has died in the zygote's group, where only the unborn are."""
        if pid and _is_our_child(pid):
            os.kill(pid, signal.SIGKILL)
            self._lost[os.P_PID, pid] = sys.maxsize
        elif not pid and self._pid:
            self._lost[os.P_PGID, self._pid] = _N_LOOKS
        self._look()

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        known = {birth.pid for birth in self._births} | {number for kind, number in self._lost if kind == os.P_PID}
        for which, n_looks in [*self._lost.items()]:
            if n_looks == 0 or _is_reaped(*which, others=known):
                del self._lost[which]
            else:
                self._lost[which] -= 1
        is_open = self._ours.fileno() >= 0
        self._timer = self._loop.call_later(_LOOK_S, self._look) if self._lost and is_open else None


class Birth:
    """One process that was asked for, until it is told or nothing can come of it any more."""

    def __init__(self, zygote: Zygote, control: socket.socket, tell: Forked) -> None:
        self.pid = 0
        """Which process it is, once it has said so."""
        self._zygote = zygote
        self._tell: Forked | None = tell
        loop = asyncio.get_running_loop()
        self._control = Lines(loop, control, self._said, self._end)
        self._timer = loop.call_later(WAITS_S, self._give_up_and_tell)

    def give_up(self) -> None:
        """Nobody waits any more: tell nobody."""
        self._tell = None
        self._timer.cancel()
        if self.pid:
            self.drop()  # else it is killed when it says who it is, or has ended

    def drop(self) -> None:
        """Let go of it: whatever there is of it ends."""
        self._timer.cancel()
        self._control.close()
        self._zygote.over(self)
        self._zygote.look_for(self.pid)

    def _said(self, body: dict[str, object]) -> None:
        match body:
            case {"pid": int(pid)} if not self.pid and _is_our_child(pid):
                self.pid = pid
                if self._tell is None:
                    self.drop()
            case {"born": True} if self.pid and self._tell is not None:
                tell, self._tell = self._tell, None
                self._timer.cancel()
                if tell(self.pid, self._control):
                    self._zygote.over(self)
                    self._control.send({"go": True})
                else:
                    self.drop()
            case _:
                self._end()

    def _end(self) -> None:
        """It has ended, or says what it may not."""
        self.drop()
        self._fail()

    def _give_up_and_tell(self) -> None:
        tell = self._tell
        self.give_up()
        self._tell = tell
        self._fail()

    def _fail(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(0, None)


def _is_our_child(pid: int) -> bool:
    """Whether it is a process of ours that has not been reaped."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (OSError, OverflowError):
        return False
    return pid > 0


def _is_reaped(kind: int, number: int, others: set[int]) -> bool:
    """Reap whoever of these has ended; say whether that was all. The leader of a group, and `others`, are not ours."""
    try:
        while (found := os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if kind == os.P_PGID and found.si_pid in (number, *others):
                return False
            os.waitid(os.P_PID, found.si_pid, os.WEXITED)
    except ChildProcessError:
        return True
    return False


__all__ = ["MOST_FDS", "REQUESTS", "WAITS_S", "Birth", "Request", "Zygote"]
