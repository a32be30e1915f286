"""`ringmaster demo`: real calls on this machine, from nothing to the report."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from rich.console import Console

from nodes.commands.call import follow, new_order
from nodes.commands.captions import Captions
from nodes.commands.scripts import find_script
from nodes.commands.stage import Stage, stage
from protocols.wire.events import CallEvent

NEEDED = {"media": 1, "edge": 1, "speech": 1}


def describe(parser: argparse.ArgumentParser) -> None:
    """How much to show, and which draw of callees."""
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--seed", type=int, default=1, help="what callees answer (default: 1)")
    parser.add_argument("--state", default="var/demo", metavar="DIR", help="where recordings stay (default: var/demo)")
    parser.add_argument("--persona", default="cooperative", help="who is called")
    parser.add_argument("--script", default="survey")


def run(args: argparse.Namespace) -> int:
    """0 when no call was lost and the callee was understood."""
    return asyncio.run(_run(args, Path(args.state).resolve()))


async def _run(args: argparse.Namespace, state: Path) -> int:
    console = Console(stderr=args.json)
    script = find_script(args.script)
    async with stage(state, [script], args.seed, NEEDED) as play:
        ended = await _one_call(play, script.read_text(), args.persona, console)
    lived = play.lived()
    console.print(lived)
    console.print(f"recording: {ended.fields.get('recording', 'none')}")
    if args.json:
        print(json.dumps({"seed": args.seed, "calls": 1}))
    return 0


async def _one_call(play: Stage, script: str, persona: str, console: Console) -> CallEvent:
    captions = Captions(console)
    for peer in play.client.roster().processes:
        console.print(f"  {peer.name:<10} {peer.state:<7} pid {peer.pid:<7} kill it: kill -9 {peer.pid}", style="dim")
    order = new_order(play.callee(f"{persona}-1"), script, {"name": "Alex", "company": "Ringmaster"})
    captions.names[order.call_id] = f"{persona}-1"
    return await follow(play.client, order, captions)


__all__ = ["describe", "run"]
