"""An answered call outlives its machine: two machines and a callee on a third, with nothing simulated but the wires.

The machines are namespaces (`nodes/rehearsal/hosts.py`), the launchers real, and so is the death: SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.commands.call import new_order
from nodes.commands.client import connected
from nodes.commands.takeover import Side
from nodes.config import load
from nodes.links.errors import Refused
from nodes.rehearsal import hosted
from nodes.rehearsal.hosted_cluster import cluster
from nodes.rehearsal.hosts import NoHosts, hosts
from protocols.wire.events import CallEvent, Kind, from_body

SCRIPT = Path(__file__).with_name("machines.yaml").read_text(encoding="utf-8")
NEEDED = {"speech": 1, "media": 1, "edge": 1}
SETTINGS: hosted.Settings = {"speech": {"processes": 1}}
FOLLOW = """
import asyncio, json, sys
from pathlib import Path
from nodes.config import load
from nodes.bus.bus import Bus
from nodes.bus.login import login
from protocols.wire.roles import Role
from protocols.wire.subjects import ALL_EVENTS

async def main():
    config = load(Path(sys.argv[1]))
    bus = await Bus.connect(login(config, Role.OPERATOR), name="follow", node_id=config.node.id)
    await bus.subscribe(ALL_EVENTS, lambda body, _: print(json.dumps(body), flush=True))
    print("{}", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""Prints every event on NATS, from a host: from here there is no way to it."""


class Events:
    """What the follower on a host has printed."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def is_following(self) -> bool:
        return "{}" in self._log.read_text().splitlines()

    @property
    def all(self) -> list[CallEvent]:
        lines = [line for line in self._log.read_text().splitlines() if line.startswith('{"event_id"')]
        events = [from_body(json.loads(line)) for line in lines if line.endswith("}")]
        return list({event.event_id: event for event in events}.values())

    def of(self, kind: Kind) -> list[CallEvent]:
        return [event for event in self.all if event.kind is kind]

    def said(self) -> list[str]:
        return [str(event.fields["spoken"]) for event in self.of(Kind.PROMPT_STARTED)]


@dataclass
class Machines:
    """Two nodes of a cluster, callees on a third machine, and all events."""

    sides: dict[str, Side]
    callees: hosted.Callees
    events: Events

    async def call(self, on: str, user: str) -> None:
        order = new_order(self.callees.target(user), SCRIPT, {})
        side = self.sides[on]
        for _ in range(600):
            try:
                await side.client.mesh.ask(side.client.one("edge").identity, order)
            except Refused:  # it does not know the do-not-call list yet
                await asyncio.sleep(0.1)
            else:
                return

    async def owner(self) -> str:
        return next(name for name, side in self.sides.items() if await side.up())


async def until(what: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def two_machines(tmp_path: Path) -> AsyncIterator[Machines]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        try:
            made = await enter(hosts(("far", "n1", "n2"), tmp_path))
        except NoHosts as error:
            pytest.skip(str(error))
        far = made["far"]
        joined = await enter(cluster([made["n1"], made["n2"]], [far], far, SETTINGS))
        callees = await enter(hosted.callees(far, joined.nats_url, {"machines": SCRIPT}))
        log = tmp_path / "events"
        with log.open("w") as file:
            argv = (sys.executable, "-c", FOLLOW, str(far.directory / "callees.toml"))
            follower = await far.start(argv, file)
        stack.callback(follower.kill)
        sides: dict[str, Side] = {}
        for name, node in joined.nodes.items():
            await node.ready(NEEDED)
            sides[name] = Side(node, await enter(connected(load(node.host.path(node.file)))))
        here = Machines(sides, callees, Events(log))
        await until(lambda: here.events.is_following)
        yield here


async def test_a_machine_dies_while_the_robot_speaks_and_the_callee_hears_the_rest_of_the_sentence(
    tmp_path_factory: pytest.TempPathFactory, measured: Callable[..., None]
) -> None:
    async with two_machines(tmp_path_factory.mktemp("m")) as machines:  # paths of sockets are short
        events = machines.events
        await machines.call("n1", "cooperative-1")
        await until(lambda: any("every town" in said for said in events.said()))
        await asyncio.sleep(0.5)  # in the middle of the sentence
        await machines.sides["n1"].node.kill_launcher()
        await until(lambda: events.of(Kind.ENDED))
        await until(machines.callees.lived)
        (lived,) = machines.callees.lived()
        (ended,) = events.of(Kind.ENDED)
        said = events.said()
    measured(machine_ms=lived["worst_gap_ms"])
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("completed", "script")
    assert lived["ended_by"] == "them"
    assert sum("every town" in one for one in said) == 1, "it goes on where it was"
    code = re.search(r"I have heard ([a-z ]+)\.", " ".join(said))
    assert code
    assert any(f"Then {code[1]} is done." in one for one in said), "what was said before is known"
    assert lived["worst_gap_ms"] < 1000
