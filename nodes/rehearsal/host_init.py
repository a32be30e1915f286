"""The first process of a test host: starts commands there and tells how they end. With it the host ends.

    unshare --net --pid ... python -m nodes.rehearsal.host_init        standard input: a SEQPACKET socket (`remote.py`)

A packet is one JSON object: `run` (beside it the command's standard input, output and error as descriptors), `kill`
(process 0 is everybody but us, a negative one its group), `end`. In a PID namespace of its own it is the init: the
kernel kills whatever still runs there when it ends, and it ends with whoever holds the other end of the socket.
Standard library only: a host is to begin in a moment.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any, Final, Never

PACKET: Final = 200_000
"""Bytes: a command with its whole environment."""
N_STREAMS: Final = 3
EVERYBODY: Final = -1
"""For kill(2): all processes of the namespace but the init and the caller, at once."""


class HostInit:
    """What has been started here, by process id; and whom to tell."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._numbers: dict[int, int] = {}

    def serve(self) -> Never:
        """Do what is asked until the asker goes or says so."""
        woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._say({"here": os.getpid()})
        while True:
            ready, _, _ = select.select([self._socket.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
            self._reap()
            if self._socket.fileno() in ready:
                self._take()

    def _take(self) -> None:
        data, fds, _, _ = socket.recv_fds(self._socket, PACKET, N_STREAMS)
        try:
            asked: dict[str, Any] = json.loads(data) if data else {"end": True}
            match asked:
                case {"run": number, "argv": argv, "env": env, "cwd": cwd}:
                    self._run(number, argv, env, cwd, fds)
                case {"kill": pid, "signal": which}:
                    with suppress(ProcessLookupError):
                        os.kill(pid or EVERYBODY, which)
                case _:
                    self._end()
        finally:
            for fd in fds:
                os.close(fd)

    def _run(self, number: int, argv: list[str], env: dict[str, str], cwd: str, fds: list[int]) -> None:
        given, out, error = fds
        try:
            made = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=given, stdout=out, stderr=error, start_new_session=True
            )  # fmt: skip
        except OSError as wrong:
            self._say({"refused": number, "why": f"{argv[0]}: {wrong.strerror}"})
            return
        self._running[made.pid], self._numbers[made.pid] = made, number
        self._say({"began": number, "pid": made.pid})

    def _reap(self) -> None:
        """Tell who has ended. Orphans of this host come to its init and are nobody's business."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                if made := self._running.pop(pid, None):
                    made.returncode = os.waitstatus_to_exitcode(status)
                    self._say({"ended": self._numbers.pop(pid), "status": made.returncode})

    def _end(self) -> Never:
        with suppress(ProcessLookupError):
            if os.getpid() == 1:  # anywhere else it would be everybody on this machine
                os.kill(EVERYBODY, signal.SIGKILL)
        os._exit(0)

    def _say(self, body: dict[str, object]) -> None:
        try:
            self._socket.send(json.dumps(body).encode())
        except OSError:
            self._end()


def main() -> Never:
    """Serve the socket that is standard input; nothing that is started here inherits it."""
    sock = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if len(sys.argv) > 1:
        socket.sethostname(sys.argv[1])
    HostInit(sock).serve()


if __name__ == "__main__":
    main()
