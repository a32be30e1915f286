"""A node on a test host is a node: a real launcher, which calls whoever is on another host."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nodes.commands.scripts import read_script
from nodes.rehearsal import hosted
from nodes.rehearsal.faults import Fault, FaultKind, inflict
from nodes.rehearsal.hosts import NoHosts, hosts

PATIENCE_S = 100.0
LOOK_S = 0.05
NEEDED = {"recorder": 1, "speech": 1, "media": 1, "edge": 1, "central": 1}


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(LOOK_S)


async def test_a_node_on_one_host_calls_a_callee_on_another(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        try:
            made = await stack.enter_async_context(hosts(("far", "n1"), tmp_path, disk_mb=256))
        except NoHosts as error:
            pytest.skip(str(error))
        url = await stack.enter_async_context(hosted.nats(made["far"]))
        settings = {"nats": {"url": url}, "speech": {"processes": 1}, "models": {"voice": "missing"}}
        node = await stack.enter_async_context(hosted.node(made["n1"], settings))
        callees = await stack.enter_async_context(hosted.callees(made["far"], url, {"hello": read_script("hello")}))
        roster = await node.ready(NEEDED)
        await node.takes_calls()
        assert roster.launcher
        assert node.running
        assert (roster.launcher.pid, roster.launcher.pid in made["n1"].processes()) == (node.running.pid, True)

        follows = (*hosted.COMMAND, "call", callees.target("cooperative-1"), "--config", str(node.file))
        captions = tmp_path / "captions"
        with captions.open("w") as log:
            call = await node.host.start(follows, log)
        await until(lambda: "Ringmaster" in captions.read_text() or call.status is not None)
        call.kill(signal.SIGINT)
        assert await call.wait() == 128 + signal.SIGINT, captions.read_text()
        await until(callees.lived)
        (lived,) = callees.lived()
        assert (lived["answered"], lived["ended_by"]) == (True, "them")
        assert int(lived["packets"]) > 10

        spares = {peer.identity for peer in node.roster().spare("edge")}
        done = await inflict(Fault(FaultKind.PROCESS, "n1", role="edge spare"), made, {"n1": node})
        await until(lambda: spares - {peer.identity for peer in node.roster().spare("edge")})
        assert done.hit
        assert not (await inflict(Fault(FaultKind.PROCESS, "n1", role="desk spare"), made, {"n1": node})).hit
        await node.kill_launcher()
        await until(lambda: not made["n1"].processes())


def test_tables_are_merged_key_by_key() -> None:
    assert hosted.merged({"node": {"id": "n1"}, "rtp": {}}, {"node": {"zone": "b"}, "cluster": {"port": 1}}) == {
        "node": {"id": "n1", "zone": "b"}, "rtp": {}, "cluster": {"port": 1},
    }  # fmt: skip


async def test_what_does_not_come_up_is_told_with_its_last_words_and_tried_again(tmp_path: Path) -> None:
    try:
        async with hosts(("n1",), tmp_path) as made, hosted.node(made["n1"], {"sip": {"bind": "10.99.0.1"}}) as node:
            with pytest.raises(hosted.NotReady, match=r"sip\.bind.*Cannot assign"):
                await node.ready(NEEDED)
            first, keeping = node.running, asyncio.create_task(node.keep())
            await until(lambda: node.running is not first)  # who supervises a machine's services starts it again
            keeping.cancel()
            await node.kill_launcher()
    except NoHosts as error:
        pytest.skip(str(error))
