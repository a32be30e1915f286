"""A node with two active edges, as its launcher runs it: each has calls, spares, a port and a file of its own.

Media and speech are stood in for, and so are the telephones: this is about who has which calls.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path

from nodes import ports
from nodes.call.record import UP
from nodes.child import STAND_INS
from nodes.commands.bench_cluster import SCRIPT, STANDING_IN
from nodes.commands.call import new_order
from nodes.commands.client import Client, NotUp, connected
from nodes.config import ENVIRONMENT, Config, load
from nodes.links.anywhere import spread
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.errors import LinkError
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Peer, Roster
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from nodes.rehearsal.scripted.phones import Phones
from protocols.errors import RemoteProtocolError
from protocols.sip.message import Request
from protocols.wire.ids import AttemptId, CallId
from protocols.wire.messages import GetStatus, PlaceCall
from tests.conftest import must_run

EDGES = ("edge-0", "edge-1")
EACH = 3
WITHIN_S = 60.0
PACE = Pace(prompt_s=300.0)
"""Nobody comes to the end of the first sentence."""
SLOTS = {"name": "Alex", "company": "Acme"}


class Heard(Phones):
    """Telephones that remember from which ports each call was spoken to, and with what."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.ports: defaultdict[str, set[int]] = defaultdict(set)
        self.contacts: defaultdict[str, set[str]] = defaultdict(set)
        self.methods: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def _answer(self, request: Request, source: tuple[str, int]) -> None:
        name = request.to.uri.user
        self.ports[name].add(source[1])
        self.contacts[name].update(request.values("contact"))
        self.methods[name][request.method] += 1
        super()._answer(request, source)


class Node:
    """The launcher, telephones, and who is to have which call."""

    def __init__(self, file: Path, phones: Heard, first_port: int) -> None:
        self.file, self.phones, self.first_port = file, phones, first_port
        self.calls: dict[str, list[str]] = {edge: [] for edge in EDGES}
        self.launcher: subprocess.Popen[bytes] | None = None

    @contextmanager
    def launched(self) -> Iterator[subprocess.Popen[bytes]]:
        """Have the node up; it ends with the block, and all its processes with it."""
        environment = {
            **os.environ,
            ENVIRONMENT: str(self.file),
            STAND_INS: " ".join(f"{role}={module}" for role, module in STANDING_IN.items()),
            VARIABLE: str(PACE),
        }
        with (
            (self.file.parent / "node.log").open("ab") as log,
            subprocess.Popen([sys.executable, "-m", "nodes.launcher"], env=environment, stderr=log) as launcher,
        ):
            try:
                yield launcher
            finally:
                launcher.kill()

    async def place(self, client: Client, target: str) -> None:
        """Place `EACH` calls with each edge, as whoever asks the node does."""
        pattern, number = new_order("sip:nobody@127.0.0.1", SCRIPT.read_text(), {}), count()
        while any(len(calls) < EACH for calls in self.calls.values()):
            name = f"c{next(number)}"
            edge = spread(client.all("edge"), name)[0]
            if len(self.calls[edge.name]) < EACH:
                self.calls[edge.name].append(name)
                order = PlaceCall(AttemptId(name), CallId(name), f"sip:{name}@{target}", pattern.script, SLOTS)
                await client.mesh.ask(edge.identity, order)


def active(client: Client) -> dict[str, Peer]:
    """Return the active edges by name."""
    with suppress(NotUp):
        return {peer.name: peer for peer in client.roster().active("edge")}
    return {}


async def n_up(client: Client, edge: str) -> int:
    """Return how many calls an edge has that are up; -1 where it does not answer."""
    try:
        figures = (await client.mesh.ask(active(client)[edge].identity, GetStatus(), 1.0)).figures
    except (LinkError, KeyError):
        return -1
    return int(sum(figures.get(f"calls_{phase.value}", 0.0) for phase in UP))


def runs(pid: int) -> bool:
    """Say whether a process has not ended."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def is_cut_off(client: Client, launcher: subprocess.Popen[bytes]) -> None:
    """Kill the launcher, and return when all that it had started is gone, too."""
    pids = [peer.pid for peer in client.roster().processes]
    launcher.kill()
    launcher.wait()
    await until(lambda: not any(map(runs, pids)))


async def is_up(config: Config, launcher: subprocess.Popen[bytes]) -> None:
    """Return when this launcher says who lives, and not the one before it."""

    def says() -> bool:
        must_run(launcher, config.paths.state.with_name("node.log"))
        with suppress(OSError, RemoteProtocolError):
            told = Roster.read(config.paths.run / "roster.json").launcher
            return told is not None and told.pid == launcher.pid
        return False

    await until(says)


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not what():
            await asyncio.sleep(0.05)


async def have_calls(client: Client) -> None:
    """Return when each edge has its calls."""
    async with asyncio.timeout(WITHIN_S):
        while [await n_up(client, edge) for edge in EDGES] != [EACH, EACH]:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def node(tmp_path: Path) -> AsyncIterator[tuple[Node, str]]:
    """A node that is not up yet, and where its telephones are."""
    first = ports.take(6)
    file = tmp_path / "ringmaster.toml"
    file.write_text(
        "[node]\nroles = ['nats', 'speech', 'media', 'edge']\n[paths]\nstate = 's'\n[nats]\nport = 0\n"
        f"[sip]\nport = {first}\n[rtp]\nports = [{first + 4}, {first + 5}]\n[media]\nchannels = 1\n"
        "[speech]\nprocesses = 1\n[edge]\nprocesses = 2\ncapacity = 100\n"
    )
    state = load(file).paths.state
    state.mkdir()
    KeptList(state / FILE, fingerprint(contact_key(state))).add([], is_whole=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        phones = Heard(sock)
        asyncio.get_running_loop().add_reader(sock, phones.readable)
        yield Node(file, phones, first), f"127.0.0.1:{sock.getsockname()[1]}"
        asyncio.get_running_loop().remove_reader(sock)


async def test_each_edge_has_its_own_calls_when_one_dies_when_all_do_and_when_there_is_one_less(tmp_path: Path) -> None:
    async with node(tmp_path) as (made, target):
        config, phones = load(made.file), made.phones
        with made.launched() as launcher:
            async with connected(config, WITHIN_S) as client:
                await client.ready({"edge": 2, "media": 1, "speech": 1}, WITHIN_S)
                await made.place(client, target)
                await have_calls(client)
                for n, edge in enumerate(EDGES):
                    port = made.first_port + 2 * n
                    assert {*map(frozenset, (phones.ports[name] for name in made.calls[edge]))} == {frozenset({port})}
                    contacts = {contact for name in made.calls[edge] for contact in phones.contacts[name]}
                    assert all(f":{port}" in contact for contact in contacts), contacts

                before = active(client)
                untouched = {name: dict(phones.methods[name]) for name in made.calls["edge-0"]}
                await until(lambda: any(peer.name == "edge-1" for peer in client.roster().spare("edge")))
                os.kill(before["edge-1"].pid, signal.SIGKILL)
                await until(lambda: active(client).get("edge-1", before["edge-1"]).pid != before["edge-1"].pid)
                await have_calls(client)
                assert active(client)["edge-0"] == before["edge-0"]
                assert {name: dict(phones.methods[name]) for name in made.calls["edge-0"]} == untouched
                await is_cut_off(client, launcher)

        with made.launched() as launcher:
            await is_up(config, launcher)
            async with connected(config, WITHIN_S) as client:
                await client.ready({"edge": 2}, WITHIN_S)
                await have_calls(client)
                names = [name for edge in EDGES for name in made.calls[edge]]
                await until(lambda: all(phones.methods[name]["INVITE"] > 1 for name in names))
                assert [phones.ports[name] for name in made.calls["edge-1"]] == [{made.first_port + 2}] * EACH
                assert phones.report()["up"] == len(EDGES) * EACH
                await is_cut_off(client, launcher)

        # With one edge less the port of its calls is nobody's: far ends would hear nothing, and no report would say so.
        made.file.write_text(made.file.read_text().replace("[edge]\nprocesses = 2", "[edge]\nprocesses = 1"))
        assert load(made.file).paths.checkpoint_of("edge-1").exists()
        with made.launched() as launcher:
            await is_up(config, launcher)
            async with connected(config, WITHIN_S) as client:
                await client.ready({"edge": 1}, WITHIN_S)
                await until(lambda: phones.report()["up"] == EACH)
                await until(lambda: not config.paths.checkpoint_of("edge-1").exists())
                assert await n_up(client, "edge-0") == EACH
            assert {name for name in made.calls["edge-1"] if phones.methods[name]["BYE"]} == {*made.calls["edge-1"]}
