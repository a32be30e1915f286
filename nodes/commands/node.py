"""`ringmaster node`: the processes of the running node, and how each is; have it take no calls, or move them away."""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from protocols.wire.desk import Drain
from protocols.wire.messages import GetStatus, Status

LOOK_S: Final = 1.0


def describe(parser: argparse.ArgumentParser) -> None:
    """For people or machines."""
    told = "take no new calls (drain), or take them again (undrain); without it: show the processes"
    parser.add_argument("what", nargs="?", choices=("drain", "undrain"), help=told)
    parser.add_argument("--move", action="store_true", help="with drain: move the calls that are up to other nodes")
    parser.add_argument("--wait", action="store_true", help="with drain: return when no call is left here")
    parser.add_argument("--json", action="store_true", help="one JSON object a process")


def run(args: argparse.Namespace) -> int:
    """Print a line for each process."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        if args.what:
            return await _drain(client, args)
        peers = client.roster().processes
        for peer, status in zip(peers, await asyncio.gather(*(_status(client, peer) for peer in peers)), strict=True):
            _show(args, peer, status)
    return 0


async def _drain(client: Client, args: argparse.Namespace) -> int:
    """Tell every edge, the spares too: who takes over goes on draining."""
    is_draining = args.what == "drain"
    edges = [peer.identity for peer in client.roster().processes if peer.role == "edge"]
    for edge in edges:
        await client.mesh.ask(edge, Drain(is_draining, moves=args.move))
    if not edges:
        print("this node has no edge: it takes no calls")
    while is_draining and args.wait and (n_left := await _calls(client)):
        print(f"{n_left} calls left")
        await asyncio.sleep(LOOK_S)
    return 0


async def _calls(client: Client) -> int:
    """Return how many calls are here; one, while nobody can tell."""
    try:
        status = await client.mesh.ask(client.one("edge").identity, GetStatus(), timeout_s=2.0)
    except LinkError:
        return 1
    return int(status.figures["calls"])


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
