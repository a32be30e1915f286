"""Central as a process of the node: a real nats-server, a real mesh, and an edge that answers what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import nats
import pytest

from grammars import load
from grammars.script_pack import unpack
from nodes import config as configuration
from nodes.bus.bus import Bus
from nodes.bus.server import MB
from nodes.central import process, search
from nodes.central.campaign import Campaigns
from nodes.central.memory import Memory, nobody
from nodes.central.process import Central
from nodes.config import Config
from nodes.links import members as membership
from nodes.links.errors import Refused, StreamBroken
from nodes.links.kept_list import FILE
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.wire import campaigns as wire
from protocols.wire import events
from protocols.wire.campaigns import Plan, attempt_id, contact_of
from protocols.wire.cluster import ClusterTold, Member, NodeState, NodeWord
from protocols.wire.do_not_call import ChangeDoNotCall
from protocols.wire.events import CallEvent, Kind, Value
from protocols.wire.ids import CallId, CampaignId, Identity, NodeId
from protocols.wire.journal import Attempted, CampaignPhase, Steered, from_body
from protocols.wire.messages import CallAccepted, GetStatus, PlaceCall, Status
from protocols.wire.reconcile import CallsFound, FindCalls
from protocols.wire.roles import CENTRAL_READS
from protocols.wire.scale import GetScale, MachineSeen, ScaleAdvice
from protocols.wire.settings import ApplySettings
from protocols.wire.subjects import Bucket, Stream, call_event, stream_of
from tests.conftest import NatsServer

SCRIPT = Path("grammars/scripts/hello.yaml").read_text()
SPRING = CampaignId("spring")
ANYTIME = Plan(opens_min=0, closes_min=1440, zone="UTC", spacing_s=0.0)
LIST = (
    b"number,name,consent\nsip:ada@127.0.0.1,Ada,form-1\nsip:bob@127.0.0.1,Bob,form-2\nsip:cyd@127.0.0.1,Cyd,form-3\n"
)


class Edge:
    """An edge without telephones: it takes orders, and its calls end when the test says so."""

    def __init__(self, mesh: Mesh, bus: Bus) -> None:
        self.mesh, self.bus = mesh, bus
        self.orders: list[PlaceCall] = []
        self.refuses = ""
        self.tells: dict[str, float] = {}
        self.ordered = asyncio.Condition()
        self.in_stream: list[bool] = []
        self._n = 0
        self.was_asked = False
        self.answers = asyncio.Event()
        self.answers.set()
        mesh.serve(PlaceCall, self.place)
        mesh.serve(GetStatus, self.status)
        mesh.serve(FindCalls, self.find)
        self.has_lost: set[CallId] = set()
        self.asked_by: list[int] = []

    def find(self, asked: FindCalls, sender: Identity) -> CallsFound:
        """Have every call that was ordered, but those that the test says are lost."""
        self.asked_by.append(asked.token)
        held = {order.call_id for order in self.orders} - self.has_lost
        return CallsFound(tuple(call_id for call_id in asked.calls if call_id in held), ())

    async def status(self, _: GetStatus, sender: Identity) -> Status:
        self.was_asked = True
        await self.answers.wait()
        return Status("edge", 7, {"draining": float(self.refuses == "draining"), **self.tells})

    async def place(self, order: PlaceCall, sender: Identity) -> CallAccepted:
        written = [from_body(one.body or {}) async for one in self.bus.replay(Stream.CAMPAIGN)]
        self.in_stream.append(any(isinstance(e, Attempted) and e.attempt_id == order.attempt_id for e in written))
        async with self.ordered:
            self.orders.append(order)
            self.ordered.notify_all()
        if self.refuses:
            raise Refused(self.refuses)
        return CallAccepted(order.call_id)

    def say(self, order: PlaceCall, kind: Kind, **fields: Value) -> None:
        self._n += 1
        event = CallEvent(
            f"{order.call_id}:{self._n}", order.call_id, order.attempt_id, order.campaign_id, NodeId("n1"),
            datetime.now(UTC), self._n, kind, fields,
        )  # fmt: skip
        assert self.bus.record(call_event(order.call_id, kind), event.event_id, events.to_body(event))

    def end(self, order: PlaceCall, disposition: str = "completed", **fields: Value) -> None:
        told: dict[str, Value] = {"cause": "script", "duration_s": 1.0, "by": "us", **fields}
        self.say(order, Kind.ENDED, disposition=disposition, **told)

    async def order(self, n: int) -> PlaceCall:
        """Return the `n`th order, from 0."""
        async with asyncio.timeout(60), self.ordered:
            await self.ordered.wait_for(lambda: len(self.orders) > n)
            return self.orders[n]


class Node:
    """One edge, any number of centrals, and an operator."""

    def __init__(self, config: Config, url: str, edge: Edge, operator: Mesh) -> None:
        self.config, self.url, self.edge, self.operator = config, url, edge, operator
        self.peers = [peer("edge", edge.mesh)]
        self.centrals: dict[Identity, Central] = {}

    @asynccontextmanager
    async def central(self, name: str) -> AsyncIterator[Identity]:
        """Run a central for the length of the block; stop it as the launcher would."""
        identity = Identity(f"n1.{name}:1")
        mesh = await Mesh.start(identity, self.config.paths.endpoint(identity))
        bus = await Bus.connect(self.url, name=identity, node_id=NodeId("n1"))
        central, tasks = Central(self.config, identity, bus, mesh), Tasks()
        self.centrals[identity] = central
        central.serve()
        self.peers.append(peer("central", mesh))
        roster = Roster(1, tuple(self.peers))
        self.edge.mesh.roster(roster)
        self.operator.roster(roster)
        central.follow(roster)
        await tasks.open()
        tasks.spawn(central.do_not_call.follow())
        tasks.spawn(central.settings.follow())
        tasks.spawn(central.run())
        try:
            yield identity
        finally:
            await tasks.close()
            await bus.close()
            await mesh.close()

    async def leads(self, central: Identity) -> None:
        """Return when it leads."""
        async with asyncio.timeout(60):
            while not await self._is_leading(central):
                await asyncio.sleep(0.05)

    async def takes(self, central: Identity) -> None:
        """Take the lease from whoever has it, who will not know before it is renewed, until this central leads.

        Once is not enough: it is whoever asks first that has it then, and that may be the same as before.
        """
        leases = self.edge.bus.kv(Bucket.LEASES)
        async with asyncio.timeout(60):
            while not await self._is_leading(central):
                held = await leases.get("central")
                if held and held.value and held.value["holder"] != central:
                    await leases.delete("central")
                await asyncio.sleep(0.05)

    async def _is_leading(self, central: Identity) -> bool:
        try:
            await self.operator.ask(central, wire.ListCampaigns())
        except Refused as refused:
            if refused.reason != "not_leading":
                raise
            return False
        return True

    async def imports(
        self,
        central: Identity,
        name: CampaignId = SPRING,
        data: bytes = LIST,
        plan: Plan = ANYTIME,
        script: str = SCRIPT,
    ) -> wire.CampaignImported:
        begun = await self.begins(central, name, plan, script)
        if begun.problems:
            return wire.CampaignImported(0, begun.problems)
        for at in range(0, len(data), wire.LIST_PART):
            part = wire.ListPart(begun.import_id, at, data[at : at + wire.LIST_PART])
            await self.operator.ask(central, part, timeout_s=10.0)
        return await self.operator.ask(central, wire.CommitImport(begun.import_id, len(data)), timeout_s=10.0)

    async def begins(
        self, central: Identity, name: CampaignId = SPRING, plan: Plan = ANYTIME, script: str = SCRIPT
    ) -> wire.ImportBegun:
        return await self.operator.ask(central, wire.BeginImport(name, "list.csv", script, plan), timeout_s=10.0)

    async def runs(self, central: Identity, name: CampaignId = SPRING) -> wire.CampaignStatus:
        return await self.operator.ask(central, wire.SteerCampaign(name, "running"))

    async def status(self, central: Identity, seen: Callable[[wire.CampaignStatus], bool]) -> wire.CampaignStatus:
        """Return the campaign's status once it is as wanted: asked, and asked again whenever a change is published."""
        changed = asyncio.Event()
        await self.edge.bus.subscribe("rm.state.campaigns.*", lambda body, subject: changed.set())
        async with asyncio.timeout(60):
            while True:
                changed.clear()
                if seen(status := await self.operator.ask(central, wire.GetCampaign(SPRING))):
                    return status
                await changed.wait()


def peer(role: str, mesh: Mesh) -> Peer:
    return Peer(role, mesh.identity.split(":")[0], mesh.identity, mesh.endpoint, 1, State.ACTIVE)


@pytest.fixture
async def node(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Node]:
    config = configuration.parse("[central]\nbase = 100\n[paths]\nstate = 'n1'", "test", tmp_path)
    config.paths.run.mkdir(parents=True)
    edge_mesh = await Mesh.start(Identity("n1.edge-0:1"), config.paths.endpoint("n1.edge-0:1"))
    edge_bus = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n1"), spool=config.paths.spool)
    operator = await Mesh.start(Identity("n1.command:1"))
    yield Node(config, nats_server.url, Edge(edge_mesh, edge_bus), operator)
    await operator.close()
    await edge_bus.close()
    await edge_mesh.close()


async def test_a_script_that_cannot_run_is_refused_with_its_lines_and_nothing_is_imported(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        for script, reason in (
            ("flow: hello\nversion: 1\n", "the script needs 'initial'"),
            ("[" * 50_000, "nested deeper"),
        ):
            refused = await node.imports(central, script=script)
            assert any(reason in problem.reason for problem in refused.problems)
            assert {problem.file for problem in refused.problems} == {"script"}
        assert await node.imports(central) == wire.CampaignImported(3)


async def test_a_campaign_is_imported_dialled_and_counted(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        assert await node.imports(central) == wire.CampaignImported(3)
        assert (await node.runs(central)).phase == "running"
        await node.edge.order(2)
        orders = {order.slots["name"]: order for order in node.edge.orders}
        assert orders["Ada"].target == "sip:ada@127.0.0.1"
        assert unpack(orders["Ada"].script) == load(SCRIPT)
        assert not orders["Ada"].is_recorded, "the plan states no basis"
        assert node.edge.in_stream == [True, True, True]
        node.edge.say(orders["Ada"], Kind.ANSWERED, after_ms=900)
        status = await node.status(central, lambda status: status.talking == 1)
        assert (status.in_flight, status.done) == (3, 0)
        node.edge.end(orders["Ada"])
        node.edge.end(orders["Bob"], "busy")
        node.edge.end(orders["Cyd"], "invalid")
        status = await node.status(central, lambda status: status.in_flight == 0)
        assert (status.waiting, status.done) == (1, 2)
        assert status.dispositions == {"completed": 1, "busy": 1, "invalid": 1}


async def test_whoever_leads_hears_of_calls_in_every_stream_that_there_is_also_if_it_makes_no_more_use_of_it(
    node: Node,
) -> None:
    people = [f"sip:p{n}@127.0.0.1,P,form-1" for n in range(16)]
    streams: list[int] = []
    for name, n_streams in (("central-0", 4), ("central-1", 1)):
        node.config = replace(node.config, recorder=replace(node.config.recorder, streams=n_streams))
        async with node.central(name) as central:
            await node.leads(central)
            if not streams:
                plan, listed = replace(ANYTIME, concurrency=16), "\n".join(("number,name,consent", *people))
                await node.imports(central, data=listed.encode(), plan=plan)
                await node.runs(central)
                await node.edge.order(15)
                streams = sorted({stream_of(order.call_id) for order in node.edge.orders})
                continue
            for order in node.edge.orders:
                node.edge.end(order, "invalid")
            status = await node.status(central, lambda status: status.in_flight == 0)
            assert status.dispositions == {"invalid": 16}
    assert max(streams) > 1, "one of sixteen at least was dealt to a stream of the upper half"


async def test_what_is_wrong_with_an_import_is_answered_and_nothing_is_written(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        told = await node.imports(central, data=b"number\nsip:ada@127.0.0.1\n+49 30 123456\nnonsense\n")
        assert told.contacts == 0
        assert [(problem.line, problem.reason) for problem in told.problems] == [
            (3, "a telephone number needs a trunk, and none is configured"),
            (4, "is neither a telephone number nor a SIP URI"),
        ]
        assert [one async for one in node.edge.bus.replay(Stream.CAMPAIGN)] == []
        with pytest.raises(Refused, match="unknown_campaign"):
            await node.runs(central)


async def test_a_list_that_has_not_come_whole_is_refused(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        name = (await node.begins(central)).import_id
        await node.operator.ask(central, wire.ListPart(name, 0, b"number\n"))
        with pytest.raises(Refused, match="wrong_offset"):
            await node.operator.ask(central, wire.ListPart(name, 99, b"x"))
        with pytest.raises(Refused, match="importing"):
            await node.begins(central, CampaignId("autumn"))
        with pytest.raises(Refused, match="list_incomplete"):
            await node.operator.ask(central, wire.CommitImport(name, 99))
        with pytest.raises(Refused, match="unknown_import"):
            await node.operator.ask(central, wire.ListPart(name, 7, b"x"))


async def test_a_name_is_taken_once_and_a_stopped_campaign_stays_stopped(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        with pytest.raises(Refused, match="campaign_exists"):
            await node.imports(central)
        with pytest.raises(Refused, match="unknown_phase"):
            await node.operator.ask(central, wire.SteerCampaign(SPRING, "imported"))
        await node.operator.ask(central, wire.SteerCampaign(SPRING, "stopped"))
        with pytest.raises(Refused, match="campaign_stopped"):
            await node.runs(central)


async def test_an_edge_that_refuses_costs_the_attempt_and_not_the_contact(node: Node) -> None:
    node.edge.refuses = "bad_script"
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        status = await node.status(central, lambda status: status.dispositions == {"failed": 3})
        assert status.waiting == 3


async def test_an_edge_that_drains_holds_its_campaigns_and_does_not_burn_their_contacts(node: Node) -> None:
    node.edge.refuses = "draining"
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central, plan=replace(ANYTIME, concurrency=1))
        await node.runs(central)
        status = await node.status(central, lambda status: status.held == "no_edge" and status.in_flight == 0)
        assert (status.waiting, status.dispositions) == (3, {})
        while not node.edge.was_asked:
            await asyncio.sleep(0.05)
        asked = len(node.edge.orders)
        assert asked <= 1, "it is asked whether it takes calls, and not ordered from"
        node.edge.refuses = ""
        await node.edge.order(asked)


async def test_an_edge_that_is_full_says_not_now_and_no_contact_is_an_attempt_poorer(node: Node) -> None:
    """Its room is known a second later: what it refuses meanwhile goes back, is due again, and is no dial."""
    node.edge.refuses, node.edge.tells = "node_full", {"room": 50.0}
    once_a_day = replace(ANYTIME, per_day=1, retries={"busy": (0.0,)})
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central, plan=once_a_day)
        await node.runs(central)
        await node.edge.order(6)
        node.edge.refuses = ""
        n_refused = len(node.edge.orders)
        await node.edge.order(n_refused + 2)
        assert len({order.attempt_id for order in node.edge.orders}) == n_refused + 3, "each has a name of its own"
        for order in node.edge.orders[n_refused:]:
            node.edge.end(order)
        await node.status(central, lambda status: status.dispositions == {"completed": 3})


async def test_nobody_is_ordered_from_an_edge_that_has_no_room(node: Node) -> None:
    node.edge.tells = {"room": 1.0}
    async with node.central("central-0") as central:
        await node.leads(central)
        while not node.edge.was_asked:
            await asyncio.sleep(0.05)
        node.edge.tells = {"room": 0.0}
        await node.imports(central)
        await node.runs(central)
        status = await node.status(central, lambda status: status.held == "edges_full")
        assert status.in_flight <= 1, "of the one place that there was when it was asked"
        node.edge.tells = {"room": 2.0}
        await node.edge.order(2)


async def test_an_edge_that_does_not_answer_is_not_ordered_from_until_it_does(node: Node) -> None:
    node.edge.answers.clear()
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        status = await node.status(central, lambda status: status.held == "no_edge")
        while not node.edge.was_asked:
            await asyncio.sleep(0.05)
        assert (status.in_flight, node.edge.orders) == (0, [])
        node.edge.answers.set()
        await node.edge.order(2)


async def test_whoever_leads_says_how_many_machines_there_should_be(node: Node) -> None:
    """Nobody else knows it: that would be two answers."""
    told = {"capacity": 100.0, "calls": 250.0, "machine_busy": 0.5, "late_ms": 20.0, "memory": 8e9, "memory_free": 4e9}
    node.edge.tells = {**told, "room": 0.0}
    async with node.central("central-0") as central:
        await node.leads(central)
        async with node.central("central-1") as other:
            async with asyncio.timeout(100):
                while (advice := await asks_scale(node, central)) is None or advice.desired != 3:
                    await asyncio.sleep(0.05)
            assert (advice.nodes, advice.wanted["calls"]) == (1, 3)
            assert advice.machines == (
                MachineSeen(NodeId("n1"), 250, 100, True, 0.5, 0.02, 8_000_000_000, 4_000_000_000),
            )
            assert await asks_scale(node, other) is None
            async with asyncio.timeout(100):
                while (await node.operator.ask(central, GetStatus())).figures.get("machines_wanted") != 3.0:
                    await asyncio.sleep(0.05)


async def asks_scale(node: Node, central: Identity) -> ScaleAdvice | None:
    try:
        return await node.operator.ask(central, GetScale())
    except Refused as refused:
        if refused.reason != "not_leading":
            raise
        return None


async def test_what_all_edges_give_up_is_published(node: Node) -> None:
    node.edge.tells = {"gives_up": 2.0}
    told: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
    await node.edge.bus.subscribe(
        "rm.state.load.*", lambda body, subject: told.put_nowait((subject, body["gives_up"]))
    )  # fmt: skip
    async with node.central("central-0") as central:
        await node.leads(central)
        async with asyncio.timeout(60):
            assert await told.get() == ("rm.state.load.n1", "recordings")
            assert await told.get() == ("rm.state.load.cluster", "recordings")
            node.edge.tells = {"gives_up": 99.0}
            assert await told.get() == ("rm.state.load.n1", "calls"), "of a version with more levels: all that we know"


async def test_central_reads_how_calls_go_and_who_opts_out_and_nothing_that_was_said(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(2)
        ada, bob, cyd = node.edge.orders
        for number in range(50):
            node.edge.say(ada, Kind.PROMPT_STARTED, play_id=number, spoken="what is it?")
            node.edge.say(ada, Kind.NOMATCH, turn=number, words="nothing of it")
        node.edge.say(ada, Kind.OPT_OUT, by="stop")
        node.edge.end(ada, "opted_out", turns=50, recognition_ms=10_000)
        node.edge.end(bob, "completed", turns=2)
        node.edge.end(cyd, "busy", duration_s=0.0)
        await node.status(central, lambda status: status.in_flight == 0)
        async with asyncio.timeout(60):
            while not await node.edge.bus.kv(Bucket.DNC).get(contact_of(ada.attempt_id)):
                await asyncio.sleep(0.05)
        leader = node.centrals[central]._requests.leader
        assert leader is not None
        assert leader.dialler.complexity == {SPRING: (52 + 10) / 2}, "of those who have answered"
        client = await nats.connect(node.url)
        told = [await client.jetstream().consumer_info(Stream.EVENTS, durable) for durable in CENTRAL_READS]
        await client.close()
        assert sum(one.delivered.consumer_seq for one in told if one.delivered) == 4


async def test_an_opt_out_holds_in_every_campaign_from_then_on(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(2)
        order = node.edge.orders[0]
        node.edge.say(order, Kind.OPT_OUT, by="stop")
        for each in node.edge.orders:
            node.edge.end(each, "opted_out" if each is order else "completed")
        await node.status(central, lambda status: status.done == 3)
        entry = await node.edge.bus.kv(Bucket.DNC).get(contact_of(order.attempt_id))
        assert entry is not None
        assert entry.value is not None
        assert (entry.value["by"], entry.value["why"]) == ("callee", "stop")
        autumn = CampaignId("autumn")
        await node.imports(central, autumn)
        await node.runs(central, autumn)
        await node.edge.order(4)
        told = await node.operator.ask(central, wire.GetCampaign(autumn))
        assert told.refused == {"do_not_call": 1}
        assert len(node.edge.orders) == 5


async def test_also_while_two_believe_to_lead_nobody_is_dialled_twice(node: Node) -> None:
    one_at_a_time = Plan(opens_min=0, closes_min=1440, zone="UTC", spacing_s=0.0, concurrency=2)
    async with node.central("central-0") as first:
        await node.leads(first)
        await node.imports(first, plan=one_at_a_time)
        await node.runs(first)
        await node.edge.order(1)
        async with node.central("central-1") as second:
            with pytest.raises(Refused, match="not_leading"):
                await node.operator.ask(second, wire.GetCampaign(SPRING))
            await node.takes(second)
            status = await node.operator.ask(second, wire.GetCampaign(SPRING))
            assert (status.in_flight, status.waiting) == (2, 1)
            node.edge.end(node.edge.orders[0])
            await node.edge.order(2)
            node.edge.end(node.edge.orders[1])
            node.edge.end(node.edge.orders[2])
            await node.status(second, lambda status: status.done == 3)
    assert len({order.attempt_id for order in node.edge.orders}) == len(node.edge.orders) == 3


async def test_a_second_central_waits_and_goes_on_where_the_first_has_stopped(node: Node) -> None:
    async with AsyncExitStack() as stack:
        async with node.central("central-0") as first:
            await node.leads(first)
            second = await stack.enter_async_context(node.central("central-1"))
            async with asyncio.timeout(60):
                while not (told := (await node.operator.ask(second, GetStatus())).figures)["led"]:
                    await asyncio.sleep(0.05)
            assert not told["leading"], "it is the other one"
            await node.imports(first)
            await node.runs(first)
            await node.edge.order(2)
        await node.leads(second)
        n_asked = len(node.edge.asked_by)
        status = await node.operator.ask(second, wire.GetCampaign(SPRING))
        assert (status.phase, status.in_flight, status.waiting) == ("running", 3, 0)
        while len(node.edge.asked_by) <= n_asked:
            await asyncio.sleep(0.05)
        (ordered,) = {order.token for order in node.edge.orders}
        assert node.edge.asked_by[-1] > ordered > 0, "who led before is refused from now on"
        for order in node.edge.orders:
            node.edge.end(order)
        await node.status(second, lambda status: status.done == 3)
    assert len(node.edge.orders) == 3


async def test_what_no_edge_has_ends_as_lost_and_who_was_talking_is_not_called_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_S", 0.05)
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central, plan=replace(ANYTIME, retries={"failed": (0.1,)}))
        await node.runs(central)
        await node.edge.order(2)
        ada, bob, _ = node.edge.orders
        node.edge.say(ada, Kind.ANSWERED, after_ms=900)
        await node.status(central, lambda status: status.talking == 1)
        node.edge.has_lost = {ada.call_id, bob.call_id}
        again = await node.edge.order(3)
        assert (again.target, again.attempt_id) != (bob.target, bob.attempt_id)
        assert again.target == bob.target
        status = await node.status(central, lambda status: status.done == 1)
        assert (status.dispositions, status.in_flight) == ({"failed": 1, "abandoned": 1}, 2)


async def test_what_no_edge_has_is_given_up_also_while_the_events_of_others_never_pause(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_S", 0.05)

    async def talk() -> None:
        for n in count():
            node.edge.say(replace(node.edge.orders[0], campaign_id=CampaignId("other")), Kind.RINGING, after_ms=n)
            await asyncio.sleep(0.02)

    async with node.central("central-0") as central, Tasks() as tasks:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(2)
        tasks.spawn(talk())
        node.edge.has_lost = {node.edge.orders[1].call_id}
        status = await node.status(central, lambda status: status.dispositions == {"failed": 1})
        assert status.in_flight == 2


async def test_what_another_node_shows_as_its_own_is_not_lost(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LOOK_S", 0.02)
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(2)
        elsewhere, gone, _ = node.edge.orders
        await node.edge.bus.kv(Bucket.CALLS).put(elsewhere.call_id, {"node": "n2", "state": "conversing"})
        node.edge.has_lost = {elsewhere.call_id, gone.call_id}
        status = await node.status(central, lambda status: status.dispositions == {"failed": 1})
        assert status.in_flight == 2


async def test_while_a_node_is_silent_nothing_is_lost_and_what_a_dead_one_shows_is_not_waited_for(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_S", 0.02)
    word = NodeWord(NodeId("n2"), 1, 1, "", 1, "", "", ("edge",), "", 0.0, ())
    async with node.central("central-0") as central:
        await node.leads(central)
        members = node.centrals[central].members
        members.take(ClusterTold(1, (Member(word, NodeState.SILENT),)))
        await node.imports(central, plan=replace(ANYTIME, retries={}))
        await node.runs(central)
        await node.edge.order(2)
        await node.edge.bus.kv(Bucket.CALLS).put(node.edge.orders[0].call_id, {"node": "n2", "state": "ringing"})
        node.edge.has_lost = {order.call_id for order in node.edge.orders}
        n_asked = len(node.edge.asked_by)
        members.take(ClusterTold(2, (Member(word, NodeState.DEAD),)))  # it may be cut off, and its calls go on
        while len(node.edge.asked_by) < n_asked + 3 * search.N_LOOKS:
            await asyncio.sleep(0.02)
        assert (await node.operator.ask(central, wire.GetCampaign(SPRING))).in_flight == 3
        members.take(ClusterTold(3, (Member(word, NodeState.DEAD, is_proven=True),)))
        await node.status(central, lambda status: status.dispositions == {"failed": 3})


async def test_what_a_node_had_that_falls_silent_for_good_is_lost_when_nobody_can_be_answered_there_any_more(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_S", 0.02)
    monkeypatch.setattr(process, "RENEW_S", 0.1)
    monkeypatch.setattr(membership, "CLOSES_S", 1.0)
    word = NodeWord(NodeId("n2"), 1, 1, "", 1, "", "", ("edge",), "", 0.0, ())
    async with node.central("central-0") as central:
        await node.leads(central)
        node.centrals[central].members.take(ClusterTold(1, (Member(word, NodeState.DEAD),)))
        await node.imports(central, plan=replace(ANYTIME, retries={}))
        await node.runs(central)
        await node.edge.order(2)
        node.edge.has_lost = {order.call_id for order in node.edge.orders}
        await node.status(central, lambda status: status.dispositions == {"failed": 3})


async def test_while_nats_is_away_nobody_is_dialled_and_then_it_goes_on(node: Node, nats_server: NatsServer) -> None:
    slow = Plan(opens_min=0, closes_min=1440, zone="UTC", spacing_s=0.0, concurrency=1)
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central, plan=slow)
        await node.runs(central)
        first = await node.edge.order(0)
        nats_server.kill()
        node.edge.end(first)
        await nats_server.start()
        second = await node.edge.order(1)
        assert second.attempt_id != first.attempt_id
        assert len(node.edge.orders) == 2


async def test_the_limits_of_the_streams_are_those_of_whoever_leads(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes whose settings differ do not change them by turns: each smaller limit deletes."""
    monkeypatch.setattr(process, "LOOK_S", 0.01)
    jetstream = node.edge.bus._connection.jetstream

    async def limit() -> int:
        return (await jetstream.stream_info(Stream.EVENTS)).config.max_bytes or 0

    text = f"[nats]\nurl = '{node.url}'\nstore_mb = 10\nevents_share = 0.5\n[paths]\nstate = 'n1'"
    config = configuration.parse(text, "test", node.config.paths.state.parent)
    bus = await Bus.connect(node.url, name="n2", node_id=NodeId("n2"))
    mesh = await Mesh.start(Identity("n2.central-0:1"))
    async with Tasks() as tasks:
        async with node.central("central-0") as central:
            await node.leads(central)
            before = await limit()
            other = Central(config, mesh.identity, bus, mesh)
            tasks.spawn(other.do_not_call.follow())
            tasks.spawn(other.look_after_streams())
            await jetstream.delete_stream("KV_rm_config")
            async with asyncio.timeout(60):
                while "KV_rm_config" not in await streams(node):  # the last that is looked at
                    await asyncio.sleep(0.01)
            assert await limit() == before
        tasks.spawn(other.run())
        async with asyncio.timeout(60):
            while await limit() != 5 * MB:
                await asyncio.sleep(0.01)
    await bus.close()
    await mesh.close()


async def test_who_leads_goes_by_new_limits_at_once_and_whoever_follows_begins_with_them(node: Node) -> None:
    def only(most: int) -> ApplySettings:
        return ApplySettings(0, json.dumps({"central": {"max_concurrent": most}}), "ann@n1")

    async def held(central: Identity) -> wire.CampaignStatus:
        async with asyncio.timeout(60):
            while (status := await node.operator.ask(central, wire.GetCampaign(SPRING))).held != "edges_full":
                await asyncio.sleep(0.02)
        return status

    async with node.central("central-0") as central:
        await node.leads(central)
        assert (await node.operator.ask(central, only(1))).version == 1
        await node.imports(central)
        await node.runs(central)
        await node.edge.order(0)
        assert (await held(central)).in_flight == 1
        done = await node.operator.ask(central, replace(only(2), base=1))
        await node.edge.order(1)
        assert (await held(central)).in_flight == 2
        with pytest.raises(Refused, match="changed_meanwhile: version 2 is there, by ann@n1"):
            await node.operator.ask(central, replace(only(3), base=1, by="bob@n2"))
    async with node.central("central-1") as heir:
        assert (await node.operator.ask(heir, GetStatus())).figures["settings"] == done.version == 2
        await node.leads(heir)
        assert (await held(heir)).in_flight == 2


async def streams(node: Node) -> list[str | None]:
    return [one.config.name for one in await node.edge.bus._connection.jetstream.streams_info()]


async def test_a_journal_with_a_hole_is_not_believed_and_nothing_of_it_is_known(node: Node) -> None:
    bus = node.edge.bus
    await bus.ensure_layout()
    memory = Memory(bus, bus.lease("central", "a"), "a")
    for phase in (CampaignPhase.RUNNING, CampaignPhase.PAUSED, CampaignPhase.RUNNING):
        await memory.write(Steered(SPRING, phase, datetime.now(UTC)))
    await bus._connection.jetstream.delete_msg(Stream.CAMPAIGN, 2)
    successor = Memory(bus, bus.lease("central", "b"), "b")
    with pytest.raises(StreamBroken):
        await successor.catch_up()
    assert (successor.last, successor.campaigns) == (0, Campaigns())


async def test_a_term_ends_when_its_fold_is_forgotten_and_the_next_one_goes_on_with_the_new(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central, plan=replace(ANYTIME, concurrency=1))
        await node.runs(central)
        first = await node.edge.order(0)
        memory = node.centrals[central]._memory
        memory._broken(memory.last)  # as when a request's write meets a hole
        await memory.catch_up()
        node.edge.end(first)
        await node.edge.order(1)
        await node.leads(central)
        status = await node.status(central, lambda status: status.done == 1)
        assert status.in_flight == 1


async def test_who_has_led_hears_no_more_of_the_journal(node: Node) -> None:
    async with node.central("central-0") as first:
        await node.leads(first)
        memory = node.centrals[first]._memory
        assert memory.heard is not nobody
        async with node.central("central-1") as second:
            await node.takes(second)
            async with asyncio.timeout(60):
                while memory.heard is not nobody:
                    await asyncio.sleep(0.05)


async def test_two_writers_end_with_the_same_knowledge_whoever_was_late(node: Node) -> None:
    bus = node.edge.bus
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
    at = datetime.now(UTC)
    a = Memory(bus, bus.lease("central", "a"), "a")
    b = Memory(bus, bus.lease("central", "b"), "b")
    for one in (a, b):
        await one.catch_up()
    ada = a.campaigns.campaigns[SPRING].roll.id_of(0)
    name = attempt_id(SPRING, ada, 1)
    mine, theirs = (Attempted(SPRING, ada, name, 1, at, trunk, "form", (), row=0) for trunk in "ab")
    await a.write(mine)
    await b.write(theirs)
    await a.catch_up()
    assert a.campaigns == b.campaigns
    assert b.campaigns.in_flight == {ada: mine}
    assert b.last == 3


async def test_where_a_list_was_lost_nobody_is_dialled_until_an_operator_says_what_it_is(node: Node) -> None:
    async with node.central("central-0") as central:
        await node.leads(central)
        await node.imports(central)
    (node.config.paths.state / FILE).unlink()
    await node.edge.bus._connection.jetstream.delete_stream(f"KV_{Bucket.DNC}")
    async with node.central("central-1") as central:
        await node.leads(central)
        await node.runs(central)
        told = await node.status(central, lambda status: bool(status.held))
        assert (told.held, node.edge.orders) == ("do_not_call_unknown", [])
        await node.operator.ask(central, ChangeDoNotCall((), is_whole=True))
        await node.edge.order(0)
