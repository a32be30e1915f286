"""A call's side of its channel: what it keeps of the far end, so that the next media process need not find it out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.call.record import CallRecord
from nodes.edge.keeper import Keeper
from nodes.edge.line import Line
from nodes.edge.seats import is_known
from nodes.links.mesh import Mesh
from protocols.sip import Media
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity
from protocols.wire.messages import AudioArrived, Channel, PlaceCall

SDP, MOVED, NAT = ("192.0.2.1", 4000), ("192.0.2.1", 4002), ("198.51.100.7", 61000)
NAME = ChannelId("c")


def media(address: tuple[str, int]) -> Media:
    return Media(*address, payload_type=0, dtmf_type=101, sends=True, hears=True)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    mesh = await Mesh.start(Identity("n1.edge-0:1"), f"ipc://{tmp_path}/edge")
    record = CallRecord(PlaceCall(AttemptId("c"), CallId("c"), "sip:x@192.0.2.1", ""))
    keeper = Keeper(record, lambda keeper: None)
    keeper.write(channel=Channel(NAME, mesh.identity, 40000, ssrc=1, seq0=0, ts0=0, born_s=0.0))
    yield Line(keeper, mesh)
    await mesh.close()


async def test_the_source_that_media_has_found_is_part_of_the_wanted_state(line: Line) -> None:
    line.agree(media(SDP), now=5.0)
    line.arrived(AudioArrived(NAME, 5.5, NAT, SDP))
    assert line.channel is not None
    assert (line.channel.source, line.channel.agreed_s) == (NAT, 5.0)


async def test_who_was_told_an_older_state_or_none_lacks_the_call_and_nothing_changed_is_nothing_new(
    line: Line,
) -> None:
    line.agree(media(SDP), now=5.0)
    assert line.channel is not None
    known = {NAME: line.channel.revision}
    line.want(sends=line.channel.sends)
    assert is_known(line._keeper.record, known, is_spare=True)
    line.play((), now=6.0)
    assert not is_known(line._keeper.record, known, is_spare=True)
    assert not is_known(line._keeper.record, {}, is_spare=True)


async def test_the_same_address_said_again_leaves_the_source_and_another_one_forgets_it(line: Line) -> None:
    line.agree(media(SDP), now=5.0)
    line.arrived(AudioArrived(NAME, 5.5, NAT, SDP))
    line.agree(media(SDP), now=9.0)
    assert line.channel is not None
    assert line.channel.source == NAT
    line.agree(media(MOVED), now=9.5)
    assert line.channel.source is None


async def test_a_source_that_was_found_for_an_earlier_address_is_not_believed_for_the_new_one(line: Line) -> None:
    line.agree(media(MOVED), now=5.0)
    line.arrived(AudioArrived(NAME, 5.5, NAT, SDP))
    assert line.channel is not None
    assert line.channel.source is None
