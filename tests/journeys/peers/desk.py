"""Agents at the node's desk, and callers who are handed over to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from nodes.audio import g711
from nodes.rehearsal.earpiece import FRAME, LOUD
from nodes.rehearsal.voices import speak
from protocols.wire.events import Kind
from tests.journeys.following import Followed, Node
from tests.journeys.peers.phone import Phone
from tests.nodes.desk.page import Page, page

ASKS = (Path(__file__).parents[1] / "desk.yaml").read_text()
AT_ONCE = ASKS.replace("initial: question", "initial: desk")
"""The same, for those whose handover is not the caller's own wish."""


async def door(node: Node) -> tuple[str, str]:
    """Return the desk's address and its token, once it is up."""
    run = node.stage.config.paths.run
    await node.until((run / "token").exists)
    await node.until((run / "desk.url").exists)
    return (run / "desk.url").read_text(), (run / "token").read_text()


@asynccontextmanager
async def agent(node: Node, name: str) -> AsyncIterator[Page]:
    """An agent with the skill that is wanted, ready."""
    address, token = await door(node)
    async with page(address, token=token, agent=name, skills=["service"], ready=True) as made:
        await made.told("state", state="ready")
        yield made


async def is_handed_over(node: Node, phone: Phone) -> Followed:
    """Call this phone with a script that wants an agent."""
    call = await node.call(phone.uri, script=AT_ONCE)
    await picks_up(phone)
    await call.event(Kind.HANDOVER_STARTED)
    return call


async def picks_up(phone: Phone) -> None:
    """Let it ring once, and be somebody."""
    await phone.rings()
    await phone.answer()
    await phone.say("hello")


async def takes(made: Page, call: Followed) -> dict[str, object]:
    """Answer the probe, show the context, accept; return the context."""
    name = call.order.call_id
    await made.probed(name)
    context = await made.is_offered(name)
    await made.say("accept", call=name)
    return context


async def takes_any(made: Page) -> None:
    """Take whichever call is offered first."""
    call = (await made.told("probe"))["call"]
    await made.say("probed", call=call)
    await made.is_offered(call)
    await made.say("accept", call=call)


async def voice(made: Page) -> None:
    """Return when somebody is heard at the page."""
    while np.abs(g711.decode(await made.hears()).astype(np.int32)).max() <= LOUD:
        pass


async def talk(made: Page, phone: Phone) -> None:
    """The two hear each other."""
    await asyncio.gather(phone.say("can you hear me"), voice(made))
    words = await speak("yes i can", "awb")
    hearing = asyncio.ensure_future(phone.hears_voice(0.3))
    for at in range(0, len(words), FRAME):
        await made.speak(words[at : at + FRAME].ljust(FRAME, b"\xff"))
        await asyncio.sleep(0.02)  # the pace of a microphone
    await hearing
