"""Makes the runbook's page of reference from the tables: every metric, alert, event of the log, and span."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nodes.telemetry.catalogue import Metric, metrics
from nodes.telemetry.log_table import log_events, log_fields
from nodes.telemetry.spans import SPANS

NAME = "reference.md"
HEAD = """# Reference

Every metric, alert, event of the log and span that there is. Made by `ops/telemetry/generate.py` from the tables beside
the code; a test holds it to them.

```sh
curl -s http://127.0.0.1:8080/metrics
ringmaster logs --grep node.up
```
"""
LOG = """Each line of the log is a JSON object with `event`, `level`, `wall` (the moment, in UTC), `node_id`, `process`.
`module` says whose code has written it, and `call_id`, `campaign_id`, `leg_id` and `trace` whom it is about.
`ringmaster logs` looks for them."""
MARKS = """In place of what no line may have stands `[number]`, `[user]@`, `[secret]`, `[words]`, `[undeclared]` or, for
what a library has quoted, `[...]`."""


def page(alerts: Iterable[Mapping[str, Any]]) -> str:
    """Return the page."""
    return "\n".join([HEAD, *_metrics(), *_alerts(alerts), *_log(), *_spans()])


def _metrics() -> Iterator[str]:
    yield "## Metrics\n"
    yield "At `/metrics` of each node's desk, of that node. *later*: declared, and not shown yet.\n"
    yield from _table(("metric", "kind", "labels", "what it is", "what it means"), map(_metric, metrics().values()))


def _metric(row: Metric) -> tuple[str, ...]:
    later = " *later*" if row.source == "later" else ""
    return f"`{row.name}`{later}", row.kind.value, " ".join(f"`{one}`" for one in row.labels), row.help, row.means


def _alerts(alerts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Alerts\n"
    yield "What to do stands on [their page](alerts.md).\n"
    rows = [
        (f"[{one['name']}](alerts.md#{one['name'].lower()})", one["severity"], one["for"], one["summary"])
        for one in alerts
    ]
    yield from _table(("alert", "severity", "for", "fires when"), rows)


def _log() -> Iterator[str]:
    yield "## Events of the log\n"
    yield f"{LOG}\n"
    rows = [
        (f"`{one.name}`", ", ".join(one.levels), " ".join(f"`{name}`" for name in one.fields), one.means)
        for one in log_events().values()
    ]
    yield from _table(("event", "level", "fields", "what has happened, and what to do"), rows)
    yield "## Fields of the log\n"
    yield f"{MARKS}\n"
    fields = [(f"`{one.name}`", one.kind.value, one.means) for one in log_fields().values()]
    yield from _table(("field", "kind", "what it is"), fields)


def _spans() -> Iterator[str]:
    yield "## Spans\n"
    yield "Told where `telemetry.otlp` names a collector; attributes begin with `ringmaster.`\n"
    rows = [(f"`{name}`", row.role, row.below or "-", row.what) for name, row in SPANS.items()]
    yield from _table(("span", "told by", "below", "takes the time"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield _row(head)
    yield _row("---" for _ in head)
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(one.replace('|', '&#124;') for one in cells)} |"
