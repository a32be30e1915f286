"""`ringmaster report`: what the calls came to, asked of the recorder."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, console, emit
from nodes.errors import NodeError
from nodes.links.errors import LinkError, Refused
from protocols.wire.ids import CampaignId
from protocols.wire.reports import GetReport, Report


class NoReport(NodeError):
    """The recorder does not answer."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Of what, and for whom."""
    parser.add_argument("--campaign", default="", help="one campaign only")
    parser.add_argument("--since", default="", metavar="TIME", help="attempts from this ISO 8601 moment on")
    parser.add_argument("--until", default="", metavar="TIME", help="attempts before this ISO 8601 moment")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the report of the running node."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with connected(configured(args)) as client:
        found = await ask(client, args.campaign, args.since, args.until)
    if args.json:
        emit(asdict(found))
    else:
        show(found, console())
    return 0


async def ask(client: Client, campaign: str = "", since: str = "", until: str = "") -> Report:
    """Return the recorder's report. Raises: NoReport, NotUp."""
    try:
        return await client.ask("recorder", GetReport(CampaignId(campaign), since, until))
    except LinkError as error:
        if isinstance(error, Refused) and error.reason == "bad_time":
            raise NoReport("--since, --until: an ISO 8601 moment with offset, as 2026-03-03T10:00+00:00") from error
        raise NoReport(f"the recorder does not report: {error}") from error


def show(report: Report, to: Console) -> None:
    """Print the report as a table for people."""
    table = Table("", "", show_header=False, box=None, pad_edge=False, padding=(0, 2))
    for name, value in rows(report):
        table.add_row(name, value)
    to.print(table)


def rows(report: Report) -> list[tuple[str, str]]:
    """Return the report's lines: a name and a value, in the order of a call's life."""
    return [
        ("attempts", str(report.attempts)),
        ("answered", f"{report.answered}   answer-seizure ratio {_figure(report.answer_seizure_ratio, '.2f')}"),
        ("mean call duration", f"{_figure(report.mean_call_duration_s, '.1f')} s"),
        ("dispositions", "  ".join(f"{name} {count}" for name, count in sorted(report.dispositions.items()))),
        ("lost", str(report.lost)),
        ("recovered", str(report.recovered)),
        (
            "turns",
            f"understood {report.turns_understood}, not {report.turns_not_understood}, silent {report.turns_silent}",
        ),
        ("turn", f"p50 {_figure(report.turn_ms_p50)} ms, p95 {_figure(report.turn_ms_p95)} ms"),
        (
            "first word",
            f"p50 {_figure(report.first_word_ms_p50)} ms, p95 {_figure(report.first_word_ms_p95)} ms after the "
            f"greeting, {_figure(report.first_word_late, '.1%')} later than 2 s",
        ),
        ("handovers", f"{report.handovers}, failed {report.handovers_failed}"),
        ("handover", f"p50 {_figure(report.handover_ms_p50)} ms, p99 {_figure(report.handover_ms_p99)} ms"),
        ("events", f"{report.events} recorded, {report.dead_letters} unreadable"),
        *([("archived", _archived(report))] if report.archived else []),
        *([("database", report.note)] if report.note else []),
    ]


def _archived(report: Report) -> str:
    return f"{report.archived} of these events are in files alone, of {report.archived_from} to {report.archived_to}"


def _figure(value: float | None, form: str = ".0f") -> str:
    return "-" if value is None else format(value, form)


__all__ = ["NoReport", "ask", "describe", "rows", "run", "show"]
