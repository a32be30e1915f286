"""The tables of the log and the source say the same: each event has a row, and no row is of what nobody writes."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from grammars.tables import table
from nodes.histories import FAILED
from nodes.telemetry import logs
from nodes.telemetry.log_table import LogEvent, LogField, log_events, log_fields
from protocols.wire.events import TRANSCRIPT, Kind

ROOT = Path(__file__).parents[3]
EVENTS, FIELDS = list(log_events().values()), list(log_fields().values())
LEVELS = {"debug", "info", "warning", "error", "critical"}
ALWAYS = {"node_id", "process", "module", "leg_id", "trace"}
"""Fields that lines get by themselves, or by `logs.bound`."""
HANDED_ON = {
    "nodes/child.py": {"traceback"},
    "nodes/watch.py": {"path", "ms"},
    "nodes/storage/quotas.py": {"used_mb", "quota_mb"},
    "nodes/edge/load.py": {"cores", "capacity", "room", "used", "late_ms", "gives_up"},
    "nodes/admin/audit.py": {"what", "who", "role", "from", "name", "seat", "reason", "status", "unsaid", "contact_id"},
}
"""What modules hand on as `**fields`, by hand."""


@dataclass
class Told:
    """What the source says of one event."""

    where: list[str] = field(default_factory=list)
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, ast.expr | None]]:
    """Yield each call that writes a line: at which level, and the expression for its event."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called, first = ast.unparse(node.func), node.args[0]
        owner, _, method = called.rpartition(".")
        if owner in ("log", "logs") and method in LEVELS | {"exception"}:
            yield node, "error" if method == "exception" else method, first
        elif called in ("self._log", "log") and len(node.args) == 2:  # the launcher's
            yield node, str(getattr(first, "value", "")), node.args[1]
        elif called == "line_of" and len(node.args) == 3:
            yield node, str(getattr(node.args[1], "value", "")), node.args[2]
        elif called in ("log", "self.log"):  # watch, and service_manager: they are given a function
            yield node, "warning", first
        elif called == "self._say" and isinstance(first, ast.Constant) and node.keywords and "." in str(first.value):
            yield node, "error", first  # remedy


WRAPPERS = {"nodes/bus/remedy.py", "nodes/launcher.py", "nodes/edge/diary.py", "nodes/admin/audit.py"}
"""Modules with a function of their own that writes what it is given; its callers are found above."""


@cache
def told() -> dict[str, Told]:
    found: defaultdict[str, Told] = defaultdict(Told)
    for path in [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "supervisors").rglob("*.py")]:
        name = path.relative_to(ROOT).as_posix()
        for call, level, event in calls(ast.parse(path.read_text())):
            names = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
            for one in names:
                if not (isinstance(one, ast.Constant) and isinstance(one.value, str)):
                    assert name in WRAPPERS, (
                        f"{name}:{call.lineno}: the name of an event is written out, as 'call.lost'"
                    )
                    continue
                row = found[one.value]
                row.where.append(f"{name}:{call.lineno}")
                row.levels.add(level)
                row.fields |= {word.arg for word in call.keywords if word.arg} - {"exc_info"}
                if any(word.arg is None for word in call.keywords):
                    row.fields |= HANDED_ON[name]
                if ast.unparse(call.func).endswith(".exception") or any(
                    word.arg == "exc_info" for word in call.keywords
                ):
                    row.fields.add("exception")
    for kind in Kind:  # nodes/edge/diary.py
        row = found[kind.value]
        row.where.append("nodes/edge/diary.py")
        row.levels.add("debug" if kind in TRANSCRIPT else "info")
        row.fields |= {"call_id", "campaign_id"}
    return dict(found)


def named(given: object) -> str:
    return given.name if isinstance(given, LogEvent | LogField) else ""


def test_an_event_and_a_field_have_one_row() -> None:
    assert len(EVENTS) == len(table("nodes.telemetry", "log_events"))
    assert len(FIELDS) == len(table("nodes.telemetry", "log_fields"))


def test_every_event_of_the_source_is_in_the_table() -> None:
    missing = {name: row.where for name, row in told().items() if name not in log_events()}
    assert not missing, "add a row to nodes/telemetry/log_events.tsv"


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_a_row_says_at_which_levels_and_with_which_fields_the_source_tells_the_event(event: LogEvent) -> None:
    row = told()[event.name]  # else: nobody tells it any more, and the row goes
    assert set(event.levels) == row.levels, row.where
    assert set(event.fields) == row.fields, row.where


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_every_field_of_an_event_is_in_the_table_of_fields(event: LogEvent) -> None:
    assert set(event.fields) <= log_fields().keys(), "add a row to nodes/telemetry/log_fields.tsv"


def test_a_field_that_no_event_has_is_one_of_every_line() -> None:
    used = {name for event in EVENTS for name in event.fields}
    assert log_fields().keys() - used == ALWAYS
    assert set(logs.KEYS) <= log_fields().keys()


@pytest.mark.parametrize("row", [*EVENTS, *FIELDS], ids=named)
def test_a_row_says_what_it_means(row: LogEvent | LogField) -> None:
    assert re.fullmatch(r"[A-Z0-9`].*[.!]", row.means)


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_what_is_of_one_call_has_its_id(event: LogEvent) -> None:
    room = event.name.partition(".")[0]
    if room in ("call", "attempt", "handover", "channel", "recording") or event.name in set(Kind):
        assert {"call_id", "channel_id", "recording"} & set(event.fields)


def test_the_launcher_knows_the_last_line_of_a_process_by_its_event() -> None:
    assert FAILED in log_events()
