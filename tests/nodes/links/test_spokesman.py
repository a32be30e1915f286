"""Nodes of one cluster, each with a real mesh, a real door and its login at a real nats-server: who knows of whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import Config, ConfigError, parse
from nodes.doorway import Doorway
from nodes.links import cluster_keys, cluster_state, spokesman
from nodes.links.errors import PeerGone, Refused
from nodes.links.members import ASKING, NOT_TOLD, Members
from nodes.links.others import MAX_NODES
from nodes.links.roster import Launcher, Peer, Roster, State, make_identity
from nodes.links.spokesman import Spokesman
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols import membership
from protocols.wire import codec
from protocols.wire.cluster import ClusterTold, Death, EdgeWord, GetCluster, Member, NodeProcess, NodeState
from protocols.wire.ids import Identity, NodeId
from protocols.wire.messages import GetStatus, Status
from protocols.wire.roles import Role
from tests.conftest import NatsServer, running

HERE = "127.0.0.1"
ROLES = {"edge": Role.EDGE, "central": Role.CENTRAL, "media": None}
SLOW_S = 4.0
"""What a test's clock is wrong by."""


class Process:
    """One process of a node: its mesh, what it knows, and its spokesman if it may be one."""

    def __init__(self, node: Node, role: str, incarnation: int) -> None:
        self.node, (self.role, _, number) = node, role.partition("-")
        self.name = f"{self.role}-{number or 0}"
        self.identity = make_identity(node.id, self.name, f"{node.epoch}-{incarnation}")
        self.word = EdgeWord()
        self.tasks = Tasks()
        self.changes: list[Member] = []
        self.bus: Bus | None = None
        self.speaker: Spokesman | None = None

    async def start(self) -> None:
        config = self.node.config
        await self.tasks.open()
        endpoint = f"ipc://{self.node.state}/{self.identity.partition('.')[2]}"
        self.mesh = await Mesh.start(self.identity, endpoint, Outside.of(config))
        self.mesh.serve(GetStatus, lambda message, sender: Status(self.identity, 1, {}))
        self.members = Members(self.mesh, config)
        self.members.on_change(self.changes.append)
        if login_as := ROLES[self.role]:
            self.bus = await Bus.connect(login(config, login_as), name=self.identity, node_id=self.node.id)
            self.speaker = Spokesman(self.mesh, self.bus, config, self.members, self.tasks, lambda: self.word)
            self.tasks.spawn(self.speaker.run())

    def follow(self, roster: Roster) -> None:
        self.mesh.roster(roster)
        self.members.follow(roster)
        if self.speaker:
            self.speaker.follow(roster)

    @property
    def peer(self) -> Peer:
        mesh = self.mesh
        return Peer(self.role, self.name, self.identity, mesh.endpoint, 1, State.ACTIVE, mesh.address)

    async def kill(self) -> None:
        """End without a word."""
        await self.tasks.close()
        if self.bus:
            await self.bus.close()
        await self.mesh.close()


class Node:
    """A node: its door, and its processes."""

    def __init__(self, root: Path, name: str, epoch: int, zone: str = "") -> None:
        self.id, self.epoch, self.state = (
            NodeId(name),
            epoch,
            root / f"{name}-{epoch % 10_000}",
        )  # short: sockets lie below it
        self.root, self.zone = root, zone
        self.processes: dict[str, Process] = {}
        self.revision = self.n_started = 0

    async def start(self, cluster: Cluster, *roles: str) -> Node:
        if not cluster_state.read(self.state):
            cluster_state.write(self.state, cluster.known, cluster.curve, [])
        text = (
            f"[node]\nid = '{self.id}'\nzone = '{self.zone}'\nroles = ['edge', 'media', 'speech', 'central']\n"
            f"[paths]\nstate = '{self.state}'\n[cluster]\nbind = '{HERE}'\nport = 0\nports = [0, 0]\n"
            f"[nats]\nurl = '{cluster.nats.plan.url}'\n"
        )
        self.config: Config = parse(text, "test", self.state)
        self.door = Doorway(HERE, 0)
        self.door.open()
        for role in roles or ("edge", "media"):
            await self.add(role)
        self.announce()
        return self

    async def add(self, role: str) -> None:
        self.n_started += 1
        process = self.processes[role] = Process(self, role, self.n_started)
        await process.start()

    def announce(self) -> None:
        """Say who lives, as the launcher does."""
        self.revision += 1
        launcher = Launcher(1, 0.0, 60.0, (), self.epoch, self.door.address)
        roster = Roster(self.revision, tuple(one.peer for one in self.processes.values()), launcher)
        for process in self.processes.values():
            process.follow(roster)

    async def lose(self, role: str) -> None:
        await self.processes.pop(role).kill()
        self.announce()

    async def fall_silent(self) -> None:
        """Say nothing any more, and live: the door stays."""
        while self.processes:
            await self.processes.popitem()[1].kill()

    def die(self) -> None:
        """Be killed, seen from outside: the kernel resets what is connected, and refuses the next."""
        self.door.close()

    def state_of(self, other: Node, role: str = "edge") -> NodeState | None:
        return self.processes[role].members.state(other.id)

    async def is_in(self) -> None:
        members = self.processes["edge"].members
        await until(lambda: members.told is not NOT_TOLD and not members.bar)

    async def sees(self, other: Node, state: NodeState = NodeState.ALIVE, role: str = "edge") -> None:
        await until(lambda: self.state_of(other, role) is state)


class Cluster:
    """A nats-server that lets in four nodes, and the keys that they have."""

    def __init__(self, root: Path, nats: NatsServer) -> None:
        self.root, self.nats, self.nodes = root, nats, list[Node]()
        known = cluster_state.read(nats.config.paths.state)
        assert known
        self.known, self.curve = known, cluster_state.curve_key(nats.config.paths.state).read_bytes()

    async def node(self, name: str, *roles: str, epoch: int = 0, zone: str = "") -> Node:
        node = Node(self.root, name, epoch or time.time_ns(), zone)
        self.nodes.append(node)
        return await node.start(self, *roles)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    state = tmp_path / "nats"
    cluster_keys.make(state, "prod", NodeId("n1"))
    cluster_state.add(state, [NodeId(f"n{n}") for n in range(1, 5)])
    async with running(NatsServer(server.find(), state)) as nats:
        made = Cluster(tmp_path, nats)
        yield made
        for node in made.nodes:
            await node.fall_silent()
            node.die()


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second in the place of five."""
    judged = ("SILENT_S", "LOOK_S", "LATE_S", "FRESH_S", "WITNESS_S", "LATELY_S", "ON_ITS_WAY_S")
    said = ("BEAT_S", "WORD_S", "HEAR_S")
    for module, name in (*((membership, name) for name in judged), *((spokesman, name) for name in said)):
        monkeypatch.setattr(module, name, getattr(module, name) / 5)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


# ---- who is there ---------------------------------------------------------------------------------------------------


async def test_a_node_with_several_edges_speaks_for_all_of_them_and_not_for_one_that_is_gone(cluster):
    one, two = await cluster.node("n1", "edge", "edge-1"), await cluster.node("n2")
    one.processes["edge"].word = EdgeWord(calls=3, load=0.2, without_heir=1)
    one.processes["edge-1"].word = EdgeWord(is_draining=True, calls=4, load=0.6, without_heir=2)
    await two.sees(one)

    def told() -> tuple[bool, int, float, int | None]:
        word = two.processes["edge"].members.node(one.id).word
        return word.is_draining, word.calls, word.load, word.without_heir

    await until(lambda: told() == (True, 7, 0.4, 3))
    await one.lose("edge-1")
    await until(lambda: told() == (False, 3, 0.2, 1))


async def test_nodes_see_each_other_and_every_process_of_each_is_told(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2")
    for node, other in ((one, two), (two, one)):
        for role in ("edge", "media"):
            await node.sees(other, role=role)
    media, edge = one.processes["media"], two.processes["edge"]
    assert await media.mesh.ask(edge.identity, GetStatus()) == Status(edge.identity, 1, {})
    assert [peer.identity for peer in media.members.of_role("edge")] == [
        one.processes["edge"].identity,
        edge.identity,
    ]


async def test_who_is_asked_by_role_is_ours_then_our_zones_then_the_rest(cluster):
    nodes = [await cluster.node(f"n{n}", zone=zone) for n, zone in ((1, "west"), (2, "east"), (3, "west"))]
    for other in nodes[1:]:
        await nodes[0].sees(other)
    found = nodes[0].processes["edge"].members.of_role("edge")
    assert [peer.identity.partition(".")[0] for peer in found] == ["n1", "n3", "n2"]


async def test_a_process_that_comes_later_is_told_of_the_cluster_and_the_cluster_of_it(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2", "edge")
    await one.sees(two)
    await two.add("media")
    two.announce()
    await two.sees(one, role="media")
    await until(lambda: one.processes["edge"].members.of_role("media")[1:])
    gone = two.processes["media"].identity
    await two.lose("media")
    await until(lambda: not one.processes["edge"].members.of_role("media")[1:])
    with pytest.raises(PeerGone):
        await one.processes["media"].mesh.ask(gone, GetStatus())


async def test_who_takes_over_as_spokesman_goes_on_and_nobody_leaves_the_cluster(cluster):
    one, two = await cluster.node("n1", "edge", "central"), await cluster.node("n2")
    await one.sees(two, role="central")
    await two.sees(one)
    changes = two.processes["edge"].changes
    changes.clear()
    await one.lose("edge")
    await until(lambda: any(not any(p.role == "edge" for p in m.word.processes) for m in changes))
    assert {member.state for member in changes} == {NodeState.ALIVE}
    assert one.state_of(two, "central") is NodeState.ALIVE
    seen = await two.processes["edge"].mesh.ask(one.processes["central"].identity, GetCluster())
    assert seen.us.is_in
    changes.clear()
    await one.add("edge")
    one.announce()
    await until(lambda: two.processes["edge"].members.of_role("edge")[1:])
    with pytest.raises(Refused, match="not_spokesman"):
        await two.processes["edge"].mesh.ask(one.processes["central"].identity, GetCluster())
    await one.sees(two)
    assert {member.state for member in changes} == {NodeState.ALIVE}
    assert one.state_of(two, "central") is NodeState.ALIVE


# ---- who is dead ----------------------------------------------------------------------------------------------------


async def test_a_launchers_death_is_known_at_once_to_every_process_and_what_was_asked_there_fails(cluster, monkeypatch):
    monkeypatch.setattr(membership, "SILENT_S", 3600)
    one, two = await cluster.node("n1"), await cluster.node("n2")
    await one.sees(two, role="media")
    edge = two.processes["edge"]
    edge.mesh.serve(GetStatus, lambda message, sender: asyncio.Future[Status]())
    asking = asyncio.ensure_future(one.processes["media"].mesh.ask(edge.identity, GetStatus(), 60))
    await until(lambda: two.door.n_held)
    two.die()
    await two.fall_silent()
    with pytest.raises(PeerGone):
        await asking
    await one.sees(two, NodeState.DEAD)
    told = one.processes["edge"].members.told
    assert told.dead == (Death(two.id, two.epoch),)
    assert told.nodes[0].is_proven


async def test_a_node_that_falls_silent_is_dead_when_somebody_else_does_not_hear_it_either(cluster):
    one, two, three = [await cluster.node(f"n{n}") for n in (1, 2, 3)]
    for other in (two, three):
        await one.sees(other)
    await two.fall_silent()
    await one.sees(two, NodeState.DEAD)
    assert not one.processes["edge"].members.node(two.id).is_proven
    assert one.state_of(three) is NodeState.ALIVE
    two.die()
    two.epoch += 1
    await two.start(cluster)
    await one.sees(two)
    assert one.processes["edge"].members.node(two.id).word.epoch == two.epoch


async def test_when_everybody_is_silent_and_nats_is_away_nobody_is_dead(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2")
    await one.sees(two)
    cluster.nats.kill()
    await two.fall_silent()
    await one.sees(two, NodeState.SILENT)
    await until(lambda: one.processes["media"].members.of_role("edge") == [one.processes["edge"].peer])
    await asyncio.sleep(3 * membership.SILENT_S)
    assert one.state_of(two) is NodeState.SILENT
    await cluster.nats.start()
    await one.sees(two, NodeState.DEAD)


async def test_without_nats_those_who_know_each_other_go_on(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2", "edge", "media", "central")
    await one.sees(two)
    await two.sees(one)
    cluster.nats.kill()
    await two.lose("edge")
    await until(lambda: one.processes["edge"].members.of_role("edge")[1:] == [])
    await asyncio.sleep(2 * membership.SILENT_S)
    assert one.state_of(two) is NodeState.ALIVE
    assert two.state_of(one, "central") is NodeState.ALIVE


async def test_what_a_node_says_of_processes_that_are_not_its_own_or_cannot_be_there_is_nobodys(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2")
    await one.sees(two)
    members = one.processes["edge"].members
    known = members.node(two.id)
    processes = (
        NodeProcess("desk", "desk-0", Identity("n3.desk-0:1"), "tcp://127.0.0.1:7401", 1, True),
        NodeProcess("desk", "desk-1", Identity("n2.desk-1:1"), "tcp://127.0.0.1:*", 1, True),
        NodeProcess("desk", "desk-2", Identity("n2.desk-2:1"), "ipc:///tmp/x", 1, True),
        NodeProcess("desk", "desk-3", Identity("n2.desk-3:1"), "tcp://127.0.0.1:7401", 1, True),
    )
    members.take(ClusterTold(9, (replace(known, word=replace(known.word, processes=processes)),)))
    mesh = one.processes["edge"].mesh
    assert [process.name for process in processes if mesh.knows(process.identity)] == ["desk-3"]


async def test_nobody_speaks_for_another_node(cluster):
    one, two, three = [await cluster.node(f"n{n}") for n in (1, 2, 3)]
    for other in (two, three):
        await one.sees(other)
    word = one.processes["edge"].members.node(two.id).word
    speaker = three.processes["edge"]
    assert speaker.mesh.tell(one.processes["edge"].identity, replace(word, zone="moon", revision=word.revision + 1))
    await speaker.mesh.ask(one.processes["edge"].identity, GetStatus())
    assert one.processes["edge"].members.node(two.id).word.zone == ""


async def test_many_nodes_with_many_processes_are_told_in_one_message(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2")
    await one.sees(two)
    word = one.processes["edge"].members.node(two.id).word
    processes = tuple(
        NodeProcess(
            "media", f"media-{n}", Identity(f"machine-7.media-{n}:18ec9245"), "tcp://192.168.100.100:65535", n, True
        )
        for n in range(22)
    )
    members = tuple(
        Member(replace(word, node=NodeId(f"machine-{n}"), processes=processes), NodeState.ALIVE)
        for n in range(MAX_NODES)
    )
    assert codec.encode(ClusterTold(1, members))


# ---- who is not let in ----------------------------------------------------------------------------------------------


async def stays_alone(node: Node, reason: str) -> None:
    members = node.processes["edge"].members
    await until(lambda: reason in members.bar)
    assert members.nodes == ()


async def waiting(node: Node, newcomer: Node) -> str:
    """Why a node does not let another in."""
    edge = node.processes["edge"]
    seen = (
        await edge.mesh.ask(edge.identity, GetCluster()) if False else edge.speaker._show(GetCluster(), edge.identity)
    )
    return seen.waiting.get(newcomer.id, "")


async def test_a_machine_with_an_id_that_lives_stays_alone_and_the_other_stays_in(cluster):
    one, two = await cluster.node("n1"), await cluster.node("n2")
    await one.sees(two)
    clash = await cluster.node("n2", epoch=two.epoch + 1)
    await stays_alone(clash, "there is a living node n2 already")
    assert one.processes["edge"].members.node(two.id).word.epoch == two.epoch
    assert one.state_of(two) is NodeState.ALIVE


async def test_a_machine_of_another_cluster_stays_alone(cluster):
    one = await cluster.node("n1")
    await one.is_in()
    other = Node(cluster.root, "n2", time.time_ns())
    cluster.nodes.append(other)
    made = cluster_state.ClusterState("f" * 32, "other", (), cluster.known.nats)
    cluster_state.write(other.state, made, cluster.curve, [])
    await other.start(cluster)
    await stays_alone(other, "node n1 is of another cluster")
    assert "of another cluster" in await waiting(one, other)
    assert one.state_of(other) is None


async def test_a_machine_whose_clock_is_wrong_stays_alone_until_it_is_right(cluster, monkeypatch):
    one = await cluster.node("n1")
    await one.is_in()
    with monkeypatch.context() as patch:
        late = await cluster.node("n2")
        patch.setattr(late.processes["edge"].speaker, "_wall", lambda: time.time() - SLOW_S)
        await stays_alone(late, "the clock is 4.0 s behind that of n1")
        assert "the clock is 4.0 s behind" in await waiting(one, late)
    await late.sees(one)
    await one.sees(late)


async def test_without_nats_a_newcomer_is_alone_and_joins_when_it_is_there(cluster):
    cluster.nats.kill()
    one = await cluster.node("n1")
    await stays_alone(one, "NATS is away")
    await cluster.nats.start()
    two = await cluster.node("n2")
    await one.sees(two)
    await two.sees(one)


async def test_a_node_whose_word_nats_does_not_carry_is_told_what_its_users_lack(cluster, monkeypatch):
    monkeypatch.setattr(spokesman, "UNHEARD_S", 0.3)
    monkeypatch.setattr(spokesman, "node_word", lambda node: f"rm.node.{node}.nobody-may")
    one = await cluster.node("n1")
    assert one.processes["edge"].members.bar == ASKING
    await stays_alone(one, "may this node's users publish rm.node.<id>.word")


# ---- a node that is alone -------------------------------------------------------------------------------------------


async def test_a_node_that_is_alone_says_nothing_and_listens_to_nobody(tmp_path, nats_server):
    config = parse(f"[paths]\nstate = '{tmp_path}/n1'\n", "test", tmp_path)
    assert Outside.of(config) is None
    said: list[Any] = []
    async with await_closed(await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=NodeId("n1"))) as bus:
        await bus.subscribe("rm.node.>", lambda body, subject: said.append(subject))
        mesh = await Mesh.start(Identity("n1.edge-0:1"), f"ipc://{tmp_path}/edge")
        async with Tasks() as tasks:
            members = Members(mesh, config)
            speaker = Spokesman(mesh, bus, config, members, tasks)
            peer = Peer("edge", "edge-0", mesh.identity, mesh.endpoint, 1, State.ACTIVE)
            speaker.follow(Roster(1, (peer,), Launcher(1, 0.0, 60.0, ())))
            members.follow(Roster(1, (peer,)))
            await asyncio.wait_for(speaker.run(), 60)
            assert members.of_role("edge") == [peer]
            assert members.state(NodeId("n1")) is NodeState.ALIVE
            assert (members.nodes, members.bar, len(tasks)) == ((), "", 0)
        await mesh.close()
    assert said == []


@asynccontextmanager
async def await_closed(bus: Bus) -> AsyncIterator[Bus]:
    try:
        yield bus
    finally:
        await bus.close()


async def test_a_clustered_node_without_its_clusters_state_is_told_what_to_do(tmp_path, nats_server):
    config = parse(f"[paths]\nstate = '{tmp_path}/n1'\n[cluster]\nbind = '{HERE}'", "test", tmp_path)
    async with await_closed(await Bus.connect(nats_server.url, name="n1.edge-0:1", node_id=NodeId("n1"))) as bus:
        mesh = await Mesh.start(Identity("n1.edge-0:1"), f"ipc://{tmp_path}/edge")
        with pytest.raises(ConfigError, match=r"cluster.bind: is set, and this machine is of no cluster"):
            Spokesman(mesh, bus, config, Members(mesh, config), Tasks())
        await mesh.close()
