"""Three machines as one cluster with a campaign that always calls: set up on test hosts, asked, and listened to."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from nodes.child import STAND_INS
from nodes.commands import central
from nodes.commands.bench_cluster import STANDING_IN
from nodes.commands.central import Campaign, Declined
from nodes.commands.client import Client, NotUp, connected
from nodes.commands.takeover import Side
from nodes.config import load
from nodes.links.errors import LinkError, Refused
from nodes.rehearsal import agent, hosted
from nodes.rehearsal.hosted_cluster import cluster
from nodes.rehearsal.hosts import Hosts
from nodes.rehearsal.scripted import pace, phones
from protocols.wire.campaigns import GetCampaign, Plan
from protocols.wire.ids import CampaignId

T = TypeVar("T")
HERE: Final = Path(__file__).parent
NEEDED: Final = {"recorder": 1, "speech": 2, "media": 1, "edge": 1, "central": 1, "desk": 1}
CAMPAIGN: Final = CampaignId("soak")
READY_S: Final = 240.0
INSIST_S: Final = 60.0
END_S: Final = 210.0
STORED_S: Final = 5.0
LOOK_S: Final = 0.5
EVERY: Final = 8
"""Every so many contacts one wants an agent."""
AGENTS: Final = "ann:service,ben:service,cat:service"
PACE: Final = pace.Pace(prompt_s=12.0, think_s=0.5, speak_s=0.5)
DIALS: Final = 60.0
"""Of scripted calls so many may be dialled at once, and a fifth of that a second: by itself central dials 2.4 a second
with three machines of two cores, which is 200 calls of this length and not 300."""
ASKS: Final = """
import sys, urllib.request
asked = urllib.request.Request(sys.argv[1], headers={"authorization": f"Bearer {sys.argv[2]}"})
print(urllib.request.urlopen(asked, timeout=5).read().decode())
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is called: `nodes` on hosts of their own, callees on `far`; `at_once` of `n` contacts, `person(n)` each."""

    far: str
    nodes: tuple[str, ...]
    at_once: int
    script: str
    person: Callable[[int], str]
    env: Mapping[str, str] = field(default_factory=dict)
    agents: str = ""


def audio(at_once: int) -> Kind:
    """People with voices, of whom some want an agent."""
    person = lambda n: f"{'human' if n % EVERY == 0 else 'cooperative'}-{n}"  # noqa: E731
    script = (HERE / "cluster.yaml").read_text(encoding="utf-8")
    return Kind("far", ("n1", "n2", "n3"), at_once, script, person, agents=AGENTS)


def scripted(at_once: int) -> Kind:
    """Telephones, media and speech that keep time instead of sound (`nodes/rehearsal/scripted`)."""
    stand_ins = {
        STAND_INS: " ".join(f"{role}={module}" for role, module in STANDING_IN.items()),
        pace.VARIABLE: str(PACE),
    }
    script = (HERE / "scripted.yaml").read_text(encoding="utf-8")
    return Kind("phones", ("s1", "s2", "s3"), at_once, script, lambda n: f"n{n}", env=stand_ins)


@dataclass(slots=True)
class Field:
    """Three nodes and their callees."""

    kind: Kind
    hosts: Hosts
    sides: Mapping[str, Side]
    callees: hosted.Callees

    def nodes(self) -> dict[str, hosted.HostedNode]:
        """Return the nodes by their hosts."""
        return {name: side.node for name, side in self.sides.items()}

    async def begin(self, n_contacts: int) -> None:
        """Bring the contacts, and return when as many talk as may."""
        n = self.kind.at_once
        plan = Plan(
            zone="Europe/London", clock="2026-03-03T10:00:00+00:00", concurrency=n, ring_s=20.0, retries={},
            per_day=100, spacing_s=0.0,
        )  # fmt: skip
        users = [self.callees.target(self.kind.person(each)) for each in range(n_contacts)]
        contacts = "number,consent\n" + "".join(f"{user},rehearsal\n" for user in users)
        leading = await self._leading()
        await central.bring(leading, Campaign(CAMPAIGN, plan), "soak.csv", contacts.encode(), self.kind.script)
        await self.steer("running")
        for _ in range(round(READY_S / LOOK_S)):
            if await self.up() >= n * 0.9:
                return
            await asyncio.sleep(LOOK_S)

    async def steer(self, phase: str) -> None:
        """Have the campaign be so. Raises: Declined."""
        await self._ask(lambda client: central.steer(client, CAMPAIGN, phase))

    async def up(self) -> int:
        """Return how many calls are up."""
        return sum([await side.up() for side in self.sides.values()])

    async def is_idle(self) -> bool:
        """Return whether every node says that it has no call."""
        try:
            return not any([(await side.figures())["calls"] for side in self.sides.values()])
        except (NotUp, LinkError):
            return False

    async def is_healed(self) -> bool:
        """Return whether every call has a living heir that has said so; a node that starts has no calls yet."""
        for side in self.sides.values():
            if not side.node.roster().active("edge"):
                continue
            try:
                figures = await side.figures()
                if any(figures.get(name) for name in ("calls_without_heir", "unkept_afar")):
                    return False
            except (NotUp, LinkError):
                return False
        return True

    async def whole(self) -> None:
        """Return once every node is up again. Raises: NotReady."""
        for side in self.sides.values():
            while side.node.running is None or side.node.running.status is not None:
                await asyncio.sleep(LOOK_S)
            await side.node.ready(NEEDED, READY_S)

    async def until_over(self) -> None:
        """Return when the last call has ended by itself, or should have, and what was noted is stored."""
        give_up_s = time.monotonic() + END_S
        while time.monotonic() < give_up_s:
            known = (await self._ask(lambda client: central.status(client, CAMPAIGN))).in_flight
            if not known and await self.is_idle():
                break
            await asyncio.sleep(1.0)
        await asyncio.sleep(STORED_S)

    async def leader(self) -> str:
        """Return the host whose nats-server leads the stream of events, or the first."""
        for name, side in self.sides.items():
            if self.hosts[name].is_on:
                program = (sys.executable, str(HERE / "leader.py"), str(side.node.file))
                if (said := (await side.node.host.run(program)).out) in self.sides:
                    return said
        return next(iter(self.sides))

    async def not_free(self) -> list[str]:
        """Return the agents who have a call or are kept for one, as the nodes' pages tell it."""
        found: dict[str, str] = {}
        for side in self.sides.values():
            token = (side.node.state / "run/token").read_text()
            address = f"http://{side.node.host.address}:{hosted.DESK_PORT}/api/agents"
            said = await side.node.host.run((sys.executable, "-c", ASKS, address, token))
            if said.status == 0:
                found |= {one["agent_id"]: one["state"] for one in json.loads(said.out)["agents"]}
        return [f"{name}: {state}" for name, state in found.items() if state in ("reserved", "talking")]

    def phones(self) -> dict[str, Any]:
        """Return what scripted telephones have counted."""
        found: dict[str, Any] = json.loads((self.callees.host.directory / hosted.STATE / phones.REPORT).read_text())
        return found

    async def _ask(self, what: Callable[[Client], Awaitable[T]]) -> T:
        """Ask one node after another until one answers: whom we ask may just have been killed, or not lead."""
        give_up_s = time.monotonic() + INSIST_S
        while True:
            for side in self.sides.values():
                try:
                    return await what(side.client)
                except (NotUp, Declined, LinkError):
                    if time.monotonic() > give_up_s:
                        raise
            await asyncio.sleep(LOOK_S)

    async def _leading(self) -> Client:
        """Return the way to a node whose central leads, or knows who does. Raises: Declined."""
        for _ in range(round(INSIST_S)):
            for side in self.sides.values():
                try:
                    await side.client.mesh.ask(side.client.one("central").identity, GetCampaign(CAMPAIGN))
                except Refused as error:
                    if error.reason == "unknown_campaign":
                        return side.client
                except (NotUp, LinkError):
                    continue
            await asyncio.sleep(1.0)
        raise Declined("nobody leads")


@asynccontextmanager
async def field_of(kind: Kind, made: Hosts, seed: int) -> AsyncIterator[Field]:
    """Have a cluster of this kind: every node has all roles, and every machine a nats-server. Raises: NodeError."""
    async with AsyncExitStack() as stack:
        enter, far = stack.enter_async_context, made[kind.far]
        three = [made[name] for name in kind.nodes]
        settings: dict[str, Mapping[str, object]] = {"central": {"max_concurrent": 2 * kind.at_once}}
        if kind.env:
            settings["central"] = {**settings["central"], "base": DIALS}
            settings["edge"] = {"capacity": 2 * kind.at_once}
        joined = await enter(cluster(three, three, far, settings, env=kind.env))
        desks = ":".join(str(host.directory / hosted.STATE / "run") for host in three)
        people = {**kind.env, agent.AGENTS: kind.agents, agent.DESKS: desks}
        callees = await enter(
            hosted.callees(far, joined.nats_url, {"soak": kind.script}, seed, n_phrases=3, env=people)
        )  # fmt: skip
        sides = {}
        for name, node in joined.nodes.items():
            await node.ready(NEEDED, READY_S)
            await node.takes_calls(READY_S)
            sides[name] = Side(node, await enter(connected(load(node.file))))
        yield Field(kind, made, sides, callees)


def names(kinds: Sequence[Kind]) -> list[str]:
    """Return the hosts that these kinds want; the callees' first, whose clocks are ours."""
    return [*(kind.far for kind in kinds), *(name for kind in kinds for name in kind.nodes)]


__all__ = ["Field", "Kind", "audio", "field_of", "names", "scripted"]
