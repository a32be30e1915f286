"""A call's actors crash in the middle of it: the supervisor resumes them from the record, and at the phone is nothing.

The edge of these journeys runs in the test, with crashes planted in its actors; media, speech and phone are real.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nodes.call.inputs import Input
from nodes.commands.call import new_order
from nodes.config import Paths
from nodes.edge import process
from nodes.edge.call import CallActor
from nodes.edge.calls import Calls
from nodes.edge.ears import Engines
from nodes.edge.refusals import Refusals
from nodes.edge.requests import Requests
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Roster, make_identity
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.machine import Address
from protocols.sip import Credentials
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import EndCall, Heard, PlayEnded, SendDigits
from protocols.wire.subjects import Bucket
from supervisors import Dynamic, Restart, Supervisor, running
from tests.journeys.conftest import TALK
from tests.journeys.following import Followed, Node
from tests.journeys.peers.phone import phones

pytestmark = pytest.mark.usefixtures("begun")
NOBODY = make_identity("n1", "command", "1")


class Planted(Exception):
    """A crash that the test has planted."""


@dataclass
class Plan:
    """What crashes on what: how many more times. A request by its method, a message by its class."""

    left: dict[str | type, int] = field(default_factory=dict)

    def meets(self, what: str | type) -> None:
        """Raise `Planted` if something is planted here."""
        if self.left.get(what, 0) > 0:
            self.left[what] -= 1
            raise Planted(what)


class ClumsyTrunk(Trunk):
    """Fails after the leg has written its record and before anybody has heard of it."""

    plan = Plan()

    def send(self, data: bytes, to: Address) -> None:
        self.plan.meets(data.split(b" ", 1)[0].decode())
        super().send(data, to)

    def credentials(self, trunk: str) -> Credentials | None:
        self.plan.meets("credentials")
        return super().credentials(trunk)


class ClumsyCall(CallActor):
    """Fails before it has taken in what it is told."""

    plan = Plan()

    def take(self, given: Input) -> None:
        self.plan.meets(type(given))
        super().take(given)


class Elsewhere(Paths):
    """The node's own edge has the node's checkpoint."""

    def checkpoint_of(self, edge: str) -> Path:
        return self.run / "clumsy"


@asynccontextmanager
async def clumsy_edge(node: Node, calls: dict[str, Followed]) -> AsyncIterator[Requests]:
    """An edge in this process, a guest of the node; its events go to `calls` at once."""
    config, roster = node.stage.config, node.stage.client.roster()
    mesh = await Mesh.start(make_identity(config.node.id, "edge-clumsy", "1"))
    tasks = Tasks()
    await tasks.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def post(event: CallEvent) -> None:
            calls[event.call_id].take(event)

        key = contact_key(config.paths.state)
        refusals = Refusals(
            DoNotCall(node.bus.kv(Bucket.DNC), KeptList(config.paths.state / FILE, fingerprint(key))),
            key,
            tasks,
        )
        config = replace(config, paths=Elsewhere(config.paths.state))
        services = EdgeServices(
            config, mesh, ClumsyTrunk(config, sock), Engines(mesh, config.paths.prompts), post, refusals
        )
        start = process.one_call(services)
        tree = Supervisor([Dynamic(start, id="calls", max_children=9, restart=Restart.TEMPORARY)])
        async with running(tree) as system:
            edge = Calls(services, system.dynamic("calls", start), Views(node.bus, config.node.id), "nobody", tasks)
            requests = Requests(services, edge)
            edge.serve()
            requests.serve()
            edge.follow(Roster(roster.revision, tuple(peer for peer in roster.processes if peer.role != "edge")))
            edge.activate()
            await edge.wake_all()
            yield requests
            services.is_stopping = True
            services.trunk.close()
    await tasks.close()
    edge.disk.close()
    config.paths.checkpoint.unlink()  # the next begins without calls
    await mesh.close()


async def test_leg_and_call_crash_at_the_worst_moments_and_the_call_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch, measured: Callable[..., None]
) -> None:
    plan = Plan({"ACK": 1, PlayEnded: 1, Heard: 1})
    monkeypatch.setattr(process, "CallActor", ClumsyCall)
    monkeypatch.setattr(ClumsyCall, "plan", plan)
    monkeypatch.setattr(ClumsyTrunk, "plan", plan)
    calls: dict[str, Followed] = {}
    async with clumsy_edge(node, calls) as edge, phones(1) as (phone,):
        call = Followed(new_order(phone.uri, TALK, {}))
        calls[call.order.call_id] = call
        await edge.place(call.order, NOBODY)
        await phone.rings()
        await phone.answer()
        await phone.say("hello")
        await call.event(Kind.PROMPT_ENDED, 2)
        await phone.say("four two seven one")
        await call.event(Kind.PROMPT_STARTED, 3)
        edge.end(EndCall(call.order.call_id), NOBODY)
        ended = await call.ended()
        gap_ms = phone.gap_ms()
    assert not any(plan.left.values()), "all that was planted has gone off"
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("completed", "ordered")
    assert "recording" not in ended.fields, "nobody has said on what basis"
    assert [event.fields["value"] for event in call.all(Kind.SLOT_FILLED)] == ["4271"]
    assert len(call.all(Kind.RECOVERED, what="call")) == 2, "the leg needs no recovery of the talk"
    assert len(call.spoken()) == 3, "nothing was said twice"
    assert len(call.all(Kind.ANSWERED)) == 1
    measured(gap_ms=gap_ms)


async def test_a_call_that_crashes_for_ever_is_hung_up_and_says_so(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CallActor", ClumsyCall)
    monkeypatch.setattr(ClumsyCall, "plan", Plan({PlayEnded: 1000}))
    calls: dict[str, Followed] = {}
    async with clumsy_edge(node, calls) as edge, phones(1) as (phone,):
        call = Followed(new_order(phone.uri, TALK, {}, is_recorded=True))
        calls[call.order.call_id] = call
        await edge.place(call.order, NOBODY)
        await phone.rings()
        await phone.answer()
        await phone.say("hello")
        assert (await phone.has_ended()).cause == "remote_hangup", "nobody is left listening to nothing"
        ended = await call.ended()
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "crashed")
    assert "recording" in ended.fields
    assert edge.status(None, NOBODY).figures["calls"] == 0


@pytest.mark.parametrize("n_deaths", [1, 1000])
async def test_a_leg_that_dies_of_its_order_ends_the_call_as_invalid_and_its_channel_is_closed(
    node: Node, monkeypatch: pytest.MonkeyPatch, n_deaths: int
) -> None:
    """Shared case: a caller id with a line end killed the leg, and call, channel and at last the node stood still."""
    monkeypatch.setattr(ClumsyTrunk, "plan", Plan({"credentials": n_deaths}))
    calls: dict[str, Followed] = {}
    async with clumsy_edge(node, calls) as edge, phones(1) as (phone,):
        call = Followed(new_order(phone.uri, TALK, {}))
        calls[call.order.call_id] = call
        await edge.place(call.order, NOBODY)
        ended = await call.ended()
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("invalid", "leg_crashed")
    assert edge.status(None, NOBODY).figures["calls"] == 0
    with pytest.raises(Refused, match="no_such_channel"):
        await node.stage.client.mesh.ask(node.active("media").identity, SendDigits(ChannelId(call.order.call_id), "1"))


async def test_an_order_that_cannot_live_is_refused_before_anything_is_opened(node: Node) -> None:
    """Shared case telephony/cid."""
    calls: dict[str, Followed] = {}
    async with clumsy_edge(node, calls) as edge:
        with pytest.raises(Refused, match="bad_caller_id: has a character that cannot be printed"):
            await edge.place(replace(new_order("sip:a@127.0.0.1", TALK, {}), caller_id="sip:a@b\r\nX-Evil: 1"), NOBODY)
        assert edge.status(None, NOBODY).figures["calls"] == 0


@pytest.mark.parametrize("caller_id", ["+12025550100", "anonymous", '"Acme, Inc." <sip:+12025550100@carrier.example>'])
async def test_a_caller_id_as_people_write_it_is_heard_and_answered(node: Node, caller_id: str) -> None:
    """Shared case telephony/cid."""
    calls: dict[str, Followed] = {}
    async with clumsy_edge(node, calls) as edge, phones(1) as (phone,):
        call = Followed(replace(new_order(phone.uri, TALK, {}), caller_id=caller_id))
        calls[call.order.call_id] = call
        await edge.place(call.order, NOBODY)
        await phone.rings()
        await phone.answer()
        await call.event(Kind.PROMPT_STARTED)
        edge.end(EndCall(call.order.call_id), NOBODY)
        ended = await call.ended()
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("completed", "ordered")


async def test_an_edge_that_is_told_to_stop_leaves_nobody_listening_to_nothing(node: Node) -> None:
    calls: dict[str, Followed] = {}
    async with phones(1) as (phone,):
        async with clumsy_edge(node, calls) as edge:
            call = Followed(new_order(phone.uri, TALK, {}))
            calls[call.order.call_id] = call
            await edge.place(call.order, NOBODY)
            await phone.rings()
            await phone.answer()
            await call.event(Kind.ANSWERED)
        assert (await phone.has_ended()).cause == "remote_hangup"
        ended = await call.ended()
    assert (ended.fields["disposition"], ended.fields["cause"]) == ("failed", "edge_stopped")
