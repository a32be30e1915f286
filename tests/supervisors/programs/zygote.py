"""The zygote of `child.py`: loads it, and forks it. Its argument says how it is to misbehave."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import child

from supervisors import forking
from supervisors.program import CHARGE
from supervisors.zygote import MOST_FDS, REQUESTS

RUBBISH = {
    "rubbish": b"nonsense\n",
    "liar": b'{"pid":1}\n',
    "mistaken": b'{"pid":"x"}\n',
    "hasty": b'{"born":true}\n',
    "list": b"[]\n",
}


def answer(with_what: bytes) -> None:
    """Say that it is ready, and answer whatever is asked with this."""
    charge = json.loads(os.environ[CHARGE])
    control, requests = (socket.socket(fileno=fd) for fd in (charge["control"], charge["sockets"][REQUESTS]))
    threading.Thread(target=beat, args=(control,), daemon=True).start()
    while True:
        _, fds, _, _ = socket.recv_fds(requests, 1_000_000, MOST_FDS)
        os.write(fds[0], with_what)
        for fd in fds:
            os.close(fd)


def beat(control: socket.socket) -> None:
    control.send(b'{"ready":{}}\n')
    while True:
        control.send(b'{"beat":true}\n')
        time.sleep(0.05)


def die_after(n_words: int, control: int) -> bool:
    """In a forked process: say so much of what is to be said, and die."""
    if n_words:
        os.write(control, b'{"pid":%d}\n' % os.getpid())
        os.setsid()
    os._exit(0)


def slowly(server: forking._Server, fork: Callable[[forking._Server], int] = forking._Server._fork) -> int:
    time.sleep(0.3)
    return fork(server)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [kind] if kind in RUBBISH:
            answer(RUBBISH[kind])
        case ["threaded"]:
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
        case ["stillborn"]:
            sys.exit("cannot start")
        case ["dies", n_words]:
            forking._is_wanted = partial(die_after, int(n_words))
        case ["slow"]:
            forking._Server._fork = slowly
    forking.serve(child.begin)
