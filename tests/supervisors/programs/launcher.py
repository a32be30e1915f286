"""A whole small launcher: one pair, whose processes it reports on stdout, until it is killed."""

import asyncio
import json
import socket
import sys
from pathlib import Path

from supervisors import Supervisor, running
from supervisors.process import Pair, ProcessReport, Program

CHILD = str(Path(__file__).with_name("child.py"))


def report(report: ProcessReport) -> None:
    sys.stdout.write(json.dumps({"pid": report.pid, "standing": report.standing.value}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    news, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    times = {"beat_s": 0.05, "silence_s": 0.6} if "watched" in sys.argv else {}
    program = Program((sys.executable, CHILD, *sys.argv[1:]), sockets={"news": inherited}, **times)
    async with running(Supervisor([Pair.child("edge", program, on_change=report)])):
        await asyncio.get_running_loop().create_future()
    news.close()


if __name__ == "__main__":
    asyncio.run(main())
