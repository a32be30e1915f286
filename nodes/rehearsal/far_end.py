"""Rehearsal callees on a machine of their own: `python -m nodes.rehearsal.far_end ADDRESS PORT`.

What a stage does for callees beside its node: binds their SIP socket and keeps their process, which says how it has
lived in the state directory of the configuration. Writes `ready` when they take calls; ends with them, or at SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Final

from nodes.launcher import PROCESS
from supervisors import Supervisor, running
from supervisors.process import OsProcess, Program

READY: Final = "ready"
READY_S: Final = 60.0


async def run(address: str, port: int) -> None:
    """Keep callees at an address until cancelled. Raises: OSError, StartFailed, TreeDown."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
        sip.bind((address, port))
        sip.setblocking(False)
        program = Program(
            argv=(sys.executable, "-m", "nodes.child"), env={PROCESS: "rehearsal-0 rehearsal"}, sockets={"sip": sip},
            ready_s=READY_S,
        )  # fmt: skip
        async with running(Supervisor([OsProcess.child("callees", program)], intensity=0)):
            sys.stdout.write(f"{READY}\n")
            sys.stdout.flush()
            await asyncio.get_running_loop().create_future()


async def main(address: str, port: int) -> None:
    body = asyncio.ensure_future(run(address, port))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, body.cancel)
    await asyncio.wait([body])
    if not body.cancelled():
        body.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
