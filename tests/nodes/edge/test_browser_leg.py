"""A callee at a browser: the leg tells its call what a telephone's would, and the desk what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.call.effects import TakeOverLeg
from nodes.call.placing import NOWHERE
from nodes.call.record import CallRecord
from nodes.edge.browser import BrowserLeg
from nodes.edge.leg import Leg
from nodes.edge.record_store import RecordStore
from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.sip import (
    Answered,
    Dial,
    Disposition,
    Ended,
    HangUp,
    Listening,
    Local,
    MediaChanged,
    OfferRefused,
    Ringing,
    Side,
)  # fmt: skip
from protocols.wire import desk as wire
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity
from protocols.wire.messages import Done, PlaceCall
from supervisors import Child, Ref, Restart, Supervisor, running

EDGE, DESK = Identity("n1.edge-0:1"), Identity("n1.desk-0:1")
CALL, SEAT = CallId("c1"), "phone-7"
HERE = TakeOverLeg(Local("127.0.0.1", 0), Listening("", 0))


class Rig:
    """One leg, its call's ear, and a desk that writes down what it is told."""

    def __init__(self, edge: Mesh, desk: Mesh) -> None:
        self.edge = edge
        self.told: asyncio.Queue[object] = asyncio.Queue()
        self.events: asyncio.Queue[object] = asyncio.Queue()
        self.has_seat = True
        for kind in (wire.OfferCall, wire.ReleaseSeat):
            desk.serve(kind, lambda message, sender: self.told.put_nowait(message))
        desk.serve(wire.KeepSeat, self.keep)
        peers = [Peer(role, role, mesh.identity, mesh.endpoint, 1, State.ACTIVE)
                 for role, mesh in (("edge", edge), ("desk", desk))]  # fmt: skip
        edge.roster(Roster(1, tuple(peers)))
        desk.roster(Roster(1, tuple(peers)))

    def keep(self, message: wire.KeepSeat, sender: Identity) -> Done:
        if not self.has_seat:
            raise Refused("not_yours")
        self.told.put_nowait(message)
        return Done()

    @asynccontextmanager
    async def leg(self, browser: str = "") -> AsyncIterator[tuple[Ref[Leg], RecordStore]]:
        """A leg, or the next life of one whose record says that its phase is `browser`."""
        order = PlaceCall(AttemptId("a1"), CALL, f"browser:{DESK}/{SEAT}", b"", ring_s=30.0)
        store = RecordStore(CallRecord(order, browser=browser), lambda store: None)
        store.happened = self.events.put_nowait
        child = Child(lambda: BrowserLeg(store, self.edge), id="leg", restart=Restart.TRANSIENT)
        async with running(Supervisor([child])) as system:
            yield system.ref("leg", Leg), store

    async def dial(self, leg: Ref[Leg], ring_s: float = 30.0) -> None:
        hop = ("127.0.0.1", 0)
        leg.tell(Leg.dial, Local(*hop), Dial("browser:", "sip:us@x", Listening(*hop), hop, ring_s))
        assert await self.hears() == wire.OfferCall(CALL, SEAT, ChannelId(CALL))
        assert await self.happens() == Ringing()

    async def hears(self) -> object:
        async with asyncio.timeout(60):
            return await self.told.get()

    async def happens(self) -> object:
        async with asyncio.timeout(60):
            return await self.events.get()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A leg's surroundings."""
    meshes = [await Mesh.start(identity, f"ipc://{tmp_path}/{identity}") for identity in (EDGE, DESK)]
    yield Rig(*meshes)
    for mesh in meshes:
        await mesh.close()


def news(kind: type[wire.SeatNews]) -> wire.SeatNews:
    return kind(CALL, SEAT)


async def test_it_rings_and_is_answered(rig: Rig) -> None:
    async with rig.leg() as (leg, store):
        await rig.dial(leg)
        store.seats[SEAT](news(wire.SeatAccepted))
        assert isinstance(await rig.happens(), Answered)
        assert store.record.browser == "confirmed"


@pytest.mark.parametrize(
    ("answered", "kind", "ended"),
    [
        (False, wire.SeatDeclined, Ended(Disposition.BUSY, "busy", Side.THEM)),
        (False, wire.SeatLost, Ended(Disposition.NO_ANSWER, "browser_gone", Side.THEM)),
        (True, wire.SeatFinished, Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)),
        (True, wire.SeatLost, Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)),
    ],
)
async def test_it_ends_as_a_telephone_would(rig: Rig, answered: bool, kind: type[wire.SeatNews], ended: Ended) -> None:
    async with rig.leg() as (leg, store):
        await rig.dial(leg)
        if answered:
            store.seats[SEAT](news(wire.SeatAccepted))
            await rig.happens()
        store.seats[SEAT](news(kind))
        assert await rig.happens() == ended


async def test_it_does_not_ring_for_ever(rig: Rig) -> None:
    async with rig.leg() as (leg, _):
        await rig.dial(leg, ring_s=0.02)
        assert await rig.happens() == Ended(Disposition.NO_ANSWER, "ring_limit", Side.US)
        assert await rig.hears() == wire.ReleaseSeat(CALL, SEAT)


async def test_we_hang_up(rig: Rig) -> None:
    async with rig.leg() as (leg, store):
        await rig.dial(leg)
        store.seats[SEAT](news(wire.SeatAccepted))
        await rig.happens()
        leg.tell(Leg.hang_up, HangUp(Disposition.COMPLETED, "script"))
        assert await rig.happens() == Ended(Disposition.COMPLETED, "script", Side.US)
        assert await rig.hears() == wire.ReleaseSeat(CALL, SEAT)


async def test_without_its_desk_nobody_is_called(rig: Rig) -> None:
    rig.edge.roster(Roster(2, ()))
    async with rig.leg() as (leg, _):
        hop = ("127.0.0.1", 0)
        leg.tell(Leg.dial, Local(*hop), Dial("browser:", "sip:us@x", Listening(*hop), hop))
        assert await rig.happens() == Ended(Disposition.FAILED, "no_desk", Side.NOBODY)


async def test_the_next_life_goes_on_with_a_browser_that_is_still_there(rig: Rig) -> None:
    async with rig.leg("inviting") as (_, store):
        assert await rig.hears() == wire.KeepSeat(CALL, SEAT)
        store.seats[SEAT](news(wire.SeatAccepted))
        assert isinstance(await rig.happens(), Answered)


async def test_a_desk_is_asked_to_let_a_call_be_another_machines_as_a_telephone_would_be(rig: Rig) -> None:
    async with rig.leg("confirmed") as (leg, store):
        assert await rig.hears() == wire.KeepSeat(CALL, SEAT)
        leg.tell(Leg.take_over, HERE)
        assert await rig.hears() == wire.KeepSeat(CALL, SEAT)
        assert await rig.happens() == MediaChanged(NOWHERE)
        rig.has_seat = False
        leg.tell(Leg.take_over, replace(HERE, is_planned=True))
        assert await rig.happens() == OfferRefused(0)
        assert store.record.browser == "confirmed"
        leg.tell(Leg.take_over, HERE)
        assert await rig.happens() == Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)


async def test_a_leg_that_goes_on_elsewhere_ends_without_a_word(rig: Rig) -> None:
    async with rig.leg("confirmed") as (leg, _):
        assert await rig.hears() == wire.KeepSeat(CALL, SEAT)
        leg.tell(Leg.let_go)
        async with asyncio.timeout(60):
            while leg.is_alive:
                await asyncio.sleep(0)
        assert rig.told.empty()


async def test_the_next_life_ends_with_a_browser_that_is_gone(rig: Rig) -> None:
    rig.has_seat = False
    async with rig.leg("confirmed"):
        assert await rig.happens() == Ended(Disposition.COMPLETED, "remote_hangup", Side.THEM)
