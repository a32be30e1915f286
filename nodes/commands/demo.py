"""`ringmaster demo`: a node, three campaigns, a dozen and more callees of every kind, and what came of it.

Everything is real but the people: SIP, RTP, voices, the recogniser, NATS, the database. While the calls run the demo
kills one speech engine and the edge with SIGKILL, and the calls go on. A third of the callees are on lines that
send back what the robot says.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from rich.console import Console
from rich.text import Text

from nodes.commands import report as reporting
from nodes.commands.captions import Captions
from nodes.commands.central import Campaign
from nodes.commands.judge import Verdict, judge, percentile
from nodes.commands.play import Part, Watch, play
from nodes.commands.scripts import read_script
from nodes.commands.stage import Stage, stage
from nodes.commands.terminal import ENDING, console, emit, hang
from protocols.wire.campaigns import Plan
from protocols.wire.ids import CampaignId
from protocols.wire.reports import Report

NEEDED = {"recorder": 1, "speech": 2, "media": 1, "edge": 1, "central": 1, "desk": 1}
AGENTS = "ann:service+appointments,ben:service+billing"
"""Who sits at the desk, with which skills; software too, at the same WebSocket as a page."""
KILLS = {6: "speech", 14: "edge"}
"""After so many heard turns, whom to kill."""
BILLING = "http://127.0.0.1:8090"
"""The billing system that the shipped payment reminder names."""
SETTINGS = '[fetch]\nallow = ["127.0.0.1"]\n'
"""Ours is on loopback, where no script goes without being let."""
PLAN = Plan(
    zone="Europe/London",
    clock="2026-03-03T10:00:00+00:00",
    spacing_s=1.0,
    ring_s=15.0,
    concurrency=6,
    recording="asked",
    retries={"busy": (2.0,)},
)
"""A Tuesday morning; calls of a rehearsal may be made at any hour of the real day. Its callees are software, and agree
to be recorded."""
CASTS = {
    "appointment_reminder": (
        "clinic,date,time\n",
        "Rivertown Dental,2026-03-05,15:30",
        (
            "cooperative-1",
            "cooperative-2-echo",
            "refuses-1-echo",
            "voicemail-1",
            "busy-1",
            "cooperative-3",
            "cooperative-10-late",
            "cooperative-12",
        ),
    ),
    "payment_reminder": (
        "company,account\n",
        "Acme,4250",
        (
            "cooperative-4",
            "interrupts-1-echo",
            "optout-1",
            "silent-1",
            "noanswer-1",
            "cooperative-5-echo",
            "cooperative-11",
            "cooperative-13-late",
        ),
    ),
    "survey": (
        "company\n",
        "Acme",
        (
            "cooperative-6",
            "cooperative-7-late",
            "human-1-echo",
            "hangsup-1",
            "cooperative-8",
            "cooperative-9-echo",
            "cooperative-14",
            "human-2",
        ),
    ),
}
"""Script -> its columns, what each contact has in them, and who is called."""
NEXT = {
    "ringmaster script talk survey --slot company=Acme": "be the callee, by keyboard",
    "ringmaster up": "run a node",
    "ringmaster call sip:you@127.0.0.1:5070": "it calls your softphone",
}
NAMES = ("Alex", "Robin", "Sam", "Kim", "Chris", "Jo", "Lee", "Max")


def describe(parser: argparse.ArgumentParser) -> None:
    """How much to show, and which draw of answers."""
    parser.add_argument("--json", action="store_true", help="end with one JSON object; captions go to standard error")
    parser.add_argument("--seed", type=int, default=1, help="what callees answer (default: 1)")
    parser.add_argument("--state", default="var/demo", metavar="DIR", help="where everything stays (default: var/demo)")


def run(args: argparse.Namespace) -> int:
    """0 when no call was lost and every event was recorded."""
    return ENDING.run(_run(args, Path(args.state).resolve()))


async def _run(args: argparse.Namespace, state: Path) -> int:
    to = console(stderr=args.json)
    began_s = time.monotonic()
    async with _billing() as address:
        scripts = {name: read_script(name).replace(BILLING, address) for name in CASTS}
        async with stage(state, scripts, args.seed, NEEDED, settings=SETTINGS, agents=AGENTS) as here:
            _show_processes(here, to, time.monotonic() - began_s)
            parts = [Part(Campaign(CampaignId(name), PLAN), scripts[name], _contacts(name)) for name in CASTS]
            watch = await play(here, parts, Captions(to), KILLS)
            report = await _settled_report(here, watch)
            verdict = judge(watch.events.values(), here.lived())
            outcome = _outcome(here, watch, verdict, report, args.seed)
    _show_outcome(to, verdict, report, time.monotonic() - began_s)
    if args.json:
        emit(outcome)
    return 0 if not outcome["lost"] and outcome["events"] == outcome["events_recorded"] else 1


def _contacts(script: str) -> str:
    """Return the contact list of a cast as CSV."""
    columns, values, users = CASTS[script]
    rows = (f"sip:{user}@callees,{name},rehearsal,{values}\n" for user, name in zip(users, NAMES, strict=True))
    return f"number,name,consent,{columns}" + "".join(rows)


@asynccontextmanager
async def _billing() -> AsyncIterator[str]:
    """Be the billing system that the payment reminder asks; yields its address."""

    async def account(request: web.Request) -> web.Response:
        balance = {"balance": "42.50", "due": "2026-02-27", "number": request.match_info["number"]}
        return web.json_response({"account": balance})

    app = web.Application()
    app.add_routes([web.get("/accounts/{number}", account)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _settled_report(here: Stage, watch: Watch) -> Report:
    """Return the report once the recorder has every event that we have seen, or 10 s later."""
    give_up_s = time.monotonic() + 10.0
    while True:
        report = await reporting.ask(here.client)
        if report.events >= len(watch.events) or time.monotonic() > give_up_s:
            return report
        await asyncio.sleep(0.2)


def _outcome(here: Stage, watch: Watch, verdict: Verdict, report: Report, seed: int) -> dict[str, object]:
    models = here.config.models
    return {
        "calls": verdict.calls,
        "answered": verdict.answered,
        "lost": verdict.lost,
        "dispositions": dict(verdict.dispositions),
        "handovers": verdict.handovers,
        "handover_ms": {
            "p50": percentile(verdict.handover_ms, 50),
            "p99": percentile(verdict.handover_ms, 99),
            "n": len(verdict.handover_ms),
        },
        "turns": verdict.turns,
        "turn_ms": {
            "p50": percentile(verdict.turn_ms, 50),
            "p95": percentile(verdict.turn_ms, 95),
            "n": len(verdict.turn_ms),
        },
        "understood": verdict.understood,
        "misunderstood": verdict.misunderstood,
        "self_interruptions": verdict.self_interruptions,
        "events": len(watch.events),
        "events_recorded": report.events,
        "kills": len(watch.kills),
        "restarts": watch.restarts,
        "recovered": verdict.recovered,
        "worst_gap_ms": verdict.worst_gap_ms,
        "recogniser": models.recogniser.name,
        "synthesiser": f"mimic3 {models.voice.parent.name}/{models.voice.name}",
        "seed": seed,
    }


def _show_processes(here: Stage, to: Console, after_s: float) -> None:
    to.print(f"The node is up after {after_s:.1f} s. Its log: {_from_here(here.log)}", soft_wrap=True)
    to.print("Its processes, any of which you may kill while the calls go on:\n")
    for peer in here.client.roster().processes:
        to.print(f"  {peer.name:<11}  {peer.state:<6}  kill -9 {peer.pid}")
    to.print()


def _from_here(path: Path | str) -> str:
    """Return a path as short as it can be pasted in this directory."""
    return str(path).removeprefix(f"{Path.cwd()}/")


def _show_outcome(to: Console, verdict: Verdict, report: Report, took_s: float) -> None:
    to.print()
    to.rule(f"{verdict.calls} calls in {took_s:.0f} s", style="dim")
    reporting.show(report, to)
    turns = verdict.understood + verdict.misunderstood
    to.print(f"\nunderstood {verdict.understood} of {turns} answers, as the callees meant them")
    to.print(f"prompts that their own echo stopped: {verdict.self_interruptions}")
    for one in verdict.misheard:
        hang(to, Text("  not: "), Text(one, "dim"))
    to.print(f"longest gap in anybody's ear {verdict.worst_gap_ms:.0f} ms\n\nrecordings")
    for recording in verdict.recordings[:3]:
        to.print(_from_here(recording), style="dim", soft_wrap=True)
    to.print("\nnext")
    for command, purpose in NEXT.items():
        to.print(Text.assemble(f"  {command:<51}", (purpose, "dim")), soft_wrap=True)


__all__ = ["describe", "run"]
