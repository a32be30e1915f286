"""`ringmaster node`: the processes of the running node, and how each is."""

from __future__ import annotations

import argparse
import asyncio

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from protocols.wire.messages import GetStatus, Status


def describe(parser: argparse.ArgumentParser) -> None:
    """For people or machines."""
    parser.add_argument("--json", action="store_true", help="one JSON object a process")


def run(args: argparse.Namespace) -> int:
    """Print a line for each process."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        peers = client.roster().processes
        for peer, status in zip(peers, await asyncio.gather(*(_status(client, peer) for peer in peers)), strict=True):
            _show(args, peer, status)
    return 0


def _show(args: argparse.Namespace, peer: Peer, status: Status | None) -> None:
    if args.json:
        row = {"name": peer.name, "role": peer.role, "state": peer.state, "pid": peer.pid, "answers": bool(status)}
        emit({**row, "figures": status.figures if status else {}})
        return
    figures = "  ".join(f"{name} {value:g}" for name, value in status.figures.items()) if status else "does not answer"
    print(f"{peer.name:<11} {peer.state:<7} {peer.pid:>7}  {figures}")


async def _status(client: Client, peer: Peer) -> Status | None:
    try:
        return await client.mesh.ask(peer.identity, GetStatus(), timeout_s=2.0)
    except LinkError:
        return None


__all__ = ["describe", "run"]
