"""`ringmaster tree`: what runs on the node, from the launcher's processes down to each call's actors; what failed, why.

In a terminal it is live, drawn again every second until Ctrl-C; elsewhere, and with `--once`, it is one picture. A
reading takes a second, over which the processes count what they handle (`nodes.links.trees`). `--json` has everything:
spares' trees, too, and all that a failed process said last.
"""

from __future__ import annotations

import argparse
import signal
import time

import msgspec
from rich.live import Live

from nodes.commands.client import Client, configured, connected
from nodes.commands.drawing import Look, draw
from nodes.commands.terminal import ENDING, console, emit
from nodes.links import trees


def describe(parser: argparse.ArgumentParser) -> None:
    """Live, once, or for machines."""
    parser.add_argument("--once", action="store_true", help="one picture, in a terminal too")
    parser.add_argument("--json", action="store_true", help="one JSON object a process, the launcher's first")


def run(args: argparse.Namespace) -> int:
    """Draw the trees of the running node; live until Ctrl-C, which is how one leaves and no failure."""
    out = console()
    is_live = out.is_terminal and not (out.is_dumb_terminal or args.once or args.json)
    try:
        return ENDING.run(_live(args) if is_live else _once(args))
    except KeyboardInterrupt:
        if is_live and ENDING.status == 128 + signal.SIGINT:
            return 0
        raise


async def _once(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        look = await _look(client, trees.OVER_S)
    if not args.json:
        console().print(draw(look, console().width))
        return 0
    emit({"name": "launcher", "state": "active", "pid": look.launcher_pid, "rows": msgspec.to_builtins(look.launcher)})
    for peer, rows in look.processes:
        emit({"name": peer.name, "state": peer.state, "pid": peer.pid, "rows": msgspec.to_builtins(rows)})
    return 0


async def _live(args: argparse.Namespace) -> int:
    out = console()
    async with connected(configured(args)) as client:
        look = await _look(client, 0.0)  # without rates, but at once
        with Live(console=out, auto_refresh=False) as live:
            while True:
                live.update(draw(look, out.width, out.height), refresh=True)
                look = await _look(client, trees.OVER_S)


async def _look(client: Client, over_s: float) -> Look:
    roster = client.roster()
    processes = await trees.look(client.mesh, roster, over_s)
    if roster.launcher is None:
        return Look(0, (), processes)
    return Look(roster.launcher.pid, trees.of_launcher(roster.launcher, time.monotonic()), processes)


__all__ = ["describe", "run"]
