"""A whole small child: says what happens to it on its inherited socket `news`, obeys, and can be told to misbehave."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from supervisors import Watchdog
from supervisors.eventloop import run
from supervisors.parent import Activate, Parent, Stop, Told

LOADED_BY = os.getpid()
"""The process itself when it was run, and its zygote when it was forked."""


async def main() -> int:
    parent = await Parent.attach(Watchdog(warn_s=0.1, exit_s=0.4, tick_s=0.02) if "watched" in sys.argv else None)
    news = parent.sockets["news"]

    def say(word: str, number: int | None = None) -> None:
        news.send(f"{word} {os.getpid() if number is None else number}".encode())

    await parent.ready({"identity": f"child-{os.getpid()}", "loaded_by": LOADED_BY})
    if "late" in sys.argv:
        await asyncio.sleep(0.3)  # others would ask now whether they are to begin
    say("spare" if parent.is_spare else "ready")
    async for order in parent.orders:
        match order:
            case Activate():
                say("activated")
            case Told({"crash": str(last_words)}):
                os.write(2, f"{last_words}\n".encode())
                os._exit(3)
            case Told({"hang": True}):
                time.sleep(3600)  # noqa: ASYNC251 - a hung child
            case Told({"spin": True}):
                while True:
                    pass
            case Told({"toil": float(seconds)}):
                until = time.thread_time() + seconds
                while time.thread_time() < until:
                    pass
                say("toiled")
            case Told({"breed": True}):
                say("bred", subprocess.Popen(["sleep", "3600"]).pid)  # noqa: ASYNC220 - it outlives us, on purpose
            case Told({"read": str(name)}):
                received = await asyncio.get_running_loop().sock_recv(parent.sockets[name], 100)
                say("read", int(received))
            case Told({"write": str(path)}):
                said = {"environ": dict(os.environ), "argv": sys.argv, "dice": random.random()}
                Path(path).write_text(json.dumps(said))  # noqa: ASYNC240 - a line
                say("wrote")
            case Told({"leave": True}):
                return 0
            case Told(body):
                say(f"told {sorted(body)}")
            case Stop():
                say("stopping")
                if "slow" in sys.argv:
                    await asyncio.sleep(0.5)
                    say("stopped")
    parent.close()
    return 0


def begin() -> None:
    if "stubborn" in sys.argv:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    if "stillborn" in sys.argv:
        sys.exit("cannot start")
    sys.exit(run(main()))


if __name__ == "__main__":
    begin()
