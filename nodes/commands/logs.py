"""`ringmaster logs`: what all nodes of the cluster say of a call, or with a word in it, in the order of time.

Each node is asked for the newest lines of the log that it keeps (`<state>/log`), so a node that does not answer is
named, and one that has more lines than are shown, too. Whoever may read the node's state directory may ask; there is no
telephone number and none of a caller's words in any line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from protocols.wire.ids import CallId, NodeId
from protocols.wire.log_lines import MOST_LINES, FindLogLines, LogLines

ASK_S: Final = 15.0
"""So long may a machine take that has much to look through and other things to do."""
_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN: Final = ("wall", "node_id", "process", "level", "event")
"""What a line begins with; all else follows."""
_LEFT_OUT: Final = ("module", "trace")


class BadTime(NodeError):
    """No moment."""


def describe(parser: argparse.ArgumentParser) -> None:
    """What to look for."""
    parser.add_argument("--call", default="", metavar="ID", help="lines of this call, in any node")
    parser.add_argument("--grep", default="", metavar="WORD", help="lines with this in them, in capitals or not")
    since = "from this moment on: 15m, 2h, 1d ago, or ISO 8601 with offset; default: as far back as is kept"
    parser.add_argument("--since", default="", metavar="TIME", help=since)
    most = f"so many of the newest, up to {MOST_LINES} of each node; default: %(default)s"
    parser.add_argument("--last", type=_count, default=200, metavar="N", help=most)
    parser.add_argument("--json", action="store_true", help="lines as they are, one JSON object each")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_LINES:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {MOST_LINES}")
    return number


def run(args: argparse.Namespace) -> int:
    """Print the lines; 1 when a node did not answer, for then there may be more."""
    asked = FindLogLines(CallId(args.call) if args.call else None, args.grep, moment_of(args.since), args.last)
    return ENDING.run(_run(args, asked))


async def _run(args: argparse.Namespace, asked: FindLogLines) -> int:
    async with connected(configured(args)) as client:
        told = await find(client, asked)
    for line in merged(told, asked.most):
        print(json.dumps(line, ensure_ascii=False) if args.json else shown(line))
    for note in notes(told, asked):
        print(note, file=sys.stderr)
    return 1 if any(isinstance(one, str) for one in told.values()) else 0


async def find(client: Client, asked: FindLogLines) -> dict[NodeId, LogLines | str]:
    """Return what each node of the cluster has, or why it has not said it. Raises: NotUp."""
    nodes = await client.log_keepers()

    async def ask(node: NodeId) -> LogLines | str:
        who = nodes[node]
        if isinstance(who, str):
            return who
        try:
            return await client.mesh.ask(who.identity, asked, ASK_S)
        except LinkError as error:
            return str(error)

    return dict(zip(nodes, await asyncio.gather(*map(ask, nodes)), strict=True))


def merged(told: Mapping[NodeId, LogLines | str], most: int) -> list[dict[str, Any]]:
    """Return the newest lines of all nodes, oldest first."""
    lines = [line for one in told.values() if isinstance(one, LogLines) for line in map(_read, one.lines) if line]
    return sorted(lines, key=lambda line: str(line["wall"]))[-most:]


def _read(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "wall" in line else None


def shown(line: Mapping[str, Any]) -> str:
    """Return a line for people.

    >>> shown({"wall": "2026-03-03T10:00:00.123456Z", "node_id": "n1", "process": "edge-0", "level": "warning",
    ...        "event": "call.not_moved", "call_id": "c1", "reason": "no word from there", "module": "x"})
    '2026-03-03 10:00:00.123  n1  edge-0  warning  call.not_moved  call_id=c1  reason="no word from there"'
    """
    wall = str(line["wall"]).replace("T", " ").rstrip("Z")[:23]
    head = [wall, *(str(line.get(name, "-")) for name in _SHOWN[1:])]
    return "  ".join([*head, *(f"{name}={_value(value)}" for name, value in line.items() if _is_shown(name))])


def _is_shown(name: str) -> bool:
    return name not in _SHOWN and name not in _LEFT_OUT


def _value(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[\w.:/@*>$+,\[\]-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def notes(told: Mapping[NodeId, LogLines | str], asked: FindLogLines) -> Iterator[str]:
    """Yield what the lines do not say: who has not answered, and what is not shown."""
    n_shown = len(merged(told, asked.most))
    n_found = sum(one.n_found for one in told.values() if isinstance(one, LogLines))
    if not n_found:
        yield "no such line"
    elif n_found > n_shown:
        yield f"the newest {n_shown} of {n_found} lines: --last, --since or --grep show others"
    for node, one in told.items():
        if isinstance(one, str):
            yield f"{node} does not answer, and may have more: {one}"
        elif not one.since:
            yield f"{node} keeps no log: telemetry.log_mb"
        elif one.since > (asked.since or one.since):
            yield f"{node} has lines from {one.since} on only"


def moment_of(text: str, now: datetime | None = None) -> str:
    """Return a moment as lines have it; empty for none. Raises: BadTime.

    >>> moment_of("15m", datetime(2026, 3, 3, 10, 0, tzinfo=UTC)), moment_of("2026-03-03T10:00+01:00")
    ('2026-03-03T09:45:00.000000Z', '2026-03-03T09:00:00.000000Z')
    """
    if not text:
        return ""
    try:
        if ago := _AGO.fullmatch(text):
            at = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise BadTime(f"--since {text}: 15m, 2h, 1d, or a moment with offset, as 2026-03-03T10:00+00:00") from error


__all__ = ["BadTime", "describe", "find", "merged", "moment_of", "notes", "run", "shown"]
