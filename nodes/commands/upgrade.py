"""`ringmaster node upgrade`: a node's calls go to the others, it is restarted in the new version, and takes part again.

What it does: looks whether anybody takes the calls, drains the node, runs the command that restarts it (or waits for
somebody to do so), and waits until another launcher of the node takes calls. What it does not: install anything.
How far it is stands in the cluster, not here: interrupted at any point, the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.commands import draining
from nodes.commands.client import NotUp, connected
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from protocols.wire.cluster import NodeState, NodeWord
from protocols.wire.desk import Drain

LOOK_S: Final = 0.5
SHOW_S: Final = 20.0
"""A node that is back is in its cluster, and its edge takes calls, within this; beyond it something is wrong."""


class CannotBegin(NodeError):
    """The node is not upgraded now; the text says why. Nothing has been done to it."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What is wanted. `command`: restarts the node, in a shell of this machine; empty: somebody does it by hand.

    `version`: that the node is to have then; empty: whichever. `within_s`: for its calls to go, and again for it to be
    back.
    """

    node: str
    command: str = ""
    version: str = ""
    within_s: float = 600.0


async def upgrade(config: Config, wanted: Upgrade, say: Callable[[str], object]) -> int:
    """Do it; 0: done, 1: not all of it. Raises: CannotBegin, NoSuchNode, NotUp, LinkError."""
    word, is_gone = await _begin(config, wanted)
    node = word.node
    again = f"to go on, say the same again; to give it up: ringmaster node undrain {node}"
    try:
        if is_gone:
            say(f"{node} is gone, with nothing left to move")
        elif wanted.version == word.version:
            say(f"{node} runs {word.version} already")
            return await _back_in(config, wanted, say)
        elif left := await draining.until_empty(config, node, wanted.within_s, say, waits_for_agents=True):
            say(f"{node} takes no new calls; after {wanted.within_s:g} s calls left: {left}; {again}")
            return 1
        say(f"{node} is empty" + ("" if wanted.command else f": restart it now; {node} is waited for"))
        if wanted.command and (status := await _run(wanted.command)):
            say(f"{wanted.command!r} has ended with {status}, and {node} takes no calls; {again}")
            return 1
        if (new := await _another(config, word, wanted.within_s)) is None:
            say(f"{node} has not been restarted within {wanted.within_s:g} s, and takes no calls; {again}")
            return 1
        say(f"{node} is back: version {new.version}, before {word.version}")
        return await _back_in(config, wanted, say)
    except asyncio.CancelledError:
        say(f"{node} may be drained; {again}")
        raise


async def _begin(config: Config, wanted: Upgrade) -> tuple[NodeWord, bool]:
    """Have the node drained, if it is there and somebody takes its calls; return its word, and whether it is gone."""
    async with connected(config) as client:
        place, seen = await draining.find(client, wanted.node)
        if place.word is None:
            raise CannotBegin(f"{place.node} is alone, so nobody takes its calls: node drain --wait, then restart it")
        if place.state is NodeState.SILENT:
            raise CannotBegin(f"{place.node} is silent: nobody knows which calls it has")
        if place.state is NodeState.DEAD or wanted.version == place.word.version:
            return place.word, place.state is NodeState.DEAD
        has_calls = "edge" in place.roles and (place.word.calls or not place.has_all_edges)
        if has_calls and not draining.takers(seen, place.node):
            raise CannotBegin(f"nobody takes the calls of {place.node}: {draining.nobody(seen, place.node)}")
        await draining.drain(client, place, Drain(is_draining=True, moves=True))
        return place.word, False


async def _run(command: str) -> int:
    """Run a command as a shell does, and return its exit status; it ends with us."""
    process = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.DEVNULL)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _another(config: Config, before: NodeWord, within_s: float) -> NodeWord | None:
    """Return the word of the node's next launcher, once that is in the cluster with its edges; None: not in time."""
    give_up_s = time.monotonic() + within_s
    while time.monotonic() < give_up_s:
        try:
            async with connected(config) as client:
                place, _ = await draining.find(client, before.node)
                word = place.word
                has_edge = place.has_all_edges or "edge" not in place.roles
                is_in = word is not None and word.epoch > before.epoch and word.is_in
                if word is not None and is_in and place.state is NodeState.ALIVE and has_edge:
                    return word
        except (NotUp, LinkError, draining.NoSuchNode):  # it, or what we ask, is between two lives
            pass
        await asyncio.sleep(LOOK_S)
    return None


async def _back_in(config: Config, wanted: Upgrade, say: Callable[[str], object]) -> int:
    """Have it take calls, also where somebody had drained it meanwhile; say whether it is as wanted."""
    give_up_s = time.monotonic() + SHOW_S
    while (told := await _undrained(config, wanted.node)) is None:
        if time.monotonic() > give_up_s:
            say(f"it does not answer after {SHOW_S:g} s: ringmaster node undrain {wanted.node}".rstrip())
            return 1
        await asyncio.sleep(LOOK_S)
    if wanted.version and told.version != wanted.version:
        say(f"{told.node} takes calls, in version {told.version} and not {wanted.version}")
        return 1
    say(f"{told.node} takes calls")
    return 0


async def _undrained(config: Config, node: str) -> NodeWord | None:
    """Return the word of a node that takes calls from now on; None: it does not answer now."""
    try:
        async with connected(config) as client:
            place, _ = await draining.find(client, node)
            await draining.drain(client, place, Drain(is_draining=False))
            return place.word
    except (NotUp, LinkError, draining.NoSuchNode):
        return None


__all__ = ["CannotBegin", "Upgrade", "upgrade"]
