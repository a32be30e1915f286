"""What a machine hears of a cluster before it is one of it, from a real server; and what bars it then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes.bus import server
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import Config, parse
from nodes.links import cluster_keys, cluster_state, neighbours
from nodes.links.cluster_keys import ClusterKeys
from protocols.joining import Bar, Candidate, barred
from protocols.wire.envelope import VERSION
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from tests.conftest import NatsServer, running

N1, N2 = NodeId("n1"), NodeId("n2")


@asynccontextmanager
async def living(where: Path) -> AsyncIterator[tuple[Bus, ClusterKeys, Config]]:
    """A first node's NATS with a bus that can say anything there, and the keys of a second."""
    cluster_keys.make(where / "n1", "prod", N1)
    cluster_state.add(where / "n1", [N2])
    async with running(NatsServer(server.find(), where / "n1")) as made:
        bus = await Bus.connect(login(made.config, Role.OPERATOR), name="n1.edge-0:1", node_id=N1)
        keys = cluster_keys.keys_for(where / "n1", N2, (made.plan.url,))
        config = parse(f"[node]\nid = 'n2'\n[paths]\nstate = '{where}/n2'\n", "test", where)
        try:
            yield bus, keys, config
        finally:
            await bus.close()


async def saying(bus: Bus, keys: ClusterKeys, node: NodeId, **other: object) -> None:
    while True:
        word = {"node": node, "cluster": keys.cluster, "protocol": VERSION, "wall": time.time(), **other}
        bus.publish(f"rm.node.{node}.word", word)
        bus.publish(f"rm.node.{node}.word", {"what": "is no word"})
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("node", "other", "slow_s", "bar"),
    [
        (N1, {}, 0.0, None),
        (N1, {}, 3.0, Bar.CLOCK_OFF),
        (N1, {}, -3.0, Bar.CLOCK_OFF),
        (N1, {"protocol": VERSION + 1}, 0.0, Bar.OTHER_PROTOCOL),
        (N1, {"cluster": "f" * 32}, 0.0, Bar.OTHER_CLUSTER),
        (N2, {}, 0.0, Bar.CLASHING_ID),
    ],
)
async def test_what_living_nodes_say_bars_who_may_not_join(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    node: NodeId,
    other: dict[str, object],
    slow_s: float,
    bar: Bar | None,
) -> None:
    monkeypatch.setattr(neighbours, "HEAR_S", 0.3)
    async with living(tmp_path) as (bus, keys, config), asyncio.TaskGroup() as group:
        speaker = group.create_task(saying(bus, keys, node, **other))
        found = await neighbours.neighbours(config, keys, wall=lambda: time.time() - slow_s)
        speaker.cancel()
    assert [one.node for one in found] == [node]
    told = barred(Candidate(keys.cluster, N2, VERSION), found)
    assert (told.bar if told else None) is bar


async def test_a_secret_that_is_another_clusters_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "CONNECT_S", 0.3)
    async with living(tmp_path / "ours") as (_, keys, config):
        cluster_keys.make(tmp_path / "theirs", "prod", N2)
        stranger = cluster_keys.keys_for(tmp_path / "theirs", N2, keys.urls)
        with pytest.raises(neighbours.NobodyAnswers, match=r"nats://.* lets us not in: .*ringmaster cluster keys"):
            await neighbours.neighbours(config, stranger)
