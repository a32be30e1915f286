"""Several embedded nats-servers as one: what is stored outlives any of them, and nobody strange becomes one of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.connection import GREETING, away_for_errors
from nodes.bus.login import Login, login
from nodes.config import Config, ConfigError, parse
from nodes.links import cluster_keys, cluster_state
from nodes.links.errors import BusAway
from nodes.ports import take
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from protocols.wire.subjects import OBJECT_STREAM, Bucket, Stream
from tests.conftest import NatsServer, running

TLS = Path(__file__).parent / "tls"
NODES = [NodeId("n1"), NodeId("n2"), NodeId("n3")]
PATIENCE_S = 100.0
T = TypeVar("T")


def free_ports(n: int) -> list[int]:
    return [take() for _ in range(n)]


def cluster(where: Path, nodes: list[NodeId]) -> None:
    """Make a cluster on the first node's machine, and let the others join."""
    cluster_keys.make(where / nodes[0], "prod", nodes[0])
    cluster_state.add(where / nodes[0], nodes)
    for node in nodes[1:]:
        cluster_keys.unpack(cluster_keys.keys_for(where / nodes[0], node, ()), where / node)


def one_of(where: Path, program: Path, node: NodeId, ports: list[int]) -> NatsServer:
    routes = [f"127.0.0.1:{port}" for port in ports]
    mine = ports[NODES.index(node)]
    return NatsServer(program, where / node, f"routes = {routes}\nroute_port = {mine}\n[node]\nid = '{node}'\n")


@asynccontextmanager
async def up(config: Config, role: Role) -> AsyncIterator[Bus]:
    bus = await Bus.connect(login(config, role), name=f"{config.node.id}.{role}-0:1", node_id=config.node.id)
    try:
        yield bus
    finally:
        await bus.close()


async def n_bytes(bus: Bus, name: str) -> int:
    return sum([len(piece) async for piece in bus.objects().read(name)])


async def leader_of(bus: Bus, stream: str) -> str | None:
    with away_for_errors():
        info = await bus._connection.jetstream.stream_info(stream)
    return info.cluster.leader if info.cluster else None


async def n_read(bus: Bus, stream: Stream) -> int:
    return len([one async for one in bus.replay(stream)])


async def n_watched(bus: Bus, bucket: Bucket) -> int:
    """Return how many keys are told before it is said that these are all."""
    found = set()
    async with aclosing(bus.kv(bucket).watch()) as entries:
        async for entry in entries:
            if entry is None:
                break
            found.add(entry.key)
    return len(found)


async def again(what: Callable[[], Awaitable[T]]) -> T:
    """Do it as soon as it can be done: when the servers have found each other, and have elected who leads."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await what()
            except BusAway:
                await asyncio.sleep(0.1)


async def committed(bus: Bus, event_id: str) -> None:
    await again(lambda: bus.commit("rm.campaign.spring", event_id, {"n": event_id}, timeout_s=1.0))


async def replayed(bus: Bus) -> list[object]:
    return [one.body async for one in bus.replay(Stream.CAMPAIGN)]


async def copies(bus: Bus) -> int | None:
    """How many servers have the journal."""
    info = await bus._connection.jetstream.stream_info(Stream.CAMPAIGN)
    return info.config.num_replicas


async def test_three_servers_are_one_and_what_they_keep_outlives_any_of_them(tmp_path: Path) -> None:
    cluster(tmp_path, NODES)
    ports = free_ports(3)
    servers = [one_of(tmp_path, server.find(), node, ports) for node in NODES]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(running(each)) for each in servers))
        first, second, third = [await stack.enter_async_context(up(each.config, Role.CENTRAL)) for each in servers]
        await again(lambda: first.ensure_layout(1))
        await again(lambda: first.ensure_layout(3))
        assert await again(lambda: second.ensure_layout(1)) == [], (
            "a node without a server knows not how many there are"
        )
        assert await copies(second) == 3
        await committed(first, "before")
        await again(lambda: second.kv(Bucket.LEASES).put("mine", {"holder": "n2"}))
        entry = await again(lambda: third.kv(Bucket.LEASES).get("mine"))
        assert entry is not None
        assert entry.value == {"holder": "n2"}
        servers[0].kill()
        await committed(second, "after")
        assert await again(lambda: replayed(third)) == [{"n": "before"}, {"n": "after"}]


@asynccontextmanager
async def three(tmp_path: Path) -> AsyncIterator[tuple[list[NatsServer], Bus]]:
    """Run three servers with all streams on each; a bus of central's is at the first."""
    cluster(tmp_path, NODES)
    ports, program = free_ports(3), server.find()
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running(one_of(tmp_path, program, node, ports))) for node in NODES
        ]  # fmt: skip
        bus = await stack.enter_async_context(up(servers[0].config, Role.CENTRAL))
        await again(lambda: bus.ensure_layout(replicas=3))
        yield servers, bus


async def test_what_is_stored_is_read_whole_from_a_server_that_is_behind(tmp_path: Path) -> None:
    """Whoever leads next must know all that was written down: what it did not read, it would dial again.

    And whoever must not be called is known to an edge before it says that it knows the list.
    """
    async with three(tmp_path) as (servers, bus):
        for k in range(4):
            behind = await follower(servers, bus, Stream.CAMPAIGN)
            behind.freeze()
            for _ in range(100):
                await again(lambda: bus.objects().publish("rm.campaign.c", b"x" * 2000))
            extent = await again(lambda: bus.extent(Stream.CAMPAIGN))
            behind.thaw()
            for _ in range(3):
                assert await again(lambda: n_read(bus, Stream.CAMPAIGN)) == extent.last >= 100 * (k + 1)
            behind = await follower(servers, bus, f"KV_{Bucket.DNC}")
            behind.freeze()
            for n in range(100):
                await again(partial(bus.kv(Bucket.DNC).put, f"k{k}-{n}", {"why": "x" * 200}))
            behind.thaw()
            for _ in range(3):
                assert await n_watched(bus, Bucket.DNC) == 100 * (k + 1)


async def follower(servers: list[NatsServer], bus: Bus, stream: str) -> NatsServer:
    """Return a server, not the first, that has the stream and does not lead it."""
    leader = await again(partial(leader_of, bus, stream))
    return next(one for one, node in zip(servers[1:], NODES[1:], strict=True) if node != leader)


async def test_a_server_that_stands_still_keeps_nobody_from_reading_at_the_others(tmp_path: Path) -> None:
    async with three(tmp_path) as (servers, bus):
        leader = await again(lambda: leader_of(bus, OBJECT_STREAM))
        still = next(one for one, node in zip(servers[1:], NODES[1:], strict=True) if node != leader)
        still.freeze()
        for name in ("a", "b"):
            writing = bus.objects().begin(name)
            await writing.write(b"x" * 1000)
            await writing.finish()
        read = await again(lambda: n_bytes(bus, "a"))
        still.thaw()
        assert read == 1000


async def test_of_several_servers_one_is_ended_for_what_it_leads_and_not_because_the_others_are_away(
    tmp_path: Path,
) -> None:
    """One that was cut off from the others took nothing, and each process of its node ended it, again and again."""
    cluster(tmp_path, NODES)
    ports = free_ports(3)
    servers = [one_of(tmp_path, server.find(), node, ports) for node in NODES]
    stuck = {Stream.EVENTS.value: 11.0}
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(running(each)) for each in servers))
        central, *_ = [await stack.enter_async_context(up(each.config, Role.CENTRAL)) for each in servers]
        await again(lambda: central.ensure_layout(3))
        edges = [await stack.enter_async_context(up(each.config, Role.EDGE)) for each in servers]
        async with asyncio.timeout(PATIENCE_S):
            while sum([dict(await edge._curable(stuck)) == stuck for edge in edges]) != 1:
                await asyncio.sleep(0.1)
        for each in servers[1:]:
            each.kill()
        async with asyncio.timeout(PATIENCE_S):
            while await edges[0]._curable(stuck):
                await asyncio.sleep(0.1)
        assert await edges[0]._curable({GREETING: 11.0}), "it greets nobody: that is its own fault"


async def test_who_does_not_know_the_clusters_secret_becomes_no_server_of_it_and_no_user(tmp_path: Path) -> None:
    cluster(tmp_path / "ours", NODES[:2])
    cluster(tmp_path / "theirs", NODES[1:2])
    ports = free_ports(2)
    program = server.find()
    ours, theirs = (
        one_of(tmp_path / "ours", program, NODES[0], ports),
        one_of(tmp_path / "theirs", program, NODES[1], ports),
    )
    for each in (ours, theirs):
        each.configure(lambda text: text + f'log_file: "{each.config.paths.state}/log"\n')  # noqa: B023  called at once
    async with running(theirs), running(ours):
        assert await is_refused(replace(login(theirs.config, Role.EDGE), url=ours.plan.url))
        assert not await is_refused(login(ours.config, Role.EDGE))
        logs = [each.config.paths.state / "log" for each in (ours, theirs)]
        async with asyncio.timeout(PATIENCE_S):
            while not any("Authorization Violation" in log.read_text() and "route" in log.read_text() for log in logs):
                await asyncio.sleep(0.05)


async def is_refused(where: Login) -> bool:
    """Whether a server knows no such user; asked with the bare protocol, because nats-py would try for ever."""
    host, port = where.url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    proof = {"user": where.options["user"], "pass": where.options["password"], "verbose": False}
    writer.write(f"CONNECT {json.dumps(proof)}\r\nPING\r\n".encode())
    await reader.readline()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert answer in (b"PONG\r\n", b"-ERR 'Authorization Violation'\r\n")
    return answer != b"PONG\r\n"


async def test_a_node_that_is_added_is_let_in_by_the_server_that_runs_and_nobody_is_thrown_out(tmp_path: Path) -> None:
    cluster(tmp_path, NODES[:1])
    made = NatsServer(server.find(), tmp_path / "n1")
    async with running(made), up(made.config, Role.CENTRAL) as central:
        cluster_state.add(tmp_path / "n1", [NodeId("n2")])
        cluster_keys.unpack(cluster_keys.keys_for(tmp_path / "n1", NodeId("n2"), (made.plan.url,)), tmp_path / "n2")
        second = parse(f"[node]\nid = 'n2'\nroles = ['desk']\n[cluster]\nbind = '127.0.0.2'\n"
                       f"[paths]\nstate = '{tmp_path}/n2'", "test", tmp_path)  # fmt: skip
        assert await is_refused(login(second, Role.DESK))
        assert server.let_in(made.config)
        async with asyncio.timeout(PATIENCE_S):
            while await is_refused(login(second, Role.DESK)):  # the server reads it when the signal has come
                await asyncio.sleep(0.02)
        assert central.connected
        await central.ensure_layout()


async def test_a_node_without_a_server_is_served_by_any_of_its_addresses(tmp_path: Path) -> None:
    cluster(tmp_path, NODES[:2])
    made = NatsServer(server.find(), tmp_path / "n1")
    nobody = f"nats://127.0.0.1:{take()}"
    async with running(made):
        for url in (f"'{nobody},{made.plan.url}'", f"['{nobody}', '{made.plan.url}']"):
            second = parse(f"[node]\nid = 'n2'\n[nats]\nurl = {url}\n[paths]\nstate = '{tmp_path}/n2'", "t", tmp_path)
            async with up(second, Role.EDGE) as bus:
                assert bus.connected


async def test_a_server_beyond_this_machine_speaks_tls_also_to_its_own_processes_and_to_the_others(
    tmp_path: Path,
) -> None:
    cluster(tmp_path, NODES[:2])
    ports = free_ports(2)
    tls = f"cert = '{TLS}/server.pem'\nkey = '{TLS}/server.key'\nca = '{TLS}/ca.pem'\n"
    heard = asyncio.Event()
    async with AsyncExitStack() as stack:
        buses = []
        for node, port, role in zip(NODES, ports, (Role.EDGE, Role.COMMAND), strict=False):
            routes = [f"127.0.0.1:{each}" for each in ports]
            more = f"{tls}routes = {routes}\nroute_port = {port}\n[node]\nid = '{node}'\n"
            made = await stack.enter_async_context(running(NatsServer(server.find(), tmp_path / node, more)))
            assert made.plan.url.startswith("tls://127.0.0.1:")
            buses.append(await stack.enter_async_context(up(made.config, role)))
        await buses[1].subscribe("rm.ev.>", lambda *_: heard.set())
        async with asyncio.timeout(PATIENCE_S):
            while not heard.is_set():  # until the servers have told each other who listens
                buses[0].publish("rm.ev.c1", {"kind": "encrypted"})
                await asyncio.sleep(0.02)


def alone(where: Path, nats: str) -> Config:
    return parse(f"[nats]\nport = 0\n{nats}\n[paths]\nstate = '{where}'", "test", where)


def test_servers_that_are_one_need_the_clusters_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nats\.routes: .*ringmaster cluster init, or join"):
        server.embedded(alone(tmp_path, "routes = ['127.0.0.1:6222']"))


async def test_streams_of_a_server_that_was_alone_are_not_given_up_for_being_one_of_several(tmp_path: Path) -> None:
    cluster(tmp_path, NODES[:1])
    made = NatsServer(server.find(), tmp_path / "n1")
    async with running(made), up(made.config, Role.CENTRAL) as central:
        await central.ensure_layout()
    with pytest.raises(ConfigError, match=r"nats\.routes: .*would be lost"):
        server.embedded(alone(tmp_path / "n1", "routes = ['127.0.0.1:6222']"))


@pytest.mark.parametrize(
    ("nats", "is_refused"),
    [
        ("", True),
        ("bind = '127.0.0.3'\nport = 4222", False),  # it is the one that the keys name
        ("routes = ['127.0.0.1:6222']", False),
        ("url = 'nats://127.0.0.1:1'", False),
    ],
)
def test_a_machine_that_has_joined_starts_no_server_that_would_be_alone(
    tmp_path: Path, nats: str, is_refused: bool
) -> None:
    urls = ("nats://127.0.0.9:4222", "nats://127.0.0.3:4222")
    config = parse(f"[nats]\n{nats}\n[paths]\nstate = '{tmp_path}'", "test", tmp_path)
    if is_refused:
        with pytest.raises(ConfigError, match=r"node\.roles: has nats, and the server here would be alone"):
            server.check_company(config, urls)
    else:
        server.check_company(config, urls)


def test_a_machine_that_has_joined_says_where_the_others_reach_it(tmp_path: Path) -> None:
    cluster(tmp_path, NODES[:1])
    cluster_keys.unpack(cluster_keys.keys_for(tmp_path / "n1", NODES[0], ("nats://h:1",)), tmp_path / "n2")
    server.check_reach(alone(tmp_path / "n1", ""))  # the first of a cluster may still be alone
    server.check_reach(parse(f"[cluster]\nbind = '10.0.0.2'\n[paths]\nstate = '{tmp_path}/n2'", "t", tmp_path))
    with pytest.raises(ConfigError, match=r"cluster\.bind: is missing: this machine has joined cluster prod"):
        server.check_reach(alone(tmp_path / "n2", "url = 'nats://h:1'"))


def test_a_node_that_finds_its_nats_in_its_keys_may_say_whom_it_trusts(tmp_path: Path) -> None:
    cluster(tmp_path, NODES[:1])
    cluster_keys.unpack(cluster_keys.keys_for(tmp_path / "n1", NODES[0], ("tls://h:4222",)), tmp_path / "n2")
    text = f"[node]\nroles = ['desk']\n[cluster]\nbind = '10.0.0.2'\n[nats]\nca = '{TLS}/ca.pem'\n"
    where = login(parse(f"{text}[paths]\nstate = '{tmp_path}/n2'", "t", tmp_path), Role.DESK)
    assert (where.is_encrypted, where.options["tls"].check_hostname) == (True, True)


@pytest.mark.parametrize(
    ("nats", "said"),
    [
        ("bind = '0.0.0.0'", "nats: bind: 0.0.0.0 is reached from beyond this machine"),
        ("bind = '10.0.0.1'", "set cert and key, or insecure = true"),
        ("url = ['nats://a', 'tls://b']", "nats: url: all of them are nats://, or all are tls://"),
        ("url = ['nats://a', 3]", r"nats\.url\[1\]: is a whole number, not a string"),
        ("url = 'nats://a:x'", "url: 'nats://a:x' is not nats://HOST:PORT"),
        ("ca = 'ca.pem'", "ca: is for a server that url names, or for one here that has cert and key"),
    ],
)
def test_what_cannot_be_meant_is_told_by_its_key(tmp_path: Path, nats: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        alone(tmp_path, nats)


def test_a_password_follows_from_the_secret_alone_and_no_two_users_share_one(tmp_path: Path) -> None:
    cluster(tmp_path, NODES)
    states = [cluster_state.read(tmp_path / node) for node in NODES]
    passwords = [{state.password(node, role) for node in NODES for role in Role} for state in states if state]
    assert passwords[0] == passwords[1] == passwords[2]
    assert len(passwords[0] | {state.routes() for state in states if state}) == len(NODES) * len(Role) + 1
    text = json.dumps(json.loads((tmp_path / "n1/cluster/cluster.json").read_text()))
    assert not re.search(r"[0-9a-f]{64}", text)
