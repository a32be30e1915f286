"""The messages of the contract, over a real mesh."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.links.errors import Refused
from nodes.links.roster import Peer, Roster, State
from nodes.media.process import Served
from nodes.mesh.mesh import Mesh
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity

EDGE, MEDIA, CHANNEL = Identity("n1.edge-0:1"), Identity("n1.media-0:1"), ChannelId("c")


@pytest.fixture
async def edge(rig, tmp_path: Path) -> AsyncIterator[Mesh]:
    """An edge's mesh; the other end is a media process without the process."""
    edge, media = [await Mesh.start(identity, f"ipc://{tmp_path}/{identity}") for identity in (EDGE, MEDIA)]
    rig.plane._send = media.tell
    peers = [("edge", edge), ("media", media)]
    processes = [Peer(role, f"{role}-0", mesh.identity, mesh.endpoint, 1, State.ACTIVE) for role, mesh in peers]
    roster = Roster(1, tuple(processes))
    Served(rig.plane, media, is_realtime=False)
    edge.roster(roster)
    media.roster(roster)
    yield edge
    await edge.close()
    await media.close()


async def test_a_channel_is_opened_set_used_and_closed(edge: Mesh, rig, fars) -> None:
    told: list[object] = []
    edge.serve(wire.AudioArrived, lambda message, sender: told.append(message))
    opened = await edge.ask(MEDIA, wire.OpenChannel(CHANNEL, EDGE))
    far = next(far for far in fars if far.near[1] == opened.port)
    assert await edge.ask(MEDIA, wire.SetChannel(rig.channel(far))) == wire.Done()
    assert await edge.ask(MEDIA, wire.SendDigits(CHANNEL, "1")) == wire.Done()
    rig.converse(far, [bytes(160)] * 3)
    status = await edge.ask(MEDIA, wire.GetStatus())
    assert (status.role, status.figures["channels"], status.figures["sent"]) == ("media", 1, 3)
    closed = await edge.ask(MEDIA, wire.CloseChannel(CHANNEL))
    assert (closed.sent, closed.received) == (3, 3)
    assert [type(message) for message in told] == [wire.AudioArrived]


async def test_what_is_refused_arrives_as_its_reason(edge: Mesh, rig) -> None:
    for name in "abc":
        await edge.ask(MEDIA, wire.OpenChannel(ChannelId(name), EDGE))
    with pytest.raises(Refused, match="no_port_free"):
        await edge.ask(MEDIA, wire.OpenChannel(ChannelId("d"), EDGE))
    with pytest.raises(Refused, match="no_such_channel"):
        await edge.ask(MEDIA, wire.SendDigits(ChannelId("d"), "1"))
    assert await edge.ask(MEDIA, wire.CloseChannel(ChannelId("d"))) == wire.ChannelClosed(0, 0, 0, 0, 0.0)
