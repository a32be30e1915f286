"""Many calls at once, to far ends of every kind: what the journeys of the telephone look at when all are over.

One after the other they would take minutes; and that they do not disturb each other is a journey, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import wave
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.audio import g711
from nodes.rehearsal.voices import speak
from protocols.wire.events import CallEvent, Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import SendDigits
from tests.journeys.following import Followed, Node
from tests.journeys.peers.baresip import Baresip, baresip
from tests.journeys.peers.kamailio import Account, kamailio
from tests.journeys.peers.phone import phones
from tests.journeys.peers.sipp import sipp

CAST = (
    "cooperative-1", "cooperative-2", "refuses-1", "interrupts-1", "silent-1", "optout-1", "voicemail-1", "hangsup-1",
    "busy-1",
)  # fmt: skip
SCENARIOS = ("busy", "early_media", "late", "no_answer", "bye_at_once", "bye_in_prompt", "hold")
WE_HANG_UP = ("early_media", "late", "hold")
RING_S = {"no_answer": 2.0}
RATE = 8000
RTP_DROPS = ("bad_padding", "foreign", "huge", "not_rtcp", "not_rtp", "truncated", "unknown_type")


@dataclass(frozen=True)
class Played:
    """One call that is over, and what its far end has seen of it."""

    call: Followed
    seen: Mapping[str, Any]

    @property
    def end(self) -> tuple[Any, Any, Any]:
        """Disposition, cause, and whose will it was."""
        ended = self.one(Kind.ENDED)
        return ended.fields["disposition"], ended.fields["cause"], ended.fields["by"]

    def one(self, kind: Kind) -> CallEvent:
        """Return the only event of a kind."""
        (found,) = self.call.all(kind)
        return found


async def crowd(node: Node, account: Account, directory: Path) -> dict[str, Played]:
    """Play everything at once; `sipp:NAME` are scenarios, names with a dash callees of a rehearsal."""
    acts: dict[str, Callable[[str], Awaitable[Played]]] = {
        **{user: lambda user: _rehearsed(node, user) for user in CAST},
        **{f"sipp:{name}": lambda name: _scenario(node, name.partition(":")[2], directory) for name in SCENARIOS},
        "carrier": lambda _: _through_a_carrier(node, account, directory / "carrier"),
        "keys": lambda _: _keys(node, directory / "keys"),
        "garbage": lambda _: _garbage(node),
    }
    async with asyncio.TaskGroup() as tasks:
        played = {name: tasks.create_task(act(name)) for name, act in acts.items()}  # type: ignore[arg-type]
    return {name: task.result() for name, task in played.items()}


async def _rehearsed(node: Node, user: str) -> Played:
    call = await node.call_callee(user)
    await call.ended()
    return Played(call, await node.lived(call))


async def _scenario(node: Node, name: str, directory: Path) -> Played:
    async with sipp(name, directory) as peer:
        call = await node.call(peer.uri, ring_s=RING_S.get(name, 30.0))
        if name in WE_HANG_UP:
            await call.event(Kind.PROMPT_STARTED)
            await node.end(call)
        await call.ended()
        return Played(call, {"complaint": await peer.complaint()})


async def _through_a_carrier(node: Node, account: Account, directory: Path) -> Played:
    """Kamailio wants to know us and asks for a password; baresip answers by the clock: it cannot wait for questions."""
    wav = await _spoken(_made(directory) / "said.wav", 0.5, "hello", 6.0, "four two seven one", 5.0, "yes", 30.0)
    async with baresip(wav, directory / "telephone") as telephone, kamailio(account, telephone.uri, directory):
        async with asyncio.timeout(90.0):  # it was not there yet when the edge asked first
            while not (await node.figures("edge"))["registrations"]:
                await asyncio.sleep(0.2)
        call = await node.call(account.uri("+12025550100"))
        await call.ended()
        await telephone.tells("CALL_CLOSED")
        return Played(call, {"recording": telephone.heard()})


async def _keys(node: Node, directory: Path) -> Played:
    """We press two keys, they press nine."""
    wav = await _spoken(_made(directory) / "said.wav", 0.5, "hello", 30.0)
    async with baresip(wav, directory / "telephone") as telephone:
        call = await node.call(telephone.uri)
        await call.event(Kind.PROMPT_STARTED, 2)
        keys = SendDigits(ChannelId(call.order.call_id), "5#")
        await node.stage.client.mesh.ask(node.active("media").identity, keys)
        await _heard(telephone, keys.digits)
        telephone.command("sndcode", "9")
        await call.ended()
        return Played(call, {"keys": keys.digits})


async def _heard(telephone: Baresip, keys: str) -> None:
    async with asyncio.timeout(60):
        for key in keys:
            await telephone.tells("CALL_DTMF_START", key)


async def _garbage(node: Node) -> Played:
    """Pour rubbish on both ports while the bot speaks, then answer it."""
    before = await _drops(node)
    async with phones(1) as (phone,):
        call = await node.call(phone.uri)
        await phone.rings()
        await phone.answer()
        await phone.say("hello")
        await call.event(Kind.PROMPT_STARTED, 2)
        phone.gap_ms()
        for port in (node.stage.config.sip.port, phone.far_port):
            _pour(RUBBISH, port)
        await call.event(Kind.PROMPT_ENDED, 2)
        gap_ms = phone.gap_ms()
        await phone.say("four two seven one")
        await call.event(Kind.SLOT_FILLED)
        await node.end(call)
        await call.ended()
    after = await _drops(node)
    return Played(call, {"gap_ms": gap_ms, "dropped": {role: after[role] - before[role] for role in after}})


_INVITE = b"INVITE sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nCSeq: x INVITE\r\n\r\n"
_RTP = bytes((0x80, 0, 0, 1)) + bytes(8)
RUBBISH = [
    b"x", b"\0" * 1200, os.urandom(400), _INVITE[:40], _INVITE, b"SIP/2.0 200 OK\r\n\r\n", b"SIP/2.0 999\r\n",
    b"BYE sip:a SIP/2.0\r\n" + b"Via: x\r\n" * 200, b"\xff" * 60_000, _RTP, _RTP + b"\x7f" * 5000,
    b"\x80\xc8" + bytes(40),
    *(os.urandom(n) for n in range(1, 90)),
]  # fmt: skip
"""Nothing, too much, too little, half a message, and what only looks like one."""


def _pour(datagrams: list[bytes], port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for data in datagrams:
            sock.sendto(data, ("127.0.0.1", port))


async def _drops(node: Node) -> dict[str, float]:
    edge, media = await node.figures("edge"), await node.figures("media")
    return {
        "edge": sum(count for word, count in edge.items() if word.startswith("sip_")),
        "media": sum(count for word, count in media.items() if word in RTP_DROPS),
    }


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


async def _spoken(path: Path, *parts: str | float) -> Path:
    """Write a wav of words and pauses (seconds), as a telephone plays it."""
    made = [await speak(part, "awb") if isinstance(part, str) else b"\xff" * round(part * RATE) for part in parts]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(g711.decode(b"".join(made)).tobytes())
    return path


__all__ = ["RATE", "RUBBISH", "Played", "crowd"]
