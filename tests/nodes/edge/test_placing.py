"""Everything a dial needs, or why nobody is dialled; the do-not-call list is looked at last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.call.effects import GetReady
from nodes.call.inputs import NotReady, Ready
from nodes.config_speech import KALDI
from nodes.edge import ears, placing, refusals
from protocols.sip import Disposition, Listening, Local
from protocols.wire.ids import AttemptId, CallId, ChannelId
from protocols.wire.messages import CloseChannel, OpenChannel, PlaceCall, WarmScript
from tests.nodes.edge.surroundings import EDGE, Surroundings, surroundings

ORDER = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ada@127.0.0.1:5062", b"flow: hello")
AT_A_BROWSER = replace(ORDER, target="browser:n1.desk-0:1/phone-7")
ASKED = GetReady(1)


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    async with surroundings(tmp_path, "media-0", "media-1", "speech-0") as made:
        yield made


async def test_a_telephone_is_ready_with_a_hop_an_engine_and_a_port_of_the_first_media_process_that_has_one(
    around: Surroundings,
) -> None:
    around.refusals["media-0", OpenChannel] = "no_port_free"
    ready = await placing.get_ready(around.services, ORDER, ASKED, KALDI)
    assert isinstance(ready, Ready)
    assert (ready.number, ready.media, ready.hop) == (1, "media-1", ("127.0.0.1", 5062))
    assert (ready.local, ready.listening) == (
        Local("127.0.0.1", around.services.trunk.port),
        Listening("127.0.0.1", 40000),
    )
    channel = ready.channel
    assert (channel.channel_id, channel.owner, channel.port) == ("c1", EDGE, 40000)
    other = await placing.get_ready(around.services, ORDER, ASKED, KALDI)
    assert isinstance(other, Ready)
    assert channel.ssrc != other.channel.ssrc, "streams cannot be guessed"
    assert await around.hears(WarmScript) == ("speech-0", WarmScript(ORDER.script))


async def test_a_browser_needs_no_port_and_no_list(tmp_path: Path) -> None:
    async with surroundings(tmp_path, "media-0", "speech-0", is_known=False) as around:
        ready = await placing.get_ready(around.services, AT_A_BROWSER, ASKED, KALDI)
    assert isinstance(ready, Ready)
    assert (ready.media, ready.channel.port, ready.channel.link) == ("media-0", 0, "n1.desk-0:1")
    assert not ready.channel.sends, "a page that still rings hears nothing, whoever tells media what it lacks"


async def test_who_comes_on_the_list_while_a_line_is_opened_is_not_dialled_and_the_line_is_given_back(
    around: Surroundings,
) -> None:
    around.waits[OpenChannel] = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(placing.get_ready(around.services, ORDER, ASKED, KALDI))
        await around.hears(OpenChannel)
        around.lists(ORDER)
        around.waits[OpenChannel].set()
    assert asked.result() == NotReady(1, Disposition.REJECTED, "do_not_call")
    assert await around.hears(CloseChannel) == ("media-0", CloseChannel(ChannelId("c1")))


async def test_nobody_is_dialled_while_the_list_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is for a moment in an edge that goes on with a call that has not been dialled."""
    monkeypatch.setattr(refusals, "KNOWN_S", 0.1)
    async with surroundings(tmp_path, "media-0", "speech-0", is_known=False) as around:
        refused = await placing.get_ready(around.services, ORDER, ASKED, KALDI)
    assert refused == NotReady(1, Disposition.FAILED, "do_not_call_unknown")


@pytest.mark.parametrize(
    ("target", "disposition", "cause"),
    [
        ("sip:ada@192.0.2.1", Disposition.INVALID, "192.0.2.1"),
        ("tel:+12025550100", Disposition.FAILED, "tel:+12025550100"),
    ],
    ids=["an address that calls must not go to", "no host"],
)
async def test_a_callee_who_cannot_be_reached_is_not_dialled(
    around: Surroundings, target: str, disposition: Disposition, cause: str
) -> None:
    refused = await placing.get_ready(around.services, replace(ORDER, target=target), ASKED, KALDI)
    assert isinstance(refused, NotReady)
    assert (refused.number, refused.disposition) == (1, disposition)
    assert cause in refused.cause


@pytest.mark.parametrize("gone", [("speech-0",), ("media-0", "media-1")], ids=["no engine", "no media"])
async def test_without_an_engine_or_a_line_nobody_is_dialled(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    monkeypatch.setattr(ears, "AWAIT_ENGINE_S", 0.05)
    around.follow()
    around.follow(*gone)
    refused = await placing.get_ready(around.services, ORDER, ASKED, KALDI)
    assert isinstance(refused, NotReady)
    assert refused.disposition is Disposition.FAILED
