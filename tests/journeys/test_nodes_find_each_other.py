"""Two real nodes with one nats-server: each knows of the other, and at once when it is killed; a third stays alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from nodes.bus import server
from nodes.commands.client import Client, connected
from nodes.config import ENVIRONMENT, load
from nodes.links import cluster_keys, cluster_state
from nodes.links.errors import LinkError
from protocols.membership import SILENT_S
from protocols.wire.cluster import ClusterSeen, GetCluster, NodeSeen, NodeState
from protocols.wire.ids import NodeId
from tests.nodes.commands.conftest import COMMAND

pytestmark = pytest.mark.journey
READY_S = 60.0
SEEN_S = 3.0
N1, N2 = NodeId("n1"), NodeId("n2")
FIRST = "roles = ['nats', 'recorder', 'central']", "127.0.0.1"
SECOND = "roles = ['central', 'desk']", "127.0.0.2"


def configured(root: Path, node: NodeId, roles: str, host: str) -> Path:
    """Write the configuration of a node that does little, and so starts soon."""
    (root / node).mkdir(exist_ok=True)
    file = root / node / "ringmaster.toml"
    file.write_text(
        f"[node]\nid = '{node}'\n{roles}\n[paths]\nstate = '.'\n[desk]\nport = 0\n[nats]\nport = 0\n"
        f"[cluster]\nbind = '{host}'\nport = 0\nports = [0, 0]\n"
    )
    return file


@contextmanager
def launched(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node; it ends with the block, and all its processes with it."""
    with (file.parent / "node.log").open("wb") as log:
        environment = {**os.environ, ENVIRONMENT: str(file)}
        with subprocess.Popen([sys.executable, "-m", "nodes.launcher"], env=environment, stderr=log) as launcher:
            try:
                yield launcher
            finally:
                launcher.send_signal(signal.SIGCONT)
                launcher.kill()


@asynccontextmanager
async def looking(file: Path) -> AsyncIterator[Client]:
    async with connected(load(file), READY_S) as client:
        await client.ready({"central": 1}, READY_S)
        yield client


async def seen_by(client: Client, speaker: str) -> ClusterSeen | None:
    """The cluster as a node's spokesman sees it; None while that does not answer."""
    try:
        return await client.mesh.ask(client.one(speaker).identity, GetCluster(), 1.0)
    except LinkError:
        return None


async def sees(client: Client, speaker: str, other: NodeId, how: Callable[[NodeSeen], bool], within_s: float) -> None:
    """Wait until a node sees another one as wanted."""
    async with asyncio.timeout(within_s):
        while True:
            seen = await seen_by(client, speaker)
            if seen and any(one.member.word.node == other and how(one) for one in seen.nodes):
                return
            await asyncio.sleep(0.005)


def is_alive(one: NodeSeen) -> bool:
    return one.member.state is NodeState.ALIVE


@pytest_asyncio.fixture(loop_scope="session")
async def two(tmp_path: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], Client, Client]]:
    """Two nodes of one cluster that see each other: the second's launcher, and a guest of each."""
    first, second = configured(tmp_path, N1, *FIRST), configured(tmp_path, N2, *SECOND)
    cluster_keys.make(tmp_path / N1, "prod", N1)
    cluster_state.add(tmp_path / N1, [N2])
    with launched(first):
        async with looking(first) as one:
            keys = cluster_keys.keys_for(tmp_path / N1, N2, (server.url(load(first)),))
            cluster_keys.unpack(keys, tmp_path / N2)
            with launched(second) as launcher:
                async with looking(second) as other:
                    await sees(one, "central", N2, is_alive, READY_S)
                    await sees(other, "central", N1, is_alive, READY_S)
                    yield launcher, one, other


async def test_two_nodes_see_each_other_and_a_launcher_that_is_paused_is_not_dead_and_one_that_is_killed_is_at_once(
    two,
):
    """Not after three seconds of silence: by proof."""
    launcher, one, other = two
    launcher.send_signal(signal.SIGSTOP)
    await asyncio.sleep(SILENT_S + 0.5)  # nothing happens, and that is what is looked for
    await sees(one, "central", N2, is_alive, 1.0)
    assert (await seen_by(other, "central")).us.is_in
    launcher.send_signal(signal.SIGCONT)
    launcher.kill()
    await sees(one, "central", N2, lambda it: it.member.is_proven, SILENT_S - 0.5)
    assert [death.node for death in (await seen_by(one, "central")).us.dead] == [N2]


async def test_a_node_is_upgraded_at_the_word_of_another_one(two, tmp_path):
    launcher, one, _ = two
    words = ("node", "--config", str(tmp_path / N1 / "ringmaster.toml"), "upgrade", N2, "--within", "60")
    said = await asyncio.create_subprocess_exec(COMMAND, *words, stdout=asyncio.subprocess.PIPE)
    assert said.stdout
    assert b"restart it now" in await said.stdout.readline()
    launcher.terminate()
    await asyncio.to_thread(launcher.wait)
    with launched(tmp_path / N2 / "ringmaster.toml"):
        out, _ = await said.communicate()
        assert (said.returncode, out.decode().splitlines()[-1]) == (0, "n2 takes calls")
        await sees(one, "central", N2, is_alive, READY_S)


async def test_what_all_nodes_have_logged_is_one_list_and_who_does_not_answer_is_named(two, tmp_path):
    launcher, one, _ = two
    words = ("logs", "--config", str(tmp_path / N1 / "ringmaster.toml"), "--grep", "NODE.UP", "--json")

    async def asked() -> tuple[int | None, list[str], str]:
        pipe = asyncio.subprocess.PIPE
        command = await asyncio.create_subprocess_exec(COMMAND, *words, stdout=pipe, stderr=pipe)
        out, err = await command.communicate()
        return command.returncode, [json.loads(line)["node_id"] for line in out.splitlines()], err.decode()

    assert await asked() == (0, [N1, N2], "")
    launcher.kill()
    await sees(one, "central", N2, lambda it: not is_alive(it), READY_S)
    status, nodes, said = await asked()
    assert (status, nodes) == (1, [N1])
    assert said.startswith("n2 does not answer, and may have more: it is ")


async def test_a_node_that_is_alone_binds_nothing_for_other_machines(node):
    """Only its desk's port, on this machine."""
    roster = node.stage.client.roster()
    assert roster.launcher
    assert roster.launcher.door == ""
    assert {peer.address for peer in roster.processes} == {""}
    pids = [roster.launcher.pid, *(peer.pid for peer in roster.processes if peer.role != "desk")]
    assert [pid for pid in pids if listens(pid)] == []


def listens(pid: int) -> list[str]:
    """The TCP ports at which a process listens, from /proc."""
    ours = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in ours]
