"""Stand-ins for media, speech and telephones: the same messages in the same order, with time in the place of sound."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.links.roster import Peer, Roster, State
from nodes.mesh.mesh import Mesh
from nodes.rehearsal.scripted.media import ScriptedMedia
from nodes.rehearsal.scripted.pace import Pace
from nodes.rehearsal.scripted.phones import Phones
from nodes.rehearsal.scripted.speech import ScriptedSpeech
from protocols.machine import Transmit
from protocols.sip import Answered, Dial, Ended, HangUp, LegPhase, Listening, Local, Received, Uac
from protocols.sip.message import parse
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity, PromptHash, ScriptHash

PACE = Pace(0.05, 0.01, 0.01)
EDGE, MEDIA, SPEECH = (Identity(f"n1.{name}:1") for name in ("edge-0", "media-0", "speech-0"))
CHANNEL = wire.Channel(ChannelId("c1"), EDGE, 4000, 1, 1, 1, 0.0, remote_host="127.0.0.1", remote_port=5004)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Mesh]:
    meshes = [await Mesh.start(who, f"ipc://{tmp_path}/{who}") for who in (EDGE, MEDIA, SPEECH)]
    roles = ("edge", "media", "speech")
    peers = tuple(
        Peer(role, f"{role}-0", one.identity, one.endpoint, os.getpid(), State.ACTIVE)
        for role, one in zip(roles, meshes, strict=True)
    )
    for mesh in meshes:
        mesh.roster(Roster(1, peers))
    ScriptedMedia(meshes[1], PACE, is_spare=False)
    speech = ScriptedSpeech(meshes[2], PACE, tmp_path)
    speech._scripts.add(ScriptHash("s"))
    yield meshes[0]
    for mesh in meshes:
        await mesh.close()


async def test_a_callee_says_hello_and_answers_what_was_played(edge: Mesh) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    for kind in (wire.SpeechStarted, wire.SpeechEnded, wire.PlayEnded, wire.Heard):
        edge.serve(kind, lambda news, _: told.put_nowait(news))
    hear = wire.Hear(CHANNEL.channel_id, EDGE, ScriptHash("s"), ("yes_no",), 3)
    await edge.ask(SPEECH, hear)
    now = asyncio.get_running_loop().time()
    playing = wire.Playing(7, (PromptHash("p"),), now)
    channel = wire.Channel(
        CHANNEL.channel_id, EDGE, 4000, 1, 1, 1, now, remote_host="127.0.0.1", playing=playing, engine=SPEECH
    )  # fmt: skip
    await edge.ask(MEDIA, wire.SetChannel(channel))
    async with asyncio.timeout(60):
        while not isinstance(news := await told.get(), wire.PlayEnded):
            pass
        assert news.play_id == 7
        while not isinstance(news := await told.get(), wire.Heard):
            pass
    assert (news.turn, news.meaning) == (3, wire.Meaning("yes_no", "yes", {"value": "yes"}))


async def test_a_successor_of_the_edge_is_told_again_that_a_play_has_ended(edge: Mesh) -> None:
    told: asyncio.Queue[wire.PlayEnded] = asyncio.Queue()
    edge.serve(wire.PlayEnded, lambda news, _: told.put_nowait(news))
    now = asyncio.get_running_loop().time()
    channel = wire.Channel(
        CHANNEL.channel_id, EDGE, 4000, 1, 1, 1, now, remote_host="127.0.0.1",
        playing=wire.Playing(7, (PromptHash("p"),), now),
    )  # fmt: skip
    async with asyncio.timeout(60):
        for epoch in (1, 2):
            await edge.ask(MEDIA, wire.SetChannel(replace(channel, epoch=epoch)))
            assert (await told.get()).play_id == 7


async def test_an_engine_that_does_not_know_the_script_says_so(edge: Mesh) -> None:
    with pytest.raises(Exception, match="unknown_script"):
        await edge.ask(SPEECH, wire.Hear(CHANNEL.channel_id, EDGE, ScriptHash("other"), ("yes_no",), 1))


def test_telephones_answer_once_and_know_who_hung_up() -> None:
    udp = socket.AF_INET, socket.SOCK_DGRAM
    with socket.socket(*udp) as ours, socket.socket(*udp) as theirs:
        for one in (ours, theirs):
            one.bind(("127.0.0.1", 0))
            one.settimeout(5)
        phones, there = Phones(theirs), theirs.getsockname()
        caller = Uac(Local(*ours.getsockname()), os.urandom, None)
        events: list[object] = []

        def carry_out(given: Dial | HangUp | Received) -> None:
            for effect in caller.step(given, 0.0):
                if isinstance(effect, Transmit):
                    ours.sendto(effect.data, there)
                else:
                    events.append(effect.event)

        def exchange() -> None:
            phones.take_one()
            data, source = ours.recvfrom(65_535)
            carry_out(Received(parse(data), source))

        carry_out(Dial("sip:n1@there", "sip:us@here", Listening("127.0.0.1", 4000), there))
        exchange()
        assert any(isinstance(event, Answered) for event in events)
        assert phones.report() == {"rung": 1, "rung_twice": 0, "hung_up": 0, "up": 1}
        phones.take_one()  # the ACK
        carry_out(HangUp())
        exchange()
        assert caller.phase in (LegPhase.ENDED, LegPhase.FINISHED)
        assert any(isinstance(event, Ended) for event in events)
        assert phones.report() == {"rung": 1, "rung_twice": 0, "hung_up": 1, "up": 0}


async def test_a_spare_that_takes_over_while_somebody_listens_has_the_callee_answer(edge: Mesh, tmp_path: Path) -> None:
    """The play has ended and is not wanted any more: it has never heard of it."""
    heard: asyncio.Queue[wire.Heard] = asyncio.Queue()
    edge.serve(wire.Heard, lambda news, _: heard.put_nowait(news))
    await edge.ask(SPEECH, wire.Hear(CHANNEL.channel_id, EDGE, ScriptHash("s"), ("yes_no",), 3))
    mesh = await Mesh.start(Identity("n1.media-1:1"), f"ipc://{tmp_path}/spare")
    mesh.roster(edge_roster(edge, tmp_path))
    spare = ScriptedMedia(mesh, PACE, is_spare=True)
    spare.set(wire.SetChannel(replace(CHANNEL, engine=SPEECH)), EDGE)
    spare.activate()
    async with asyncio.timeout(60):
        assert (await heard.get()).turn == 3
    await mesh.close()


async def test_who_is_speaking_comes_to_an_end_whatever_is_wanted_meanwhile(edge: Mesh) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    for kind in (wire.SpeechStarted, wire.Heard):
        edge.serve(kind, lambda news, _: told.put_nowait(news))
    await edge.ask(SPEECH, wire.Hear(CHANNEL.channel_id, EDGE, ScriptHash("s"), ("yes_no",), 3))
    listening = wire.SetChannel(replace(CHANNEL, engine=SPEECH))
    await edge.ask(MEDIA, listening)
    async with asyncio.timeout(60):
        assert isinstance(await told.get(), wire.SpeechStarted)
        await edge.ask(MEDIA, listening)
        while not isinstance(await told.get(), wire.Heard):
            pass


def edge_roster(edge: Mesh, directory: Path) -> Roster:
    """Everybody whom the fixture has begun."""
    return Roster(1, tuple(
        Peer(who.partition(".")[2].partition("-")[0], who, who, f"ipc://{directory}/{who}", 1, State.ACTIVE)
        for who in (EDGE, SPEECH)
    ))  # fmt: skip
