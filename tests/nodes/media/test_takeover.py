"""A media process is killed with SIGKILL under a call; its spare goes on. Real processes, sockets and messages."""

import asyncio
import os
import signal
import socket
import time
import wave
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from nodes.links.roster import Roster
from nodes.mesh.mesh import Mesh
from protocols.rtp.packet import Packet
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity, PromptHash
from supervisors import Ref, Supervisor, running
from supervisors.process import Pair, ProcessReport, Standing
from tests.conftest import child_of_ours

EDGE, CHANNEL = Identity("n1.edge-0:1"), ChannelId("c")
N_FRAMES = 1000


class Node:
    """The launcher's and the edge's part: says who lives, and sends each new incarnation the wanted channel."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.pair: Ref[Pair] | None = None
        self.wanted: wire.Channel | None = None
        self.alive: dict[int, ProcessReport] = {}
        self.changed = asyncio.Event()
        self.told = 0

    def report(self, report: ProcessReport) -> None:
        self.alive.pop(report.pid, None)
        if report.standing in (Standing.SPARE, Standing.ACTIVE):
            self.alive[report.pid] = report
        rows = [_row("media", one.info, pid, one.standing.value) for pid, one in self.alive.items()]
        info = {"identity": EDGE, "endpoint": self.mesh.endpoint}
        roster = {"revision": 1, "processes": [_row("edge", info, 1, "active"), *rows]}
        if self.pair:
            self.pair.tell(Pair.inform, {"roster": roster})
        self.mesh.roster(Roster.of(roster))
        for peer in Roster.of(roster).active("media"):
            if self.wanted:
                self.mesh.tell(peer.identity, wire.SetChannel(self.wanted))
        self.changed.set()

    async def until(self, n_processes: int) -> ProcessReport:
        """Wait for an active process and its spare; return the active one."""
        while len(self.alive) < n_processes:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)
        return next(one for one in self.alive.values() if one.standing is Standing.ACTIVE)


def _row(role: str, info: object, pid: int, state: str) -> dict[str, object]:
    assert isinstance(info, dict)
    return {"role": role, "name": f"{role}-0", "pid": pid, "state": state, **info}


@pytest.fixture
async def node(tmp_path: Path, sockets: dict[int, socket.socket]) -> AsyncIterator[Node]:
    (tmp_path / "node.toml").write_text('[paths]\nstate = "."\n')
    (tmp_path / "run").mkdir()
    program = child_of_ours("media-0", tmp_path / "node.toml", {f"rtp-{port}": sock for port, sock in sockets.items()})
    mesh = await Mesh.start(EDGE, f"ipc://{tmp_path}/run/edge")
    made = Node(mesh)
    async with running(Supervisor([Pair.child("media-0", program, on_change=made.report)])) as system:
        made.pair = system.ref("media-0", Pair)
        yield made
    await mesh.close()


async def test_a_killed_media_process_is_a_blink_of_sound_and_no_number_is_used_twice(
    node: Node, far, tmp_path: Path
) -> None:
    (tmp_path / "prompts").mkdir()
    prompt = b"".join(bytes((k % 256,)) * 160 for k in range(N_FRAMES))
    (tmp_path / "prompts" / "p.ulaw").write_bytes(prompt)
    arrivals: list[tuple[float, Packet]] = []
    heard = asyncio.Event()

    def listen() -> None:
        arrivals.append((time.monotonic(), Packet.parse(far.sock.recv(2048))))
        heard.set()

    async def until(n: int) -> None:
        while len(arrivals) < n:
            heard.clear()
            await asyncio.wait_for(heard.wait(), 60)

    asyncio.get_running_loop().add_reader(far.sock, listen)
    active = await node.until(2)
    now = time.monotonic()
    node.wanted = wire.Channel(
        CHANNEL, EDGE, far.near[1], ssrc=9, seq0=0, ts0=0, born_s=now, remote_host=far.host, remote_port=far.port,
        playing=wire.Playing(1, (PromptHash("p"),), now), recording="call",
    )  # fmt: skip
    await node.mesh.ask(Identity(str(active.info["identity"])), wire.SetChannel(node.wanted))
    await until(80)
    killed = len(arrivals)
    os.kill(active.pid, signal.SIGKILL)
    await until(killed + 60)
    asyncio.get_running_loop().remove_reader(far.sock)

    gap = max(later[0] - earlier[0] for earlier, later in pairwise(arrivals[40:]))
    numbers = [packet.sequence for _, packet in arrivals]
    assert gap < 0.5  # the promise is 0.1, on a machine that does nothing else
    assert len(set(numbers[:killed])) == killed
    assert sum(later <= earlier for earlier, later in pairwise(numbers)) <= 1
    shift = {(packet.payload[0] - packet.sequence) % 256 for _, packet in arrivals}
    assert len(shift) <= 2
    assert max(shift) - min(shift) <= 1

    successor = await node.until(2)
    assert successor.pid != active.pid
    closed = await node.mesh.ask(Identity(str(successor.info["identity"])), wire.CloseChannel(CHANNEL))
    with wave.open(closed.recording) as file:
        assert file.getnframes() >= 160 * 120
