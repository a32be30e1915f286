"""Three NATS servers of one's own, with TLS and nkeys: the product says whom they let in, and to what."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from nats.errors import NoRespondersError

from nodes.bus import nats_config
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.commands import cluster as command
from nodes.config import Config, parse
from nodes.links import cluster_keys, nats_keys, neighbours
from nodes.ports import take
from protocols.wire.ids import NodeId
from protocols.wire.roles import PROCESSES, Role, recorder_reads
from protocols.wire.subjects import Bucket, Stream
from tests.conftest import BOTH, last_lines, must_run
from tests.nodes.bus.test_roles import connected, has_its_rights_and_no_others
from tests.nodes.bus.test_servers import again
from tests.nodes.commands.conftest import make

TLS = Path(__file__).parent / "tls"
SERVERS = ("a", "b", "c")
PATIENCE_S = 100.0


class Site:
    """Three servers, the machine that makes keys, and whoever has been given some."""

    def __init__(self, program: Path, path: Path) -> None:
        self.path = path
        self._program, self._running = program, dict[str, subprocess.Popen[bytes]]()
        self._ports = {name: (take(), take()) for name in SERVERS}
        self.url = ",".join(f"tls://127.0.0.1:{port}" for port, _ in self._ports.values())
        (path / "ringmaster.toml").write_text("[node]\nid = 'maker'\n[paths]\nstate = 'maker'\n")

    def run(self, *words: str) -> str:
        """Run `ringmaster cluster` where keys are made; return what it prints."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--config")
        command.describe(parser)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            args = parser.parse_args(["--config", str(self.path / "ringmaster.toml"), *words])
            assert command.run(args) == 0
        return out.getvalue()

    def node(self, name: str) -> Config:
        """Have keys made for a node, and return the configuration of the machine that has joined with them."""
        file = self.path / f"{name}.keys"
        self.run("keys", name, "--nkeys", "--nats", self.url, "--to", str(file))
        cluster_keys.unpack(cluster_keys.read(file), self.path / name)
        return self.config(name)

    def config(self, name: str, nats: str = "") -> Config:
        """Return the configuration of a node; `nats`: how else than with its keys it logs in."""
        text = (
            f"[node]\nid = '{name}'\nroles = ['desk']\n[cluster]\nbind = '127.0.0.2'\n[paths]\nstate = '{name}'\n"
            f"[nats]\nca = '{TLS}/ca.pem'\n{nats}"
        )
        return parse(text, "test", self.path)

    def person(self, name: str, role: str) -> Config:
        """Have a login made for somebody."""
        self.run("person", name, role, "--to", str(self.path / f"{name}.nk"))
        return self.of_person(name)

    def of_person(self, name: str) -> Config:
        return self.config(name, f"url = '{self.url}'\nnkey = '{name}.nk'\n")

    def reload(self) -> None:
        """Bring the servers what they are to know now."""
        (self.path / "users.json").write_text(self.run("nats-config"))
        for each in self._running.values():
            each.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Return when all three answer."""
        self.reload()
        routes = json.dumps([f"nats://127.0.0.1:{port}" for _, port in self._ports.values()])
        tls = f"cert_file: '{TLS}/server.pem', key_file: '{TLS}/server.key'"
        for name, (port, route) in self._ports.items():
            file = self.path / f"{name}.conf"
            file.write_text(
                f"server_name: {name}\nlisten: '127.0.0.1:{port}'\n"
                f"jetstream {{ store_dir: '{self.path}/{name}.store' }}\n"
                f"tls {{ {tls} }}\ncluster {{ name: site, listen: '127.0.0.1:{route}', no_advertise: true, "
                f"routes: {routes}, tls {{ {tls}, ca_file: '{TLS}/ca.pem' }} }}\ninclude 'users.json'\n"
            )
            with (self.path / f"{name}.said").open("w") as said:
                self._running[name] = subprocess.Popen([self._program, "-c", file], stderr=said)
        give_up_s = time.monotonic() + PATIENCE_S
        for name, (port, _) in self._ports.items():
            while not greets(port):
                must_run(self._running[name], self.path / f"{name}.said")
                assert time.monotonic() < give_up_s, last_lines(self.path / f"{name}.said")

    def stop(self) -> None:
        for each in self._running.values():
            each.kill()
            each.wait()


def greets(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        return one.recv(4) == b"INFO"
    time.sleep(0.02)
    return False


@pytest.fixture(scope="module", params=BOTH)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers that all tests share: with a node n1, and mia, bob and eve, who look, operate, and look after servers."""
    made = Site(request.param, tmp_path_factory.mktemp("site"))
    made.run("init", "prod")
    made.node("n1")
    for name, role in (("mia", Role.VIEWER), ("bob", Role.OPERATOR), ("eve", nats_keys.SYSTEM)):
        made.person(name, str(role))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def up(config: Config, role: Role, url: str = "") -> AsyncIterator[Bus]:
    me = login(config, role)
    me = replace(me, url=url or me.url)
    bus = await Bus.connect(me, name=f"{config.node.id}.{role}-0:1", node_id=config.node.id)
    try:
        yield bus
    finally:
        await bus.close()


async def until_up(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await bus.up()


async def until_refused(bus: Bus) -> None:
    """Return when the servers have said that they do not know this login."""
    async with asyncio.timeout(PATIENCE_S):
        while bus.connected or "uthorization" not in bus.trouble:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("role", PROCESSES)
async def test_each_role_of_a_node_has_the_same_rights_as_at_an_embedded_server(site: Site, role: Role) -> None:
    await has_its_rights_and_no_others(site.config("n1"), role)


@pytest.mark.parametrize(("name", "role"), [("mia", Role.VIEWER), ("bob", Role.OPERATOR)])
async def test_a_person_has_their_roles_rights_and_an_inbox_of_their_own(site: Site, name: str, role: Role) -> None:
    await has_its_rights_and_no_others(site.of_person(name), role)


async def test_who_looks_after_servers_sees_them_all_and_an_operator_none(site: Site) -> None:
    ping = "$SYS.REQ.SERVER.PING"
    async with connected(site.of_person("eve"), Role.VIEWER) as (eve, refused):
        answers = await eve.subscribe(inbox := eve.new_inbox())
        seen: set[str] = set()
        async with asyncio.timeout(PATIENCE_S):
            while seen != set(SERVERS):  # until they have found each other
                await eve.publish(ping, reply=inbox)
                with suppress(TimeoutError):
                    while True:
                        seen.add(json.loads((await answers.next_msg(0.2)).data)["server"]["name"])
        assert refused == []
    async with connected(site.of_person("bob"), Role.OPERATOR) as (bob, _):
        with pytest.raises(NoRespondersError):
            await bob.request(ping, timeout=PATIENCE_S)


async def test_who_has_no_seed_that_the_servers_know_is_nobody(site: Site) -> None:
    (site.path / "stranger.nk").write_text(nats_keys.seed())
    site.run("keys", "n9", "--nats", site.url, "--to", str(site.path / "n9.keys"))
    cluster_keys.unpack(cluster_keys.read(site.path / "n9.keys"), site.path / "n9")
    with_a_password, with_nothing = site.config("n9"), site.config("nobody", f"url = '{site.url}'\n")
    assert "password" in login(with_a_password, Role.EDGE).options

    async def is_refused(config: Config) -> None:
        async with up(config, Role.EDGE) as bus:
            await until_refused(bus)

    await asyncio.gather(*map(is_refused, (site.of_person("stranger"), with_a_password, with_nothing)))


async def test_a_node_is_added_and_removed_by_a_reload_and_who_stays_notices_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "HEAR_S", 0.1)
    async with up(site.config("n1"), Role.EDGE) as stays, up(site.node("n2"), Role.EDGE) as second:
        await until_refused(second)
        site.reload()
        await until_up(second)
        keys = cluster_keys.read(site.path / "n2.keys")
        assert await neighbours.neighbours(site.config("n2"), keys) == []  # asked as it joins
        site.run("remove", "n2")
        site.reload()
        await until_refused(second)
        assert (stays.connected, stays._connection.generation) == (True, 1)


@pytest.mark.parametrize("site", BOTH[1:], indirect=True)
async def test_what_a_nodes_processes_do_first_works_with_its_own_keys_at_each_server(site: Site) -> None:
    config, urls = site.config("n1"), site.url.split(",")
    async with (
        up(config, Role.CENTRAL, urls[0]) as central, up(config, Role.EDGE, urls[1]) as edge,
        up(config, Role.DESK, urls[2]) as desk, up(config, Role.RECORDER, urls[0]) as recorder,
    ):  # fmt: skip
        await again(lambda: central.ensure_layout(3))
        assert edge.record("rm.ev.c1", "e1", {"kind": "answered"})
        async with asyncio.timeout(PATIENCE_S):
            await edge.settled()
        reading = recorder.consume(Stream.EVENTS, recorder_reads(0, "n1"))
        while not (read := await again(reading.fetch)):
            pass
        assert [one.body for one in read] == [{"kind": "answered"}]
        await again(lambda: desk.kv(Bucket.NODES).put("n1", {"state": "alive"}))


@pytest.mark.parametrize("site", BOTH[:1], indirect=True)
async def test_a_whole_node_is_up_there_and_leads_and_people_see_it(site: Site, tmp_path: Path) -> None:
    place = make(tmp_path / "place")
    shutil.copytree(site.path / "n1", place.path / "state")
    file = place.configure(
        "[sip]\nport = 0\n[models]\nvoice = 'missing'\n[cluster]\nbind = '127.0.0.1'\nport = 0\nports = [0, 0]\n"
        "[node]\nid = 'n1'\nroles = ['recorder', 'speech', 'media', 'edge', 'central', 'desk']\n"
        f"[nats]\nca = '{TLS}/ca.pem'\nreplicas = 3\n"
    )
    node = place.start("up", "--config", str(file))
    try:
        place.until(lambda: all(word in place.err for word in ('"node.up"', '"central.leads"')), node)
        async with connected(site.of_person("mia"), Role.VIEWER) as (mia, _):
            answer = await mia.request("rm.node.n1.cmd.status", timeout=PATIENCE_S)
            assert "state" in json.loads(answer.data)
        assert "violation" not in place.err.lower()
    finally:
        node.send_signal(signal.SIGINT)
        assert node.wait(PATIENCE_S) == 0


def test_users_are_a_line_each_and_the_same_ones_are_always_the_same_text() -> None:
    key = nats_keys.public(nats_keys.seed())
    users = {NodeId("n2"): {"edge": key}, NodeId("n1"): {"desk": key, "edge": key}, NodeId("eve"): {"system": key}}
    text = nats_config.text(users)
    assert text == nats_config.text(dict(reversed(users.items())))
    assert [line.count(key) for line in text.splitlines() if key in line] == [1, 1, 1, 1]
    accounts = json.loads(text)["accounts"]
    assert [len(accounts[name]["users"]) for name in ("RM", "SYS")] == [3, 1]
