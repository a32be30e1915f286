"""One operating-system process on a leash: spawned, listened to, stopped, and in any case reaped.

Nothing of it outlives the launcher: the kernel sends SIGKILL when the launcher dies (PR_SET_PDEATHSIG), and the end of
the control socket says the same to a child that lost that setting by an exec. Nothing of it outlives itself: it leads a
session and a group of its own, and the group is killed before it is reaped, while its id cannot have been reused.
Signals go through a pidfd for the same reason; the pidfd becomes readable at its death. Linux 5.3 and up.

A program is run, or forked from its `Zygote`; nobody else sees a difference but in how long it takes.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from supervisors.lines import Lines
from supervisors.program import CHARGE, ProcessDied, ProcessExit, Program, Standing, Unborn
from supervisors.silence import Silence
from supervisors.starvation import Starvation

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_N_STDERR_LINES: Final = 20
_LINE_BYTES: Final = 16 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent_pid: int) -> bool:
    """Have the kernel kill this process when its parent dies; False when that has died already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent_pid


class Leash:
    """A process of `program`, begun by the constructor; `changed` is called whenever its standing has changed.

    It has a process id as soon as it is told to be STARTING: at once when `argv` is run, soon when a zygote forks it.
    One that is GONE before has never been. Raises OSError when it cannot be spawned.
    """

    def __init__(self, program: Program, *, is_spare: bool, changed: Callable[[Leash], None]) -> None:
        self.program = program
        self.standing = Standing.STARTING
        self.info: Mapping[str, object] = {}
        self.exit: ProcessExit | None = None
        self.pid = 0
        """Its process id, which stays its own until it is GONE; 0 before it has one."""
        self._is_spare = is_spare
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._why = ""
        self._waiting: list[asyncio.Future[None]] = []
        self._is_listening = False
        pipe, self._their_stderr = os.pipe()
        self._stderr = _Stderr(self._loop, pipe)
        self._birth: Unborn | None = None
        try:
            if program.zygote is not None:
                self._birth = program.zygote.fork(program, is_spare, self._their_stderr, self._forked)
            if self._birth is None:
                self._run()
        except BaseException:
            self._close_stderr()
            raise

    def _run(self) -> None:
        """Run its `argv`. Raises OSError."""
        ours, theirs = socket.socketpair()
        control = Lines(self._loop, ours, self._said, on_end=_nothing)
        try:
            popen = _spawn(self.program, theirs, self._their_stderr, self._is_spare)
            try:
                self._begin(popen.pid, popen.wait, control)
            except OSError:
                popen.kill()
                popen.wait()
                raise
        except BaseException:
            control.close()
            raise
        finally:
            theirs.close()

    def _forked(self, pid: int, control: Lines | None) -> bool:
        """A zygote has forked it, or (None) does not: then it is run. Return whether there is a process now."""
        self._birth = None
        try:
            if control is None:
                self._run()
            else:
                self._begin(pid, partial(_reap_forked, pid), control)
        except OSError as error:
            self._never(ProcessExit(os.EX_OSERR, None, str(error), ()))
        return self.pid > 0

    def _begin(self, pid: int, reap: Callable[[], int], control: Lines) -> None:
        self._pidfd = os.pidfd_open(pid)
        os.close(self._their_stderr)
        control.turn_to(self._said, on_end=_nothing)
        self.pid, self._reap, self._control = pid, reap, control
        self._starvation = Starvation(pid)
        self._loop.add_reader(self._pidfd, self._died)
        self._judge(self.program.ready_s, f"not ready within {self.program.ready_s} s")
        self._become(Standing.STARTING)
        if not self.program.speaks:
            self._ready({})

    def _never(self, exit: ProcessExit) -> None:
        """There will be no process: it is GONE in the next turn of the loop, as others are."""
        if self._birth is not None:
            self._birth.give_up()
            self._birth = None
        self._close_stderr()
        self.exit = exit
        self._loop.call_soon(self._become, Standing.GONE)

    def _close_stderr(self) -> tuple[str, ...]:
        os.close(self._their_stderr)
        return self._stderr.close()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended and been reaped."""
        return self.standing is Standing.GONE

    async def ready(self) -> None:
        """Return when it is no longer STARTING. Raises ProcessDied."""
        while self.standing is Standing.STARTING:
            await self._change()
        if self.exit is not None:
            raise ProcessDied(self.pid, self.exit)

    async def gone(self) -> None:
        """Return when it is GONE."""
        while not self.is_gone:
            await self._change()

    def activate(self) -> None:
        """Tell a spare, which is ready, that it is the active one now."""
        assert self.standing is Standing.SPARE, self.standing
        self._control.send({"activate": True})
        self._become(Standing.ACTIVE)

    def tell(self, body: Mapping[str, object]) -> bool:
        """Send it `body`; False when it does not read."""
        return self._control.send({"told": body})

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after `stop_s`; return when it is GONE."""
        if not self.pid:
            self.kill("stopped")
        elif not self.is_gone:
            self._timer.cancel()
            self._is_listening = False
            self._judge(self.program.stop_s, "did not stop")
            self._signal(signal.SIGTERM)
        await self.gone()

    def kill(self, why: str = "killed") -> None:
        """SIGKILL it and its group; it is GONE within a few turns of the loop."""
        if self._birth is not None:
            self._never(ProcessExit(None, signal.SIGKILL, why, ()))
        elif self.pid and not self.is_gone:
            self._why = self._why or why
            self._signal(signal.SIGKILL)
            self._kill_group()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # it has no group before its setsid, or none any more
            os.killpg(self.pid, signal.SIGKILL)

    def _said(self, body: dict[str, object]) -> None:
        if self._is_listening:
            self._silence.heard(self._loop.time())
        info = body.get("ready")
        if isinstance(info, dict):
            self._ready(info)

    def _ready(self, info: Mapping[str, object]) -> None:
        self.info = info
        if self.standing is Standing.STARTING:
            self._timer.cancel()
            if self.program.speaks:
                self._is_listening = True
                self._judge(self.program.silence_s, f"silent for {self.program.silence_s} s")
        self._become(Standing.SPARE if self._is_spare else Standing.ACTIVE)

    def _judge(self, limit_s: float, verdict: str) -> None:
        """Kill it, for this reason, after so long without the word that is due now."""
        self._silence, self._verdict = Silence(limit_s, self._loop.time()), verdict
        self._wait()

    def _look(self) -> None:
        timer = self._timer
        self._control.read()  # what it has said while we were away is heard before it is judged
        if self._timer is timer:  # else that began another wait, or it was killed for what it said
            self._wait()

    def _wait(self) -> None:
        again_s = self._silence.look(self._loop.time(), self._starvation.since())
        if again_s is None:
            self.kill(self._verdict)
        else:
            self._timer = self._loop.call_later(again_s, self._look)

    def _died(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._timer.cancel()
        self._kill_group()
        code = self._reap()  # it is dead: this does not wait
        os.close(self._pidfd)
        self._starvation.close()
        self._control.close()
        died_of = -code if code < 0 else None
        self.exit = ProcessExit(None if died_of else code, died_of, self._why, self._stderr.close())
        self._become(Standing.GONE)

    def _become(self, standing: Standing) -> None:
        self.standing = standing
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        self._changed(self)

    async def _change(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        await future


class _Stderr:
    """Passes a process's stderr on to ours and keeps its last lines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pipe: int) -> None:
        self._loop = loop
        self._pipe = pipe
        self._rest = b""
        self._lines: deque[str] = deque(maxlen=_N_STDERR_LINES)
        os.set_blocking(pipe, False)
        loop.add_reader(pipe, self._read)

    def close(self) -> tuple[str, ...]:
        """Read what is there and return the last lines."""
        while self._read():
            pass
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        if self._rest:
            self._keep(self._rest)
        return tuple(self._lines)

    def _read(self) -> bool:
        try:
            read = os.read(self._pipe, 65536)
        except BlockingIOError:
            return False
        if not read:
            self._loop.remove_reader(self._pipe)
            return False
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            self._keep(line)
        if len(self._rest) > _LINE_BYTES:
            self._keep(self._rest)
            self._rest = b""
        return True

    def _keep(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode(errors="replace")
        self._lines.append(text)
        sys.stderr.write(text + "\n")


def _spawn(program: Program, control: socket.socket, stderr: int, is_spare: bool) -> subprocess.Popen[bytes]:
    """Run it with `control` and its sockets inherited, in a session of its own: Ctrl-C reaches the launcher only."""
    sockets = {name: sock.fileno() for name, sock in program.sockets.items()}
    charge = {**program.charge(is_spare=is_spare), "control": control.fileno(), "sockets": sockets}
    return subprocess.Popen(
        program.argv,
        env={**os.environ, **program.env, **({CHARGE: json.dumps(charge)} if program.speaks else {})},
        cwd=program.cwd,
        pass_fds=(control.fileno(), *sockets.values()) if program.speaks else (),
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=partial(_before_exec, os.getpid()),
    )


def _before_exec(parent_pid: int) -> None:
    if not die_with(parent_pid):
        os._exit(1)


def _reap_forked(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _nothing() -> None:
    """The end of the control socket says nothing that the end of the process does not."""
