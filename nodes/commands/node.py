"""`ringmaster node`: the processes of the running node, and how each is."""

from __future__ import annotations

import argparse
import asyncio
import json

from nodes.commands.client import Client, configured, connected
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from protocols.wire.messages import GetStatus, Status


def describe(parser: argparse.ArgumentParser) -> None:
    """For people or machines."""
    parser.add_argument("--json", action="store_true", help="one JSON object a process")


def run(args: argparse.Namespace) -> int:
    """Print a line for each process."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        for peer in client.roster().processes:
            status = await _status(client, peer)
            figures = status.figures if status else {}
            if args.json:
                row = {"name": peer.name, "role": peer.role, "state": peer.state, "pid": peer.pid, "figures": figures}
                print(json.dumps(row))
            else:
                told = (
                    "  ".join(f"{name} {value:g}" for name, value in figures.items()) if status else "does not answer"
                )
                print(f"{peer.name:<11} {peer.state:<7} {peer.pid:>7}  {told}")
    return 0


async def _status(client: Client, peer: Peer) -> Status | None:
    try:
        return await client.mesh.ask(peer.identity, GetStatus(), timeout_s=2.0)
    except LinkError:
        return None


__all__ = ["describe", "run"]
