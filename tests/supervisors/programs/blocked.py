"""A whole small program whose only actor blocks the event loop: how, and the limits, are its arguments."""

import hashlib
import itertools
import os
import signal
import sys
import time

from supervisors import Actor, Child, Supervisor, Watchdog, eventloop, running


class Blocker(Actor):
    def compute_in_c(self) -> None:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # lets go of the GIL

    def keep_the_gil(self) -> None:
        sum(itertools.repeat(0))

    def catch_everything(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:  # noqa: BLE001 - the beast
                os.write(1, b"caught\n")

    def be_stopped(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def starve(self) -> None:
        zeros, until_s = os.open("/dev/zero", os.O_RDONLY), time.thread_time() + 0.05
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        while time.thread_time() < until_s:
            os.read(zeros, 1_000_000)  # without the GIL: the watchdog has a core and is on time


async def main(how: str, interrupt_s: float | None, exit_s: float | None) -> None:
    tree = Supervisor([Child(Blocker, id="blocker")])
    watchdog = Watchdog(warn_s=0.1, interrupt_s=interrupt_s, exit_s=exit_s, tick_s=0.02)
    async with running(tree, watchdog=watchdog) as system:
        await system.ref("blocker", Blocker).ask(getattr(Blocker, how))


if __name__ == "__main__":
    how, *limits = sys.argv[1:]
    interrupt_s, exit_s = (float(limit) if limit != "never" else None for limit in limits)
    eventloop.run(main(how, interrupt_s, exit_s))
