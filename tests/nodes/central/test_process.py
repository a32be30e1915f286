"""Central and recorder as the launcher runs them: ready, answering, and gone in order when told to stop."""

import asyncio
from pathlib import Path

import pytest

from nodes import config as configuration
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus
from supervisors import Supervisor, running
from supervisors.process import OsProcess, ProcessReport, Standing
from tests.conftest import NatsServer, child_of_ours


@pytest.mark.parametrize("role", ["central", "recorder"])
async def test_the_process_is_ready_answers_and_stops_when_it_is_told(
    role: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    file = tmp_path / "ringmaster.toml"
    file.write_text(f"[nats]\nurl = '{nats_server.url}'\n[paths]\nstate = 'state'\n")
    configuration.load(file).paths.run.mkdir(parents=True)
    reports: asyncio.Queue[ProcessReport] = asyncio.Queue()
    program = child_of_ours(f"{role}-0", file)
    operator = await Mesh.start(Identity("n1.command:1"))
    async with running(Supervisor([OsProcess.child(f"{role}-0", program, on_change=reports.put_nowait)])):
        ready = await _next(reports, Standing.ACTIVE)
        identity, endpoint = Identity(str(ready.info["identity"])), str(ready.info["endpoint"])
        operator.roster(Roster(1, (Peer(role, f"{role}-0", identity, endpoint, ready.pid or 0, State.ACTIVE),)))
        status = await operator.ask(identity, GetStatus())
        assert (status.role, status.pid) == (role, ready.pid)
    gone = await _next(reports, Standing.GONE)
    assert gone.exit is not None
    assert gone.exit.code == 0, gone.exit.stderr
    await operator.close()


async def _next(reports: asyncio.Queue[ProcessReport], standing: Standing) -> ProcessReport:
    async with asyncio.timeout(100):
        while (report := await reports.get()).standing is not standing:
            pass
        return report
