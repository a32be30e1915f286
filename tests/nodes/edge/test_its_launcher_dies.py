"""A real edge process at the end of its launcher: whoever dies with it hangs up on nobody, who is told to stop does.

That the control socket is at its end may be seen a moment before the kernel's signal comes; here the signal does not
come at all.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodes import config as configuration
from nodes.call.record import CallRecord
from nodes.edge.disk import Disk
from nodes.edge.record_store import RecordStore, version
from nodes.links import incarnation
from nodes.links.tasks import Tasks
from protocols.sip.message import Request, parse
from supervisors.leash import Leash
from supervisors.program import Standing
from tests.conftest import child_of_ours
from tests.nodes.edge.records import leg, record
from tests.nodes.edge.test_process import HELLO


@dataclass
class Edge:
    """The process, and the far end of the call that it has."""

    leash: Leash
    far: socket.socket

    def heard(self) -> list[str]:
        """Return the methods of what the far end has been sent."""
        found = []
        with suppress(BlockingIOError):
            while True:
                message = parse(self.far.recv(65_535))
                found.append(message.method if isinstance(message, Request) else str(message.code))
        return found


async def leave_on_disk(checkpoint: Path, made: CallRecord) -> None:
    """Have a predecessor, started by this process, too, leave a call."""
    call_id = made.order.call_id
    disk = Disk(checkpoint, incarnation.own(), {call_id: RecordStore(made, lambda store: None)}, lambda n: [], tuple)
    async with Tasks() as tasks:
        tasks.spawn(disk.run())
        async with asyncio.timeout(60):
            while not disk.keeps(call_id, version(made)):
                await asyncio.sleep(0.01)
    disk.close()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """An active edge that goes on with a call from its disk."""
    file = tmp_path / "ringmaster.toml"
    file.write_text("[nats]\nurl = 'nats://127.0.0.1:1'\n[paths]\nstate = 'state'\n")
    config = configuration.load(file)
    config.paths.run.mkdir(parents=True)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip,
    ):
        for sock in (far, sip):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        there = leg(port=sip.getsockname()[1])
        dialog = replace(there.dialog, remote_target=f"sip:ann@127.0.0.1:{far.getsockname()[1]}")
        made = record(leg=replace(there, dialog=dialog, next_hop=far.getsockname(), session_at_s=None))
        made = replace(made, order=replace(made.order, script=HELLO), media="media-0")
        await leave_on_disk(config.paths.checkpoint, made)
        program = child_of_ours("edge-0", file, {"sip": sip})
        leash = Leash(program, is_spare=False, changed=lambda leash: None)
        try:
            await leash.ready()
            assert leash.standing is Standing.ACTIVE
            yield Edge(leash, far)
        finally:
            leash.kill()
            await leash.gone()


async def test_an_edge_whose_launcher_has_died_ends_by_itself_and_hangs_up_on_nobody(edge: Edge) -> None:
    """Its calls go on at another machine, or when the launcher is started again."""
    edge.leash._control.close()
    async with asyncio.timeout(60):
        await edge.leash.gone()
    assert edge.leash.exit is not None
    assert (edge.leash.exit.signal, edge.leash.exit.why) == (signal.SIGKILL, "")
    assert "BYE" not in edge.heard()


async def test_one_that_is_told_to_stop_hangs_up(edge: Edge) -> None:
    await edge.leash.stop()
    assert "BYE" in edge.heard()
