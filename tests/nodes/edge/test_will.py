"""A call that nobody can go on with: what its record holds may kill its will, and costs neither port nor last event."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from grammars.conversation_state import Enqueue
from nodes.call.effects import GiveBack
from nodes.call.record import Arrival, CallPhase, CallRecord, Handed, Over
from nodes.config import parse
from nodes.edge.ears import Engines
from nodes.edge.record_store import RecordStore
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.edge.will import Will, give_back
from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from protocols.errors import RemoteProtocolError
from protocols.sip import LegPhase, Listening, Local
from protocols.wire.desk import ReleaseSeat
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Channel, ChannelClosed, CloseChannel
from tests.nodes.edge.records import leg, record
from tests.nodes.edge.surroundings import surroundings

EDGE, MEDIA = Identity("n1.edge-0:1"), Identity("n1.media-0:1")


@dataclass
class Rig:
    """An edge's services, and a media process that notes which channels are closed."""

    services: EdgeServices
    events: list[CallEvent] = field(default_factory=list)
    closed: list[ChannelId] = field(default_factory=list)

    async def carry_out(self, call: CallRecord, is_dialling: bool = False) -> CallEvent:
        store = RecordStore(call, lambda store: None)
        store.is_dialling = is_dialling
        try:
            await Will(store, self.services).carry_out()
        finally:
            assert store.record.phase is CallPhase.DONE
        return self.events[-1]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    mesh, media = await Mesh.start(EDGE, f"ipc://{tmp_path}/edge"), await Mesh.start(MEDIA, f"ipc://{tmp_path}/media")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        services = EdgeServices(
            config,
            mesh,
            Trunk(config, sock),
            Engines(mesh, config.paths.prompts),
            lambda event: made.events.append(event),
            None,
        )  # type: ignore[arg-type]
        made = Rig(services)

        def close(order: CloseChannel, sender: Identity) -> ChannelClosed:
            made.closed.append(order.channel_id)
            return ChannelClosed(1, 1, 0, 0, 0.0)

        media.serve(CloseChannel, close)
        peers = (Peer("media", "media-0", MEDIA, media.endpoint, 1, State.ACTIVE),)
        services.roster = Roster(1, peers)
        mesh.roster(services.roster)
        yield made
    await mesh.close()
    await media.close()


def with_channel(**fields: object) -> CallRecord:
    channel = Channel(ChannelId("c1"), EDGE, 40000, 1, 2, 3, born_s=0.0)
    return record(media="media-0", channel=channel, **fields)


async def test_a_record_that_kills_the_will_costs_neither_the_port_nor_the_last_event(rig: Rig) -> None:
    sound = leg()
    poisoned = replace(sound, dialog=replace(sound.dialog, remote_target="no uri"))
    with pytest.raises(RemoteProtocolError):
        await rig.carry_out(with_channel(leg=poisoned))
    (event,) = rig.events
    assert (event.kind, event.fields["disposition"], event.fields["cause"]) == (Kind.ENDED, "failed", "crashed")
    assert rig.closed == ["c1"]


async def test_a_call_whose_leg_died_of_its_order_is_invalid_and_so_not_dialled_again(rig: Rig) -> None:
    event = await rig.carry_out(with_channel(leg=None, phase=CallPhase.PLACING, answered_s=0.0), is_dialling=True)
    assert (event.fields["disposition"], event.fields["cause"]) == ("invalid", "leg_crashed")
    assert rig.closed == ["c1"]


async def test_a_call_that_was_over_has_ended_as_it_had_whatever_became_of_it_after(rig: Rig) -> None:
    """One disposition: what a campaign does next must not depend on who says the last event."""
    over = Over("busy", "busy", at_s=52.5, code=486, q850=17, by="them")
    event = await rig.carry_out(
        with_channel(leg=leg(LegPhase.ENDED), phase=CallPhase.ENDING, over=over, n_events=6, epoch=2)
    )
    assert (event.event_id, event.seq) == ("c1:ended", 7)
    told = {name: event.fields[name] for name in ("disposition", "cause", "code", "q850", "by", "duration_s")}
    expected = {"disposition": "busy", "cause": "busy", "code": 486, "q850": 17, "by": "them", "duration_s": 12.5}
    assert told == expected
    assert rig.closed == ["c1"]


async def test_a_call_that_nobody_can_go_on_with_gives_its_seats_back(tmp_path: Path) -> None:
    desk = Identity("n1.desk-0:1")
    async with surroundings(tmp_path, "desk-0", "media-0") as around:
        call = with_channel(handover=Handed(Enqueue("service", "asked", "high"), desk, "ann"))
        give_back(around.services, replace(call, order=replace(call.order, target=f"browser:{desk}/phone-7")))
        released = {(await around.hears(ReleaseSeat))[1].seat for _ in range(2)}
        assert released == {"ann", "phone-7"}
        give_back(around.services, call)
        assert await around.hears(CloseChannel) == ("media-0", CloseChannel(ChannelId("c1-agent")))


async def test_a_call_that_another_machine_has_still_is_given_back_to_it_and_not_ended(rig: Rig) -> None:
    said: list[object] = []
    rig.services.moving = lambda call_id, word: said.append(word)
    arrival = Arrival(9.0, Local("h", 1), Listening("h", 2), is_planned=True)
    store = RecordStore(replace(record(phase=CallPhase.CONVERSING), leg=leg(), arrival=arrival), lambda store: None)
    await Will(store, rig.services).carry_out()
    assert said == [GiveBack(0)]
    assert (store.record.phase, rig.events) == (CallPhase.MOVED, [])
