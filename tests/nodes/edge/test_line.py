"""What is wanted of a call's channels is told to whoever has the sockets now, and to who would play on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.call.inputs import RosterChanged
from nodes.edge import line
from nodes.links.roster import NOBODY, State
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Channel, CloseChannel, SetChannel
from tests.nodes.edge.surroundings import CLOSED, EDGE, Surroundings, surroundings

MEDIA, NAME = Identity("n1.media-0:1"), ChannelId("c")
DESKS = frozenset({Identity("n2.desk-0:1")})
WANTED = Channel(NAME, EDGE, 40000, ssrc=1, seq0=0, ts0=0, born_s=0.0)


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    async with surroundings(tmp_path, "media-0", "media-1", "media-0s", "speech-0", "desk-0") as made:
        yield made


async def test_what_is_wanted_is_told_to_who_has_the_sockets_and_to_its_spares(around: Surroundings) -> None:
    line.set_channel(around.services, "media-0", WANTED, to_spares=True)
    told = {await around.hears(SetChannel) for _ in range(2)}
    assert told == {("media-0", SetChannel(WANTED)), ("media-0s", SetChannel(WANTED))}
    line.set_channel(around.services, "media-0", WANTED, to_spares=False)
    line.unlink(around.services, "media-0", NAME)
    async with asyncio.timeout(60):
        then = [await around.told.get() for _ in range(3)]  # in its order at each, and in none between two
    assert [one for who, one in then if who == "media-0"] == [SetChannel(WANTED), CloseChannel(NAME)]
    assert [one for who, one in then if who == "media-0s"] == [CloseChannel(NAME)]
    assert around.told.empty(), "the spare is told of the agent's side when it takes over"


async def test_a_port_is_given_back_and_what_was_carried_is_said_as_far_as_anybody_knows(around: Surroundings) -> None:
    assert await line.close_channel(around.services, "media-0", NAME) == CLOSED
    assert {(await around.hears(CloseChannel))[0] for _ in range(2)} == {"media-0", "media-0s"}
    around.follow("media-0", spares=("media-0s",))
    assert await line.close_channel(around.services, "media-0", NAME) == line.NOTHING_CARRIED


async def test_a_call_is_told_whether_its_media_process_is_another_or_has_another_spare(around: Surroundings) -> None:
    before, speech = around.services.roster, EDGE.replace("edge", "speech")
    assert line.changed(before, before, "media-0", DESKS) == RosterChanged(frozenset({speech}), DESKS)
    after = around.follow("media-0", "speech-0", "desk-0")
    assert line.changed(before, after, "media-0", DESKS) == RosterChanged(frozenset(), DESKS, True, True)
    assert line.changed(before, after, "media-1", DESKS) == RosterChanged(frozenset(), DESKS)


def test_one_that_has_died_and_has_no_successor_yet_is_no_other(around: Surroundings) -> None:
    before = around.services.roster
    spares = [peer for peer in before.processes if peer.state is State.SPARE]
    orphaned = replace(before, processes=tuple(peer for peer in before.processes if peer.identity != MEDIA))
    without = replace(before, processes=tuple(peer for peer in before.processes if peer not in spares))
    assert not line.changed(before, orphaned, "media-0", DESKS).is_media_other
    assert line.changed(orphaned, before, "media-0", DESKS).is_media_new
    gone = line.changed(before, without, "media-0", DESKS)
    assert (gone.is_media_new, gone.is_media_other) == (False, True)
    assert line.serving(NOBODY, "media-0") == ""
