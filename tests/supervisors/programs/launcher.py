"""A whole small launcher: one pair, whose processes it reports on stdout, until it is killed.

Told `zygote` it has one, which it reports too, and then four pairs at once that are forked from it.
"""

import asyncio
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

from supervisors import Dynamic, Supervisor, running
from supervisors.process import Pair, ProcessReport, Program, Standing
from supervisors.zygote import Zygote

CHILD = str(Path(__file__).with_name("child.py"))


def report(report: ProcessReport) -> None:
    sys.stdout.write(json.dumps({"pid": report.pid, "standing": report.standing.value}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    news, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    times = {"beat_s": 0.05, "silence_s": 0.6} if "watched" in sys.argv else {}
    program = Program((sys.executable, CHILD, *sys.argv[1:]), sockets={"news": inherited}, **times)
    if "zygote" in sys.argv:
        zygote = Zygote(Program((sys.executable, str(Path(CHILD).with_name("zygote.py")))))
        async with running(Supervisor([zygote.child("zygote")])):
            report(ProcessReport("zygote", 0, Standing.ACTIVE, {}))
            forked = Dynamic(lambda n: Pair(replace(program, zygote=zygote), report), id="forked")
            async with running(Supervisor([forked])) as system:
                await asyncio.gather(*(system.dynamic("forked", forked.start).start(n) for n in range(4)))
                await asyncio.get_running_loop().create_future()
    async with running(Supervisor([Pair.child("edge", program, on_change=report)])):
        await asyncio.get_running_loop().create_future()
    news.close()


if __name__ == "__main__":
    asyncio.run(main())
