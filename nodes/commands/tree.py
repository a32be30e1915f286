"""`ringmaster tree`: the node's supervision tree, from the launcher's processes down to each call's actors."""

from __future__ import annotations

import argparse
import asyncio

import msgspec
from rich.live import Live
from rich.markup import escape
from rich.tree import Tree as Drawing

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, console, emit
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from protocols.wire.inspection import GetTree, TreeRow

BEAT_S = 1.0


def describe(parser: argparse.ArgumentParser) -> None:
    """Once, or live."""
    parser.add_argument("--live", action="store_true", help="draw it again every second, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON object a process")


def run(args: argparse.Namespace) -> int:
    """Draw the tree of the running node."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        if args.json:
            for peer, rows in await look(client):
                emit({"name": peer.name, "state": peer.state, "pid": peer.pid, "rows": msgspec.to_builtins(rows)})
        elif args.live:
            with Live(draw(await look(client)), refresh_per_second=2, console=console()) as live:
                while True:
                    await asyncio.sleep(BEAT_S)
                    live.update(draw(await look(client)))
        else:
            console().print(draw(await look(client)))
    return 0


async def look(client: Client) -> list[tuple[Peer, tuple[TreeRow, ...]]]:
    """Return every process with the rows of its own tree; empty for one without actors."""
    peers = client.roster().processes
    return list(zip(peers, await asyncio.gather(*(_rows(client, peer) for peer in peers)), strict=True))


async def _rows(client: Client, peer: Peer) -> tuple[TreeRow, ...]:
    try:
        return (await client.mesh.ask(peer.identity, GetTree(), timeout_s=2.0)).rows
    except LinkError:
        return ()


def draw(processes: list[tuple[Peer, tuple[TreeRow, ...]]]) -> Drawing:
    """Return the tree for the terminal."""
    top = Drawing("launcher")
    for peer, rows in processes:
        branches = [top.add(f"[bold]{peer.name}[/] {peer.state} pid {peer.pid}")]
        for row in rows:
            told = f"{escape(row.id)} [dim]{row.kind} {row.state}, {row.restarts} restarts, {row.waiting} waiting"
            told += f", last end: {escape(row.last)}[/]" if row.last else "[/]"
            branches[row.depth + 1 :] = [branches[row.depth].add(told)]
    return top


__all__ = ["describe", "draw", "look", "run"]
