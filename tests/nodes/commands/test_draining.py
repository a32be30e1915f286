"""A node is drained by name from another machine, and upgraded: with real edges, and calls that have a far end."""

from __future__ import annotations

import asyncio
import math
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from nodes.bus import bus
from nodes.commands import draining, upgrade
from nodes.commands.client import Client
from nodes.commands.draining import NoSuchNode, NotMoved, find, may_take, nobody, takers
from nodes.commands.node import percent, seconds
from nodes.commands.upgrade import CannotBegin, Upgrade
from nodes.config import Config
from nodes.links.errors import NotAll, PeerGone
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import closing
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from protocols.wire.cluster import ClusterSeen, NodeProcess, NodeSeen, NodeState
from protocols.wire.desk import Drain
from protocols.wire.ids import CallId, Identity
from protocols.wire.messages import GetStatus, Status
from tests.nodes.edge.two_edges import HERE, KEY, FarEnd, Machine, machine, talking

C1 = CallId("c1")


@dataclass
class World:
    """Machines `a`, where the commands are given, and `b`; as a's spokesman sees them. It is the command's client."""

    config: Config
    mesh: Mesh
    root: Path
    far: FarEnd
    machines: dict[str, Machine]
    states: dict[str, NodeState] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    desks: dict[str, NodeProcess] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def roster(self) -> Roster:
        roster = self.machines["a"].services.roster
        self.mesh.roster(roster)
        return roster

    async def cluster(self) -> ClusterSeen:
        us, *others = (self.seen(name) for name in sorted(self.machines))
        return ClusterSeen(us.member.word, tuple(others))

    def seen(self, name: str) -> NodeSeen:
        one = self.machines[name]
        member, held = one.member(self.states.get(name, NodeState.ALIVE)), len(one.calls.stores)
        desks = (self.desks[name],) if name in self.desks else ()
        word = replace(
            member.word,
            processes=(*member.word.processes, *desks),
            is_draining=one.calls.is_draining,
            calls=held,
            version=self.versions.get(name, "1"),
        )
        return NodeSeen(replace(member, word=word), 0.1, 0.0)

    async def call(self, on: str) -> None:
        """Have a call up there."""
        here = self.machines[on]
        await here.calls.go_on(here.calls.keep(talking(self.far, here, channel=None)))
        store = here.calls.stores[C1]
        store.write(channel=replace(talking(self.far, here).channel, playing=None))  # type: ignore[type-var]
        self.far.heard()

    def know(self) -> None:
        """Have them hear of each other."""
        a, b = self.machines["a"], self.machines["b"]
        a.sees(self.seen("b").member)
        b.sees(self.seen("a").member)

    async def goes(self) -> None:
        """Return when b's call is at a."""
        a, b = self.machines["a"], self.machines["b"]
        await self.far.answer()
        await a.until(lambda: not b.calls.stores and not a.calls.stores[C1].record.is_waiting, 20)

    async def says(self, word: str) -> None:
        async with asyncio.timeout(60):
            while not any(word in line for line in self.said):
                await asyncio.sleep(0.01)

    def begin(self, **wanted: object) -> asyncio.Task[int]:
        """Give the command."""
        order = Upgrade("b", **wanted)  # type: ignore[arg-type]
        return asyncio.create_task(upgrade.upgrade(self.config, order, self.said.append))


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS
    for module in (draining, upgrade):
        monkeypatch.setattr(module, "LOOK_S", 0.02)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        a, b = [await enter(machine(tmp_path, name)) for name in ("a", "b")]
        mesh = await enter(closing(await Mesh.start(Identity("a.command-1:1"), outside=Outside(KEY))))
        far = FarEnd()
        stack.callback(far.sock.close)
        made = World(a.services.config, mesh, tmp_path, far, {"a": a, "b": b})

        @asynccontextmanager
        async def connected(config: Config) -> AsyncIterator[World]:
            yield made

        for module in (draining, upgrade):
            monkeypatch.setattr(module, "connected", connected)
        made.know()
        await b.until(lambda: b.calls.elsewhere.ownership.able)
        yield made


def client(world: World) -> Client:
    return cast(Client, world)


@asynccontextmanager
async def restarted(world: World, name: str = "b") -> AsyncIterator[None]:
    """Have another launcher of a node, with another edge."""
    async with machine(world.root, name, epoch=2) as again:
        world.machines[name] = again
        world.states.pop(name, None)
        yield


async def test_a_node_is_drained_and_takes_calls_again_at_another_machines_word(world: World) -> None:
    place, seen = await find(client(world), "b")
    assert takers(seen, place.node) == ["a"]
    await draining.drain(client(world), place, Drain(is_draining=True))
    assert world.machines["b"].calls.is_draining
    assert not world.machines["a"].calls.is_draining
    await draining.drain(client(world), place, Drain(is_draining=False))
    assert not world.machines["b"].calls.is_draining


async def test_all_edges_of_a_node_are_drained_and_one_that_cannot_be_is_named(world: World) -> None:
    place, _ = await find(client(world), "b")
    async with machine(world.root, "b", edge="edge-1") as second:
        there = Peer("edge", "edge-1", second.identity, second.services.mesh.address, 1, State.ACTIVE)
        world.mesh.members([*place.edges, there])
        gone = replace(there, name="edge-2", identity=Identity("b.edge-2:1"))
        both = replace(place, edges=(*place.edges, there))
        await draining.drain(client(world), both, Drain(is_draining=True))
        assert [world.machines["b"].calls.is_draining, second.calls.is_draining] == [True, True]
        assert (await draining.figures(client(world), both))["draining"] == 2.0
        with pytest.raises(NotAll, match=r"b\.edge-2:1"):
            await draining.drain(client(world), replace(both, edges=(gone, *both.edges)), Drain(is_draining=False))
        assert [world.machines["b"].calls.is_draining, second.calls.is_draining] == [False, False]


async def test_a_node_of_which_an_edge_is_between_two_lives_is_not_taken_for_empty(world: World) -> None:
    place, _ = await find(client(world), "b")
    assert (await draining.figures(client(world), place))["calls"] == 0
    lacks = replace(place, n_edges=2)
    with pytest.raises(PeerGone):
        await draining.figures(client(world), lacks)
    with pytest.raises(NoSuchNode, match="b cannot be asked: it is alive, and lacks an edge"):
        await draining.share(client(world), lacks, 0.3)


async def test_a_node_that_there_is_not_and_one_that_cannot_be_asked_are_said_to_be_so(world: World) -> None:
    with pytest.raises(NoSuchNode, match="no node c in the cluster: a, b"):
        await find(client(world), "c")
    world.states["b"] = NodeState.SILENT
    place, seen = await find(client(world), "b")
    with pytest.raises(NoSuchNode, match="b cannot be asked: it is silent"):
        await draining.drain(client(world), place, Drain(is_draining=True))
    assert nobody(seen, world.machines["a"].name) == "b is silent"


async def test_a_share_goes_from_a_node_that_is_named_and_a_drained_one_says_why_not(world: World) -> None:
    await world.call("b")
    place, _ = await find(client(world), "b")
    assert await draining.share(client(world), place, 0.3) == (1, 1, 0)
    await world.goes()
    assert await draining.until_moved(world.config, "b", 1, 0, 20.0) == 1
    await draining.drain(client(world), place, Drain(is_draining=True, moves=True))
    with pytest.raises(NotMoved, match="b moves no calls: it is being drained"):
        await draining.share(client(world), place, 0.3)


async def test_an_upgrade_moves_the_calls_waits_for_the_restart_and_takes_the_node_in_again(world: World) -> None:
    await world.call("b")
    running = world.begin(version="2")
    await world.goes()
    await world.says("b is empty: restart it now")
    world.states["b"] = NodeState.DEAD
    async with restarted(world):
        world.versions["b"] = "2"
        assert await running == 0
        assert world.said[-2:] == ["b is back: version 2, before 1", "b takes calls"]
        assert not world.machines["b"].calls.is_draining
        assert await world.begin(version="2") == 0, "asked again, there is nothing to be done"
        assert world.said[-2:] == ["b runs 2 already", "b takes calls"]


async def test_an_upgrade_that_was_interrupted_goes_on_where_it_was(world: World) -> None:
    await world.call("b")
    running = world.begin()
    await world.says("calls left: 1")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "ringmaster node undrain b" in world.said[-1]
    running = world.begin()
    await world.goes()
    await world.says("restart it now")
    running.cancel()
    world.states["b"] = NodeState.DEAD  # somebody has stopped it
    flag = world.root / "restarted"
    running = world.begin(command=f"touch {flag}")
    await world.says("b is gone, with nothing left to move")
    async with restarted(world):
        assert await running == 0
        assert flag.exists()


async def test_an_upgrade_waits_for_agents_who_talk_at_the_desk_of_the_node(world: World) -> None:
    """Their caller may be any node's: its robot would have them back in the middle of a sentence."""
    outside, seats = Outside(KEY, HERE, (0, 0)), {"agents_talking": 1.0}
    async with closing(await Mesh.start(Identity("b.desk-0:1"), f"ipc://{world.root}/desk", outside)) as desk:
        desk.serve(GetStatus, lambda _, sender: Status("desk", 1, dict(seats)))
        world.desks["b"] = NodeProcess("desk", "desk-0", desk.identity, desk.address, 1, True)
        running = world.begin()
        await world.says("b: calls left: 0, agents who talk at its desk: 1")
        seats.clear()
        await world.says("b is empty")
        running.cancel()


async def test_a_node_that_dies_while_its_calls_move_has_none_left(world: World) -> None:
    await world.call("b")
    running = world.begin()
    await world.says("calls left: 1")
    world.states["b"] = NodeState.DEAD
    await world.says("b is empty")
    running.cancel()


async def test_nothing_is_begun_where_nobody_takes_the_calls(world: World) -> None:
    await world.call("b")
    world.machines["a"].calls.is_draining = True
    with pytest.raises(CannotBegin, match="nobody takes the calls of b: a drains"):
        await world.begin()
    assert not world.machines["b"].calls.is_draining
    world.states["b"] = NodeState.SILENT
    with pytest.raises(CannotBegin, match="silent"):
        await world.begin()


async def test_whoever_waits_for_a_while_is_told_what_is_left_and_waits_for_nobody_who_cannot_come(
    world: World,
) -> None:
    """A unit that is stopped drains its node first: that is to end, and at once where nobody can take the calls."""
    await world.call("b")
    until_empty = partial(draining.until_empty, world.config, "b", say=world.said.append, wants_takers=True)
    assert await until_empty(within_s=0.1) == 1, "its calls have not been asked to move, and `a` would take them"
    world.states["a"] = NodeState.SILENT
    world.machines["a"].calls.is_draining = True
    async with asyncio.timeout(60):
        assert await until_empty(within_s=math.inf) == 1
        assert world.said[-1] == "b: calls left: 1; nobody takes them: a drains"
        world.machines["a"].calls.is_draining = False
        world.states["b"] = NodeState.DEAD
        assert await until_empty(within_s=math.inf) == 0


async def test_a_node_that_is_full_or_silent_may_take_calls_yet_and_one_that_is_gone_or_drained_may_not(
    world: World,
) -> None:
    a, b = world.seen("a").member.word, world.seen("b")
    for word, state, may in (
        (replace(b.member.word, load=1.0), NodeState.ALIVE, True),
        (b.member.word, NodeState.SILENT, True),
        (replace(b.member.word, processes=()), NodeState.ALIVE, True),
        (b.member.word, NodeState.DEAD, False),
        (replace(b.member.word, is_draining=True), NodeState.ALIVE, False),
        (replace(b.member.word, roles=("desk",)), NodeState.ALIVE, False),
    ):
        seen = ClusterSeen(a, (replace(b, member=replace(b.member, word=word, state=state)),))
        assert may_take(seen, a.node) is may
        assert may_take(seen, b.member.word.node) is True, "a would"
    assert may_take(None, a.node) is False


async def test_two_nodes_that_are_drained_at_once_are_told_of_each_other(world: World) -> None:
    await world.call("b")
    running = world.begin()
    await world.says("calls left: 1")
    world.machines["a"].calls.is_draining = True
    await world.says("nobody takes them: a drains")
    running.cancel()


async def test_a_restart_that_fails_or_does_not_come_leaves_the_node_drained_and_says_so(world: World) -> None:
    assert await world.begin(command="exit 3") == 1
    assert "'exit 3' has ended with 3" in world.said[-1]
    assert world.machines["b"].calls.is_draining
    assert await world.begin(within_s=0.1) == 1
    assert "has not been restarted within 0.1 s" in world.said[-1]


async def test_a_node_that_is_back_in_another_version_takes_calls_and_it_is_told(world: World) -> None:
    running = world.begin(version="2")
    await world.says("restart it now")
    async with restarted(world):
        assert await running == 1
        assert world.said[-1] == "b takes calls, in version 1 and not 2"
        assert not world.machines["b"].calls.is_draining


@pytest.mark.parametrize("text", ["0%", "101", "nan", "much"])
def test_what_is_no_share_of_anything_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ArgumentTypeError)):
        percent(text)


@pytest.mark.parametrize("text", ["-1", "inf", "nan", "soon"])
def test_nobody_waits_for_ever_or_until_before_now(text: str) -> None:
    with pytest.raises((ValueError, ArgumentTypeError)):
        seconds(text)
