"""An edge of real parts: each call is known as long as it lasts, is counted once when it is over, and rings nobody who
must not be called, whenever that was said.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import grammars
from grammars import load
from grammars.script_pack import pack
from nodes.bus import bus
from nodes.bus.bus import Bus
from nodes.call.record import CallPhase, CallRecord
from nodes.config import parse
from nodes.edge import placing, process
from nodes.edge.calls import Calls
from nodes.edge.ears import Engines
from nodes.edge.refusals import Refusals
from nodes.edge.requests import Requests
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.kept_list import FILE, KeptList
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.sip import Dial, Disposition, HangUp, Listening, Local, Uac
from protocols.wire.campaigns import contact_id
from protocols.wire.do_not_call import Listing
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity, NodeId
from protocols.wire.load import GivesUp
from protocols.wire.messages import Channel, GetStatus, PlaceCall
from protocols.wire.reconcile import FindCalls
from protocols.wire.subjects import Bucket
from supervisors import Dynamic, Restart, Supervisor, running

KEY, EDGE, DESK = bytes(32), Identity("n1.edge-0:1"), Identity("n1.desk-0:1")
CENTRAL = Identity("n1.central-0:1")
HELLO = pack(load((Path(grammars.__file__).parent / "scripts/hello.yaml").read_text()))
LISTED = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@127.0.0.1", HELLO)
"""To somebody who must not be called: it is over before anybody is dialled."""


@dataclass
class Rig:
    """One active edge, and the events that it has told."""

    calls: Calls
    requests: Requests
    events: list[CallEvent]
    services: EdgeServices
    listed: DoNotCall

    async def ended(self, n: int) -> CallEvent:
        """Return the last end when so many calls have told theirs."""
        async with asyncio.timeout(60):
            while len(ends := [one for one in self.events if one.kind is Kind.ENDED]) < n:
                await asyncio.sleep(0.01)
        return ends[-1]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)  # there is no NATS


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    say_who_is_listed(tmp_path)
    async with an_edge(tmp_path) as rig:
        yield rig


def say_who_is_listed(state: Path) -> None:
    ada = Listing(contact_id(LISTED.target, KEY), True, "callee", "stop", "2026-01-01T00:00:00+00:00")
    KeptList(state / FILE, "").add([ada], is_whole=True)


@asynccontextmanager
async def an_edge(tmp_path: Path, *, wakes: bool = True) -> AsyncIterator[Rig]:
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    nowhere = await Bus.connect("nats://127.0.0.1:1", name="edge-0", node_id=NodeId("n1"))
    mesh = await Mesh.start(EDGE, f"ipc://{tmp_path}/edge")
    events: list[CallEvent] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        async with Tasks() as tasks:
            listed = DoNotCall(nowhere.kv(Bucket.DNC), KeptList(tmp_path / FILE, ""))
            refusals = Refusals(listed, KEY, tasks)
            services = EdgeServices(
                config, mesh, Trunk(config, sock), Engines(mesh, config.paths.prompts), events.append, refusals
            )
            start = process.one_call(services)
            tree = Supervisor([Dynamic(start, id="calls", max_children=9, restart=Restart.TEMPORARY)])
            async with running(tree) as system:
                calls = Calls(services, system.dynamic("calls", start), Views(nowhere, NodeId("n1")), "nobody", tasks)
                requests = Requests(services, calls)
                calls.serve()
                requests.serve()
                calls.activate()
                if wakes:
                    await calls.wake_all()
                yield Rig(calls, requests, events, services, listed)
                services.is_stopping = True
                services.trunk.close()
    await mesh.close()
    await nowhere.close()


async def test_a_call_that_is_over_is_counted_once_however_often_it_is_written_after(rig: Rig) -> None:
    """The capacity learns from it how fast calls come and go."""
    for n in range(3):
        await rig.requests.place(replace(LISTED, attempt_id=AttemptId(f"a{n}"), call_id=CallId(f"c{n}")), DESK)
    await rig.ended(3)
    assert rig.calls.load.n_over == 3


async def test_who_comes_on_the_list_while_everything_is_made_ready_is_not_rung(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, engines and a channel take up to half a minute, and what is told to the call waits behind them."""

    async def slowly(*_: object) -> None:
        rig.listed.hold(rig.listed.entry(contact_id("+12025550100", KEY), "operator", ""))

    async def a_line(*_: object) -> tuple[str, Channel]:
        return "media-0", Channel(ChannelId("c"), EDGE, 40000, 1, 2, 3, born_s=0.0)

    monkeypatch.setattr(rig.services.engines, "warm", slowly)
    monkeypatch.setattr(placing, "open_channel", a_line)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as eve:
        eve.bind(("127.0.0.1", 0))
        eve.setblocking(False)
        await rig.requests.place(replace(LISTED, target=f"sip:+12025550100@127.0.0.1:{eve.getsockname()[1]}"), DESK)
        told = await rig.ended(1)
        assert (told.fields["disposition"], told.fields["cause"]) == ("rejected", "do_not_call")
        with pytest.raises(BlockingIOError):
            eve.recv(1)


@pytest.mark.parametrize(("is_told", "cause"), [(True, "do_not_call"), (False, "do_not_call_unknown")])
async def test_a_call_that_is_gone_on_with_before_the_list_is_known_waits_for_it(
    is_told: bool, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edge that starts again has its calls at once, and the list a moment later; or it does not have it at all."""
    monkeypatch.setattr("nodes.edge.refusals.KNOWN_S", 10.0 if is_told else 0.2)
    async with an_edge(tmp_path) as rig:
        store = rig.calls.keep(CallRecord(LISTED, revision=3))
        await rig.calls.go_on(store)
        if is_told:
            say_who_is_listed(tmp_path)
        assert (await rig.ended(1)).fields["cause"] == cause


async def test_no_telephone_hears_of_a_call_that_is_not_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on with it must be able to end it, whoever dies in that moment: its INVITE is the last to leave."""

    async def nothing(*_: object) -> None: ...

    async def a_line(*_: object) -> tuple[str, Channel]:
        return "media-0", Channel(ChannelId("c"), EDGE, 40000, 1, 2, 3, born_s=0.0)

    monkeypatch.setattr("nodes.edge.disk.FLUSH_S", 60.0)
    monkeypatch.setattr(placing, "open_channel", a_line)
    KeptList(tmp_path / FILE, "").add([], is_whole=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as eve:
        eve.bind(("127.0.0.1", 0))
        eve.setblocking(False)
        async with an_edge(tmp_path) as rig:
            monkeypatch.setattr(rig.services.engines, "warm", nothing)
            await rig.requests.place(replace(LISTED, target=f"sip:eve@127.0.0.1:{eve.getsockname()[1]}"), DESK)
            async with asyncio.timeout(60):
                invite = await asyncio.get_running_loop().sock_recv(eve, 65535)
            found = rig.calls.disk.read()
            assert found
            (left,) = found.standby.take()
            assert left.leg
            assert left.leg.invite
            assert left.leg.invite.data == invite


async def test_who_came_on_the_list_when_nobody_had_the_call_is_rung_no_longer(rig: Rig) -> None:
    await rig.services.refusals.are_known()
    local = Local("127.0.0.1", rig.services.trunk.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ada:
        ada.bind(("127.0.0.1", 0))
        order = replace(LISTED, target=f"sip:ada@127.0.0.1:{ada.getsockname()[1]}")
        uac = Uac(local, os.urandom, None)
        uac.step(Dial(order.target, "sip:us@127.0.0.1", Listening("127.0.0.1", 40000), ada.getsockname()), 0.0)
        rig.listed.hold(rig.listed.entry(contact_id(order.target, KEY), "operator", ""))
        store = rig.calls.keep(CallRecord(order, CallPhase.RINGING, revision=3, leg=uac.record))
        await rig.calls.go_on(store)
        async with asyncio.timeout(60):
            while store.record.ending is None:
                await asyncio.sleep(0.01)
        assert store.record.ending == HangUp(Disposition.REJECTED, "do_not_call")


async def test_while_events_pile_up_no_new_call_is_taken_and_one_that_is_there_is_still_known(rig: Rig) -> None:
    await rig.requests.place(LISTED, DESK)
    rig.services.fills_up = lambda: True
    with pytest.raises(Refused, match="spool_full"):
        await rig.requests.place(replace(LISTED, attempt_id=AttemptId("a2"), call_id=CallId("c2")), DESK)
    assert (await rig.requests.place(LISTED, DESK)).duplicate
    assert rig.requests.status(GetStatus(), DESK).figures["room"] == 0.0


async def test_an_edge_gives_up_what_its_operator_lets_it(rig: Rig, tmp_path: Path) -> None:
    rig.services.given_up = lambda: GivesUp.CALLS
    assert rig.services.gives_up(GivesUp.TRANSCRIPTS)
    assert rig.services.recording(LISTED) == ""
    rig.services.config = parse('[paths]\nstate = "."\n[edge]\ngives_up = ["transcripts"]', "test", tmp_path)
    assert rig.services.gives_up(GivesUp.TRANSCRIPTS)
    assert rig.services.recording(LISTED) != ""


async def test_recordings_of_an_owner_lie_apart_until_their_quota_is_used_up(rig: Rig, tmp_path: Path) -> None:
    rig.services.config = parse('[paths]\nstate = "."\n[owners.acme]\n[owners.b]\ndirectory = "x"', "test", tmp_path)
    orders = {name: replace(LISTED, owner=name, call_id=CallId("c1")) for name in ("", "acme", "b", "nobody")}
    made = {name: rig.services.recording(order, 2) for name, order in orders.items()}
    assert made == {
        "": f"{tmp_path}/recordings/c1.2", "acme": f"{tmp_path}/recordings/acme/c1.2", "b": f"{tmp_path}/x/c1.2",
        "nobody": "",
    }  # fmt: skip
    rig.services.full_owners = frozenset({"acme"})
    assert [rig.services.recording(orders[name]) != "" for name in ("", "acme", "b")] == [True, False, True]


async def test_what_a_later_central_was_told_is_not_here_is_not_taken_from_an_earlier_one(rig: Rig) -> None:
    """An order of somebody who was paused while another took the lease, asked, heard no, and dialled again."""
    late, again = replace(LISTED, token=6), replace(LISTED, attempt_id=AttemptId("a2"), call_id=CallId("c2"), token=7)
    found = rig.requests.find_calls(FindCalls((late.call_id,), token=7), CENTRAL)
    assert (found.held, found.over) == ((), ())
    await rig.requests.place(again, CENTRAL)
    for token in (6, -1):
        with pytest.raises(Refused, match="not_leading"):
            await rig.requests.place(replace(late, token=token), CENTRAL)
    assert not (await rig.requests.place(LISTED, DESK)).duplicate, "a single call is no central's"
