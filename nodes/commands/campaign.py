"""`ringmaster campaign`: bring lists to central, start and stop campaigns, rehearse them with callees of our own."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from nodes.commands import central
from nodes.commands import report as reporting
from nodes.commands.captions import Captions
from nodes.commands.cast import cast
from nodes.commands.client import configured, connected
from nodes.commands.scripts import Checked, check_script
from nodes.commands.terminal import ENDING, console, emit
from nodes.config import Sip
from protocols.wire.campaigns import LIST_PART, CampaignStatus, ListTaken
from protocols.wire.ids import CampaignId

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TaskProgressColumn(),
    TextColumn("{task.fields[contacts]} contacts"),
)
"""What is shown while a list is imported."""
STEERING = {"start": "running", "pause": "paused", "stop": "stopped"}
REHEARSAL = "[fetch]\nexamples = true\n"
"""The node of a rehearsal has no trunk, and its scripts ask nobody."""


def describe(parser: argparse.ArgumentParser) -> None:
    """What to do, with which files."""
    parser.add_argument("what", choices=("check", "import", *STEERING, "status", "rehearse"))
    parser.add_argument("campaign", help="its id; check, import, rehearse: its TOML file")
    parser.add_argument("--contacts", metavar="CSV", help="the contact list: number or SIP URI, and slots")
    parser.add_argument("--script", metavar="FILE", help="a script's file, or a shipped script's name")
    parser.add_argument("--seed", type=int, default=1, help="rehearse: what callees answer")
    parser.add_argument("--state", default="var/rehearsal", metavar="DIR", help="rehearse: where everything stays")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when it was done; a rehearsal: when no call was lost."""
    if args.what not in ("check", "import", "rehearse"):
        return ENDING.run(_steer(args))
    if not (args.contacts and args.script):
        raise central.Declined(f"{args.what} needs --contacts and --script")
    files = _read(args)
    if args.what == "import":
        return ENDING.run(_import(args, files))
    if args.what == "check":
        return _check(args, files, _count(args, files))
    campaign, contacts = _cast(args, files)
    return ENDING.run(_rehearse(args, files, campaign, contacts, Path(args.state).resolve()))


@dataclass(frozen=True, slots=True)
class _Files:
    """What makes a campaign. Plan and script have been read and found to be right."""

    campaign: central.Campaign
    contacts: Path
    script: Checked


def _read(args: argparse.Namespace) -> _Files:
    """Read what the command names. Raises: ConfigError, BadScript, OSError: each line that is wrong."""
    campaign, script = central.read_campaign(Path(args.campaign)), check_script(args.script)
    contacts = Path(args.contacts)
    contacts.stat()
    return _Files(campaign, contacts, script)


def _count(args: argparse.Namespace, files: _Files) -> int:
    """Return how many contacts the list has. Raises: BadList, OSError."""
    sip = configured(args).sip
    with files.contacts.open("rb") as contacts:
        return central.check(files.campaign, args.contacts, contacts, files.script.script, sip)


def _cast(args: argparse.Namespace, files: _Files) -> tuple[central.Campaign, bytes]:
    """Return the campaign as it is rehearsed: no trunk, no owner, callees of ours. Raises: BadList, OSError."""
    campaign = replace(files.campaign, plan=replace(files.campaign.plan, trunk="", owner="", retention_days=0))
    contacts = cast(args.contacts, files.contacts.read_bytes(), campaign.plan, files.script.script)
    central.check(campaign, args.contacts, io.BytesIO(contacts), files.script.script, Sip())
    return campaign, contacts


def _check(args: argparse.Namespace, files: _Files, n_contacts: int) -> int:
    if args.json:
        emit({"campaign": files.campaign.id, "contacts": n_contacts, "script": files.script.script.hash})
    else:
        print(f"{files.campaign.id}: {n_contacts} contacts, script {files.script.script.hash[:12]}")
    return 0


async def _import(args: argparse.Namespace, files: _Files) -> int:
    """Bring the list to central, which reads it as it comes."""
    async with connected(configured(args)) as client:
        with Progress(*COLUMNS, console=console(stderr=True), transient=True) as shown:
            bar = shown.add_task(files.campaign.id, total=files.contacts.stat().st_size, contacts=0)

            def progress(taken: ListTaken) -> None:
                shown.update(bar, completed=taken.n_bytes, contacts=taken.n_contacts)

            parts = _bytes_of(files.contacts)
            n_contacts = await central.bring(
                client, files.campaign, args.contacts, parts, files.script.text, progress
            )  # fmt: skip
        _show(args, await central.status(client, files.campaign.id), f"{n_contacts} contacts imported")
    return 0


def _bytes_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(LIST_PART):
            yield chunk


async def _steer(args: argparse.Namespace) -> int:
    campaign_id = CampaignId(args.campaign)
    async with connected(configured(args)) as client:
        if args.what == "status":
            _show(args, await central.status(client, campaign_id), "")
        else:
            _show(args, await central.steer(client, campaign_id, STEERING[args.what]), "")
    return 0


async def _rehearse(
    args: argparse.Namespace, files: _Files, campaign: central.Campaign, contacts: bytes, state: Path
) -> int:
    """Play the campaign to callees of ours: no address of the list is dialled, and what scripts fetch is made up."""
    from nodes.commands.demo import NEEDED  # half a second of imports that steering does not need
    from nodes.commands.judge import judge
    from nodes.commands.play import Part, play
    from nodes.commands.stage import stage

    to = console(stderr=args.json)
    text = files.script.text
    async with stage(state, {files.script.path.stem: text}, args.seed, NEEDED, settings=REHEARSAL) as here:
        watch = await play(here, [Part(campaign, text, contacts.decode())], Captions(to), {})
        status = await central.status(here.client, files.campaign.id)
        report = await reporting.ask(here.client)
        verdict = judge(watch.events.values(), here.lived())
    to.rule(f"{verdict.calls} calls")
    reporting.show(report, to)
    keys = f", and {verdict.keys} keys" if verdict.keys else ""
    to.print(f"understood {verdict.understood} of {verdict.understood + verdict.misunderstood}{keys}")
    if args.json:
        emit({"status": msgspec.to_builtins(status), "report": asdict(report)})
    return 1 if verdict.lost else 0


def _show(args: argparse.Namespace, status: CampaignStatus, note: str) -> None:
    if args.json:
        emit(msgspec.to_builtins(status))
        return
    held = f", held: {status.held}" if status.held else ""
    print(f"{status.campaign_id}: {status.phase}{held}" + (f"; {note}" if note else ""))
    print(f"  contacts {status.contacts}  waiting {status.waiting}  in flight {status.in_flight}  done {status.done}")
    for name, counts in (("dispositions", status.dispositions), ("refused", status.refused)):
        if counts:
            print(f"  {name}: " + "  ".join(f"{word} {count}" for word, count in sorted(counts.items())))


__all__ = ["describe", "run"]
