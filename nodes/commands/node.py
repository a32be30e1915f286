"""`ringmaster node`: the processes of the running node; drain or upgrade a node; how many there should be."""

from __future__ import annotations

import argparse
import asyncio
import math
from functools import partial
from typing import Final

import msgspec

from nodes.commands import draining
from nodes.commands.central import scale
from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.commands.upgrade import Upgrade, upgrade
from nodes.config import Config
from nodes.links.errors import LinkError
from nodes.links.roster import Peer
from protocols.wire.desk import Drain
from protocols.wire.messages import GetStatus, Status

SHARE_S: Final = 70.0
"""What has not gone of a share by then stays where it is (`nodes.edge.departures`)."""
say = partial(print, flush=True)


def describe(parser: argparse.ArgumentParser) -> None:
    """For people or machines."""
    parser.add_argument("--json", action="store_true", help="one JSON object a process")
    what = parser.add_subparsers(dest="what", metavar="drain|undrain|upgrade|scale")
    whose = "a node.id of the cluster; default: this machine's"
    told = "have a node take no new calls; or move a share of those that it has, and go on"
    drain = what.add_parser("drain", help=told, description=told)
    drain.add_argument("node", nargs="?", default="", metavar="NODE", help=whose)
    moved = drain.add_mutually_exclusive_group()
    moved.add_argument("--move", action="store_true", help="move the calls that are up to other nodes")
    share = "take new calls, and move this share of those that are up"
    moved.add_argument("--share", type=percent, metavar="30%%", help=share)
    waits = drain.add_mutually_exclusive_group()
    waits.add_argument("--wait", action="store_true", help="return when no call is left there, or the share has gone")
    within = "the same, but after so many seconds at the most; with --move also when no other node can take the calls"
    waits.add_argument("--within", type=seconds, metavar="S", help=within)
    told = "have a node take calls again"
    undrain = what.add_parser("undrain", help=told, description=told)
    undrain.add_argument("node", nargs="?", default="", metavar="NODE", help=whose)
    told = "how many machines should take calls, and why"
    scale = what.add_parser("scale", help=told, description=told)
    scale.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object")
    told = "move a node's calls to the others, have it restarted, and take it in again"
    renew = what.add_parser("upgrade", help=told, description=told)
    renew.add_argument("node", nargs="?", default="", metavar="NODE", help=whose)
    by = "what restarts it, for a shell of this machine; default: wait until somebody has done so"
    renew.add_argument("--run", default="", metavar="COMMAND", help=by)
    renew.add_argument("--to", default="", metavar="VERSION", help="what it is to run then; nothing is done if it does")
    within = "seconds for its calls to go, and again for it to be back; default: 600"
    renew.add_argument("--within", type=seconds, default=600.0, metavar="S", help=within)


def percent(text: str) -> float:
    """Return a share as it is written: 30% and 30 are 0.3.

    >>> percent("30%")
    0.3
    """
    share = float(text.removesuffix("%")) / 100
    if not (math.isfinite(share) and 0 < share <= 1):
        raise argparse.ArgumentTypeError(f"{text} is no share: more than 0%, and at most 100%")
    return share


def seconds(text: str) -> float:
    """Return how long somebody waits at the most.

    >>> seconds("90")
    90.0
    """
    if not 0 <= (found := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not so many seconds")
    return found


def run(args: argparse.Namespace) -> int:
    """Do it, or print a line for each process. Raises: NodeError."""
    config = configured(args)
    match args.what:
        case "drain" if args.share:
            within_s = SHARE_S if args.wait else args.within
            return ENDING.run(_share(config, args.node, args.share, within_s))
        case "drain":
            within_s = math.inf if args.wait else args.within
            return ENDING.run(_drain(config, args.node, args.move, within_s))
        case "undrain":
            return ENDING.run(_undrain(config, args.node))
        case "scale":
            return ENDING.run(_scale(config, args.json))
        case "upgrade":
            return ENDING.run(upgrade(config, Upgrade(args.node, args.run, args.to, args.within), say))
        case _:
            return ENDING.run(_show(config, args.json))


async def _drain(config: Config, node: str, moves: bool, within_s: float | None) -> int:
    """`within_s`: how long to wait until it is empty; None: not at all, infinite: whatever becomes of it."""
    async with connected(config) as client:
        place, seen = await draining.find(client, node)
        await draining.drain(client, place, Drain(is_draining=True, moves=moves))
        if not place.edges:
            say(f"{place.node} has no edge: it takes no calls")
        elif moves and not draining.takers(seen, place.node):
            say(f"calls stay at {place.node} until they end; nobody takes them: {draining.nobody(seen, place.node)}")
    if within_s is None:
        return 0
    wants_takers = moves and within_s < math.inf
    left = await draining.until_empty(config, place.node, within_s, say, wants_takers=wants_takers)
    say(f"{place.node} is not empty; calls left: {left}" if left else f"{place.node} has no call any more")
    return 1 if left else 0


async def _share(config: Config, node: str, share: float, within_s: float | None) -> int:
    async with connected(config) as client:
        place, _ = await draining.find(client, node)
        n, of, before = await draining.share(client, place, share)
    say(f"{place.node}: {n} of {of} calls are being moved")
    if within_s is None:
        return 0
    gone = await draining.until_moved(config, node, n, before, within_s)
    if gone < n:
        say(f"{place.node}: {gone} have gone, {n - gone} stay")
    return 0 if gone >= n else 1


async def _undrain(config: Config, node: str) -> int:
    async with connected(config) as client:
        place, _ = await draining.find(client, node)
        await draining.drain(client, place, Drain(is_draining=False))
    return 0


async def _scale(config: Config, as_json: bool) -> int:
    async with connected(config) as client:
        advice = await scale(client)
    if as_json:
        emit(msgspec.to_builtins(advice))
        return 0
    say(f"{advice.nodes} take calls, {advice.desired} should; so for {advice.steady_s:.0f} s")
    for reason in advice.reasons:
        say(f"  {reason}")
    if advice.leave:
        say(f"  to drain: {', '.join(advice.leave)}")
    for one in advice.machines:
        cpu = "" if one.cpu is None else f"  cpu {one.cpu:.0%}"
        drains = "" if one.takes else "  drains"
        say(f"{one.node:<11} calls {one.calls} of {one.capacity}{cpu}  late {one.late_s * 1000:.0f} ms{drains}")
        if one.advice:
            say(f"  {one.advice}")
    return 0


# ---- the processes -------------------------------------------------------------------------------------------------


async def _show(config: Config, as_json: bool) -> int:
    async with connected(config) as client:
        peers = client.roster().processes
        for peer, status in zip(peers, await asyncio.gather(*(_status(client, peer) for peer in peers)), strict=True):
            _print(as_json, peer, status)
    return 0


def _print(as_json: bool, peer: Peer, status: Status | None) -> None:
    if as_json:
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


__all__ = ["describe", "percent", "run", "seconds"]
