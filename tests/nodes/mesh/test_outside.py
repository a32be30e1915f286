"""Processes of different nodes: they reach each other over TCP with the cluster's key, and nobody by the wrong door."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import pytest
import zmq

from nodes.config import ConfigError, parse
from nodes.links.errors import NoPortFree, PeerGone
from nodes.links.roster import NOBODY, Peer, Roster, State, make_identity
from nodes.mesh import outside
from nodes.mesh.curve import ClusterKey
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols.wire import codec
from protocols.wire.envelope import VERSION, Act, Envelope, Frame
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Deafen, GetStatus, Status

KEY = ClusterKey.make()
A, B, B2 = make_identity("n1", "edge-0", "1"), make_identity("n2", "edge-0", "1"), make_identity("n2", "desk-0", "1")
HERE = "127.0.0.1"
Start = Callable[..., Awaitable[Mesh]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start the mesh of a process of a cluster; it is closed after the test."""
    started: list[Mesh] = []

    async def start(identity: Identity, bind: str = HERE, ports: tuple[int, int] = (0, 0)) -> Mesh:
        mesh = await Mesh.start(identity, f"ipc://{tmp_path}/{identity}" if bind else "", Outside(KEY, bind, ports))
        mesh.serve(GetStatus, lambda message, sender: Status(sender, 1, {}))
        started.append(mesh)
        return mesh

    yield start
    for mesh in started:
        await mesh.close()


@pytest.fixture
async def pair(start: Start) -> tuple[Mesh, Mesh]:
    """Two processes of two nodes that know each other."""
    a, b = await start(A), await start(B)
    a.members(peers(b))
    b.members(peers(a))
    return a, b


def peers(*meshes: Mesh) -> list[Peer]:
    return [Peer("any", one.identity, one.identity, one.address, 1, State.ACTIVE) for one in meshes]


def roster_of(*meshes: Mesh) -> Roster:
    return Roster(1, tuple(Peer("any", one.identity, one.identity, one.endpoint, 1, State.ACTIVE) for one in meshes))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


# ---- each reaches the other -----------------------------------------------------------------------------------------


async def test_processes_of_two_nodes_ask_each_other(pair):
    a, b = pair
    assert await a.ask(B, GetStatus()) == Status(A, 1, {})
    assert await b.ask(A, GetStatus()) == Status(B, 1, {})


async def test_what_one_says_to_another_on_another_node_arrives_in_its_order(pair):
    a, b = pair
    heard: list[str] = []
    b.serve(Deafen, lambda message, sender: heard.append(message.channel_id))
    for n in range(500):
        assert a.tell(B, Deafen(ChannelId(str(n))))
    await a.ask(B, GetStatus())
    assert heard == [str(n) for n in range(500)]


async def test_a_process_has_both_doors_and_its_own_node_comes_by_the_other_one(start):
    a, b, b2 = await start(A), await start(B), await start(B2)
    b.members(peers(a))
    b.roster(roster_of(b, b2))
    b2.roster(roster_of(b, b2))
    a.members(peers(b, b2))
    assert await b2.ask(B, GetStatus()) == Status(B2, 1, {})
    assert await a.ask(B, GetStatus()) == Status(A, 1, {})
    assert b.endpoint.startswith("ipc://")
    assert b.address.startswith(f"tcp://{HERE}:")


async def test_each_process_takes_the_first_free_port_of_the_range(start):
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        taken.listen()
        first = taken.getsockname()[1]
        a = await start(A, ports=(first, first + 20))
        b = await start(B, ports=(first, first + 20))
    assert first < int(a.address.rpartition(":")[2]) < int(b.address.rpartition(":")[2]) <= first + 20


async def test_a_range_without_a_free_port_is_named(start):
    a = await start(A)
    port = int(a.address.rpartition(":")[2])
    with pytest.raises(NoPortFree, match=f"cluster.ports: none of TCP {HERE}:{port} to {port} is free"):
        await start(B, ports=(port, port))


async def test_a_command_on_another_node_is_answered_as_a_guest(start):
    b, guest = await start(B), await start(make_identity("n1", "command", "1"), bind="")
    guest.members(peers(b))
    assert (await guest.ask(B, GetStatus())).role == "n1.command:1"


# ---- who is there ---------------------------------------------------------------------------------------------------


async def test_asks_fail_at_once_when_a_node_leaves_the_cluster_and_who_comes_back_is_heard(pair):
    a, b = pair
    asked = asyncio.Event()

    async def never(message: GetStatus, sender: Identity) -> Status:
        asked.set()
        return await asyncio.Future()

    b.serve(GetStatus, never)
    asking = asyncio.ensure_future(a.ask(B, GetStatus(), 60))
    await asked.wait()
    a.members([])
    with pytest.raises(PeerGone):
        await asking
    assert not a.tell(B, Deafen(ChannelId("c")))
    assert not a.knows(B)
    b.serve(GetStatus, lambda message, sender: Status("back", 1, {}))
    a.members(peers(b))
    assert (await a.ask(B, GetStatus())).role == "back"


async def test_the_launchers_word_and_the_clusters_do_not_touch_each_other(start):
    a, b, b2 = await start(A), await start(B), await start(B2)
    b.roster(roster_of(b, b2))
    b.members(peers(a))
    b.roster(NOBODY)
    assert b.knows(A)
    assert not b.knows(B2)
    b.roster(roster_of(b, b2))
    b.members([])
    assert b.knows(B2)
    assert not b.knows(A)


async def test_a_node_never_reaches_its_own_processes_over_the_network(start):
    b, b2 = await start(B), await start(B2)
    b.members(peers(b2))
    assert not b.knows(B2)


async def test_times_of_another_machine_become_ours(start):
    b = await start(B)
    assert b.clock_of(A) is None
    tell(b, A, KEY, sent_s=asyncio.get_running_loop().time() - 1000)
    await until(lambda: b.clock_of(A) is not None)
    assert b.clock_of(A) == pytest.approx(1000, abs=0.5)
    assert b.clock_of(B2) == 0.0


# ---- strangers ------------------------------------------------------------------------------------------------------


def tell(to: Mesh, sender: Identity, key: ClusterKey | None, sent_s: float = 0.0, endpoint: str = "") -> None:
    """Tell somebody something in a name, by one of their doors."""
    envelope = Envelope(Act.TELL, 0, "Deafen", 0.0, "", codec.encode(Deafen(ChannelId("x"))))
    context = zmq.Context.instance()
    with context.socket(zmq.DEALER) as raw:
        raw.setsockopt(zmq.LINGER, 5000)
        raw.setsockopt(zmq.ROUTING_ID, sender.encode())
        if key:
            key.secure(raw, is_server=False)
        raw.connect(endpoint or to.address)
        raw.send(codec.pack(Frame(VERSION, sender, to.identity, sent_s, (envelope,))))


async def test_nobody_is_heard_at_the_other_door(start):
    b = await start(B)
    heard: list[Identity] = []
    b.serve(Deafen, lambda message, sender: heard.append(sender))
    tell(b, B2, KEY)
    await until(lambda: b.counts["misdirected"] == 1)
    tell(b, A, None, endpoint=b.endpoint)
    await until(lambda: b.counts["misdirected"] == 2)
    assert not b.tell(A, Deafen(ChannelId("are you there")))
    tell(b, B2, None, endpoint=b.endpoint)
    tell(b, A, KEY)
    await until(lambda: len(heard) == 2)
    assert sorted(heard) == sorted((A, B2))


async def test_garbage_at_the_port_is_heard_by_nobody_and_the_others_are_answered(pair):
    a, b = pair
    host, port = b.address.removeprefix("tcp://").split(":")
    dice = Random(7)
    for n_bytes in (1, 9, 64, 5000):
        for data in (dice.randbytes(n_bytes), b"GET / HTTP/1.1\r\n\r\n" * n_bytes, b"\xff" + bytes(8) + b"\x7f\x03"):
            with socket.create_connection((host, int(port))) as stranger:
                try:
                    stranger.sendall(data)
                except OSError:
                    pass  # it has hung up already
        assert await a.ask(B, GetStatus()) == Status(A, 1, {})
    assert b.counts == {}


async def test_who_connects_and_says_nothing_is_let_go(start, monkeypatch):
    monkeypatch.setattr(outside, "HANDSHAKE_S", 0.5)
    a, b = await start(A), await start(B)
    a.members(peers(b))
    await a.ask(B, GetStatus())
    host, port = b.address.removeprefix("tcp://").split(":")
    before = len(os.listdir("/proc/self/fd"))
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    await until(lambda: len(os.listdir("/proc/self/fd")) >= before + 2 * len(silent))
    assert await a.ask(B, GetStatus()) == Status(A, 1, {})
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before + len(silent))
    for one in silent:
        one.close()


# ---- what the configuration says ------------------------------------------------------------------------------------


def test_a_node_that_is_alone_has_no_outside_and_a_joined_one_needs_the_key(tmp_path: Path):
    assert Outside.of(parse("", "x.toml", tmp_path)) is None
    config = parse(f"[cluster]\nbind = '{HERE}'\nports = [7401, 7409]", "x.toml", tmp_path)
    with pytest.raises(ConfigError, match=r"cluster.bind: .*curve.key: No such file .*ringmaster cluster init"):
        Outside.of(config)
    config.paths.cluster.mkdir(parents=True)
    (config.paths.cluster / "curve.key").write_bytes(KEY.secret)
    assert Outside.of(config) == Outside(KEY, HERE, (7401, 7409))
    assert Outside.of(config, is_guest=True) == Outside(KEY, "", (7401, 7409))
