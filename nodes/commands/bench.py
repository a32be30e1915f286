"""`ringmaster bench bus|cluster|core|crowd|hearing|media|sync|takeover|turn`: what the design promises, measured."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nodes.admin import bench as admin
from nodes.commands.captions import Captions
from nodes.commands.central import Campaign
from nodes.commands.demo import NEEDED
from nodes.commands.judge import judge, percentile
from nodes.commands.play import Part, play
from nodes.commands.scripts import read_script
from nodes.commands.stage import stage
from nodes.commands.terminal import ENDING, console, emit
from nodes.media.bench import Row, measure
from nodes.telemetry import logs
from protocols.wire.campaigns import Plan
from protocols.wire.ids import CampaignId

LATE_MS = 5.0
"""300 calls a core at p99 lateness of at most this."""
SYNC_MS = 5.0
"""p99 from a change to every view of it (the source documents ask for 10)."""
SYNC_PER_S = 500.0
SYNC_S = 4.0
"""For each view."""
TURN_MS = 350.0
"""p95 from the callee's last speech sample to our first answer sample, stamped at the callee."""
BENCHES = ("bus", "cluster", "core", "crowd", "hearing", "media", "sync", "takeover", "turn")
CALLS = (100, 300, 500)
MOST_CALLS = 1000
SECONDS = 8.0
TURN_CALLS = 8
"""Callees of the survey, four at a time: some 50 turns."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Which, and for whom."""
    parser.add_argument("what", choices=BENCHES)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--peers", action="store_true", help="core: other people's actors, too, where installed")
    parser.add_argument("--calls", type=_numbers, default=(), metavar="N,N", help="crowd: how many are wanted, in turn")
    parser.add_argument("--seconds", type=float, default=0.0, help="bus, crowd, media, sync: length of a run")
    parser.add_argument("--sessions", type=int, default=0, metavar="N", help="cluster: so many calls at once")
    parser.add_argument("--nodes", type=int, default=0, metavar="N", help="cluster: nodes; one for 850 calls")
    parser.add_argument("--scale", type=float, default=0.0, help="cluster: how fast a call goes by; 1: as in life")
    parser.add_argument("--seed", type=int, default=1, help="cluster: of what is killed")
    parser.add_argument("--state", default="var/bench", metavar="DIR", help="where the nodes' state stays")
    parser.add_argument("--kinds", default="", metavar="KIND,KIND", help="takeover: what is ended; all, if not said")


def run(args: argparse.Namespace) -> int:
    """Print the table. Cluster, core, crowd, hearing and takeover: exit 1 when a promise is broken.

    Bus, media, sync and turn: exit 0 whatever it says, for a shared machine is no judge of elapsed time.
    """
    if args.what == "core":
        from nodes.commands.bench_core import core

        return core(args.json, args.peers)
    if args.what == "bus":
        from nodes.bus.bench import SECONDS as EACH_S
        from nodes.commands.bench_bus import bus

        logs.configure("error", "n1", "bench")
        return bus(args.seconds or EACH_S, args.json)
    if args.what == "cluster":
        from nodes.commands import bench_cluster as many

        logs.configure("error", "n1", "bench")
        state = Path(args.state).resolve()
        sessions, scale = args.sessions or many.SESSIONS, args.scale or many.SCALE
        return many.cluster(sessions, scale, args.seed, state, args.json, args.nodes)
    if args.what == "crowd":
        from nodes.commands import bench_crowd

        calls, seconds = args.calls or bench_crowd.CALLS, args.seconds or bench_crowd.SECONDS
        return bench_crowd.crowd(calls, seconds, Path(args.state).resolve(), args.json)
    if args.what == "hearing":
        from nodes.commands.bench_hearing import hearing

        return hearing(args.json)
    if args.what == "takeover":
        from nodes.commands import bench_takeover

        return bench_takeover.takeover(args.kinds, Path(args.state).resolve(), args.json)
    if args.what == "media":
        rows = ENDING.run(measure(CALLS, args.seconds or SECONDS))
        _media(rows, args.json)
    elif args.what == "sync":
        logs.configure("error", "n1", "bench")
        _sync(ENDING.run(admin.measure(SYNC_PER_S, args.seconds or SYNC_S)), args.json)
    else:
        ENDING.run(_turn(args, Path(args.state).resolve()))
    return 0


def _numbers(given: str) -> tuple[int, ...]:
    """Read `10,50,100`. Raises: ValueError."""
    numbers = tuple(int(each) for each in given.split(","))
    if not all(0 < number <= MOST_CALLS for number in numbers):
        raise ValueError(given)
    return numbers


def _media(rows: list[Row], as_json: bool) -> None:
    held = {row.calls: row.late_p99_ms <= LATE_MS for row in rows}
    if as_json:
        emit({"bench": "media", "promise_late_p99_ms": LATE_MS, "rows": [asdict(row) for row in rows]})
        return
    table = Table(
        "calls", "late p50 ms", "p99", "max", "us a pair", "floor us", "share of a core", "missed", "scheduler"
    )
    for row in rows:
        table.add_row(
            str(row.calls), f"{row.late_p50_ms:.1f}", f"{row.late_p99_ms:.1f}", f"{row.late_max_ms:.1f}",
            f"{row.cpu_us:.1f}", f"{row.floor_us:.1f}", f"{row.cpu_share:.2f}", str(row.slots_missed), row.scheduler,
        )  # fmt: skip
    to = console()
    to.print(table)
    to.print(f"load {rows[-1].load:.1f}; promise: 300 calls at p99 <= {LATE_MS:g} ms: {_word(held.get(300, False))}")


def _sync(rows: list[admin.Row], as_json: bool) -> None:
    found = {row.view: _figures(row) for row in rows}
    load = os.getloadavg()[0]
    if as_json:
        emit({"bench": "sync", "promise_p99_ms": SYNC_MS, "per_second": SYNC_PER_S, **found, "load": load})
        return
    table = Table("view", "p50 ms", "p99", "max", "seen", "promise")
    for view, one in found.items():
        held = one["n"] == one["of"] and one["p99"] is not None and one["p99"] <= SYNC_MS
        table.add_row(
            view, f"{one['p50']}", f"{one['p99']}", f"{one['max']}", f"{one['n']} of {one['of']}", _word(held)
        )
    to = console()
    to.print(table)
    to.print(f"{SYNC_PER_S:g} changes a second; load {load:.1f}; promise: p99 <= {SYNC_MS:g} ms")


def _figures(row: admin.Row) -> dict[str, float | None]:
    took_ms, n = row.took_ms, len(row.took_ms)
    p50, p99 = percentile(took_ms, 50), percentile(took_ms, 99)
    return {"p50": p50, "p99": p99, "max": max(took_ms, default=None), "n": n, "of": row.of}


async def _turn(args: argparse.Namespace, state: Path) -> None:
    """Calls to cooperative callees; each stamps its own last sample and our first."""
    script = read_script("survey")
    rows = "".join(f"sip:cooperative-{n}@callees,Alex,bench,Acme\n" for n in range(TURN_CALLS))
    plan = Plan(zone="Europe/London", clock="2026-03-03T10:00:00+00:00", concurrency=4, retries={})
    part = Part(Campaign(CampaignId("bench"), plan), script, f"number,name,consent,company\n{rows}")
    async with stage(state, {"survey": script}, 1, NEEDED) as here:
        watch = await play(here, [part], Captions(Console(quiet=True)), {})
        verdict = judge(watch.events.values(), here.lived())
    p50, p95 = percentile(verdict.turn_ms, 50), percentile(verdict.turn_ms, 95)
    found = {"bench": "turn", "promise_p95_ms": TURN_MS, "p50_ms": p50, "p95_ms": p95, "n": len(verdict.turn_ms)}
    found |= {"understood": verdict.understood, "misunderstood": verdict.misunderstood, "load": os.getloadavg()[0]}
    if args.json:
        emit(found)
        return
    table = Table("turns", "p50 ms", "p95 ms", "understood", "load")
    heard = f"{verdict.understood} of {verdict.understood + verdict.misunderstood}"
    table.add_row(str(len(verdict.turn_ms)), f"{p50}", f"{p95}", heard, f"{os.getloadavg()[0]:.1f}")
    to = console()
    to.print(table)
    to.print(f"promise: p95 <= {TURN_MS:g} ms: {_word(p95 is not None and p95 <= TURN_MS)}")


def _word(held: bool) -> str:
    return "held" if held else "not held"


__all__ = ["describe", "run"]
