"""The desk as the launcher runs it: ready with its address, answering, and gone in order when told to stop."""

import asyncio
import socket
import stat
from pathlib import Path

import aiohttp
import pytest

from nodes import config as configuration
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus
from supervisors import StartFailed, Supervisor, running
from supervisors.process import OsProcess, ProcessReport, Program, Standing
from tests.conftest import NatsServer, child_of_ours
from tests.nodes.desk.page import page


def program(nats_server: NatsServer, root: Path, port: int = 0) -> Program:
    file = root / "ringmaster.toml"
    file.write_text(f"[nats]\nurl = '{nats_server.url}'\n[paths]\nstate = 'state'\n[desk]\nport = {port}\n")
    configuration.load(file).paths.run.mkdir(parents=True)
    return child_of_ours("desk-0", file)


async def until(reports: asyncio.Queue[ProcessReport], standing: Standing) -> ProcessReport:
    async with asyncio.timeout(100):
        while (report := await reports.get()).standing is not standing:
            pass
        return report


async def test_the_desk_is_ready_serves_agents_and_stops_when_it_is_told(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    reports: asyncio.Queue[ProcessReport] = asyncio.Queue()
    run = tmp_path / "state" / "run"
    operator = await Mesh.start(Identity("n1.command:1"))
    desk = OsProcess.child("desk-0", program(nats_server, tmp_path), on_change=reports.put_nowait)
    async with running(Supervisor([desk])):
        ready = await until(reports, Standing.ACTIVE)
        address, token = (run / "desk.url").read_text(), (run / "token").read_text()
        assert ready.info["url"] == address
        assert stat.S_IMODE((run / "token").stat().st_mode) == 0o600
        identity, endpoint = Identity(str(ready.info["identity"])), str(ready.info["endpoint"])
        operator.roster(Roster(1, (Peer("desk", "desk-0", identity, endpoint, ready.pid or 0, State.ACTIVE),)))
        async with page(address, token=token, agent="ann", ready=True) as ann:
            await ann.told("state", state="ready")
            status = await operator.ask(identity, GetStatus())
            assert (status.role, status.figures["agents_ready"]) == ("desk", 1.0)
        async with aiohttp.ClientSession() as session, session.get(f"{address}healthz") as reply:
            assert reply.status == 200
        staying = page(address, token=token, agent="ben")
        await staying.__aenter__()
    gone = await until(reports, Standing.GONE)
    assert gone.exit is not None
    assert gone.exit.code == 0, gone.exit.stderr
    await staying.__aexit__(None, None, None)
    await operator.close()


async def test_a_port_that_is_taken_is_named(nats_server: NatsServer, tmp_path: Path) -> None:
    reports: asyncio.Queue[ProcessReport] = asyncio.Queue()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = program(nats_server, tmp_path, taken.getsockname()[1])
        desk = OsProcess.child("desk-0", one, on_change=reports.put_nowait)
        with pytest.raises(StartFailed):
            async with running(Supervisor([desk], intensity=0)):
                pass
        gone = await until(reports, Standing.GONE)
    assert gone.exit is not None
    assert any("desk.port: 127.0.0.1" in line for line in gone.exit.stderr), gone.exit.stderr
