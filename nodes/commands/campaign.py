"""`ringmaster campaign`: bring lists to central, start and stop campaigns, rehearse them with callees of our own."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import msgspec
from rich.console import Console

from nodes.commands import central
from nodes.commands import report as reporting
from nodes.commands.captions import Captions
from nodes.commands.client import configured, connected
from nodes.commands.demo import NEEDED
from nodes.commands.judge import judge
from nodes.commands.play import Part, play
from nodes.commands.scripts import find_script
from nodes.commands.stage import stage
from protocols.wire.campaigns import CampaignStatus
from protocols.wire.ids import CampaignId

STEERING = {"start": "running", "pause": "paused", "stop": "stopped"}


def describe(parser: argparse.ArgumentParser) -> None:
    """What to do, with which files."""
    parser.add_argument("what", choices=("import", "start", "pause", "stop", "status", "rehearse"))
    parser.add_argument("campaign", help="import, rehearse: the campaign's TOML file; else its id")
    parser.add_argument("--contacts", metavar="CSV", help="import, rehearse: number or SIP URI first, slots after")
    parser.add_argument("--script", metavar="FILE", help="import, rehearse: a file, or a shipped script's name")
    parser.add_argument("--seed", type=int, default=1, help="rehearse: what callees answer")
    parser.add_argument("--state", default="var/rehearsal", metavar="DIR", help="rehearse: where everything stays")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when it was done; a rehearsal: when no call was lost."""
    if args.what in ("import", "rehearse") and not (args.contacts and args.script):
        raise central.Declined(f"{args.what} needs --contacts and --script")
    if args.what == "rehearse":
        return asyncio.run(_rehearse(args, Path(args.state).resolve()))
    return asyncio.run(_import(args) if args.what == "import" else _steer(args))


async def _import(args: argparse.Namespace) -> int:
    campaign = central.read_campaign(Path(args.campaign))
    contacts, script = _read(args.contacts), find_script(args.script).read_text(encoding="utf-8")
    async with connected(configured(args)) as client:
        n_contacts = await central.bring(client, campaign, args.contacts, contacts, script)
        _show(args, await central.status(client, campaign.id), f"{n_contacts} contacts imported")
    return 0


async def _steer(args: argparse.Namespace) -> int:
    campaign_id = CampaignId(args.campaign)
    async with connected(configured(args)) as client:
        if args.what == "status":
            _show(args, await central.status(client, campaign_id), "")
        else:
            _show(args, await central.steer(client, campaign_id, STEERING[args.what]), "")
    return 0


async def _rehearse(args: argparse.Namespace, state: Path) -> int:
    """Play the campaign to callees: contacts are `sip:PERSONA-N@callees`."""
    console = Console(stderr=args.json)
    campaign = central.read_campaign(Path(args.campaign))
    script = find_script(args.script)
    text, contacts = script.read_text(encoding="utf-8"), _read(args.contacts).decode("utf-8-sig")
    async with stage(state, {script.stem: text}, args.seed, NEEDED) as here:
        watch = await play(here, [Part(campaign, text, contacts)], Captions(console), {})
        status = await central.status(here.client, campaign.id)
        report = await reporting.ask(here.client)
        verdict = judge(watch.events.values(), here.lived())
    console.rule(f"{verdict.calls} calls")
    reporting.show(report, console)
    console.print(f"understood {verdict.understood} of {verdict.understood + verdict.misunderstood}")
    if args.json:
        print(json.dumps({"status": msgspec.to_builtins(status), "report": asdict(report)}))
    return 1 if verdict.lost else 0


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _show(args: argparse.Namespace, status: CampaignStatus, note: str) -> None:
    if args.json:
        print(json.dumps(msgspec.to_builtins(status)))
        return
    held = f", held: {status.held}" if status.held else ""
    print(f"{status.campaign_id}: {status.phase}{held}" + (f"; {note}" if note else ""))
    print(f"  contacts {status.contacts}  waiting {status.waiting}  in flight {status.in_flight}  done {status.done}")
    for name, counts in (("dispositions", status.dispositions), ("refused", status.refused)):
        if counts:
            print(f"  {name}: " + "  ".join(f"{word} {count}" for word, count in sorted(counts.items())))


__all__ = ["describe", "run"]
