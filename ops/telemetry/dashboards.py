"""Makes Grafana's dashboards from their table (`dashboards.toml`): JSON that its provisioning, or its import, takes.

A panel is described by what `metrics.tsv` says of the metrics that it asks for, and its threshold is read from the
alert that it names: neither is written twice.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nodes.telemetry.catalogue import metrics

HERE: Final = Path(__file__).parent
SIZES: Final = {"stat": (4, 4), "line": (8, 8)}
COLUMNS: Final = 24
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_BOUND: Final = re.compile(r"([<>]) ([\d.]+)$")
_METRIC: Final = re.compile(r"ringmaster_\w+")

Panel = Mapping[str, Any]
Alert = Mapping[str, Any]


def dashboards() -> list[Mapping[str, Any]]:
    """Return the table's rows."""
    rows: list[Mapping[str, Any]] = tomllib.loads((HERE / "dashboards.toml").read_text(encoding="utf-8"))["dashboard"]
    return rows


def made(alerts: Sequence[Alert]) -> Mapping[str, str]:
    """Return the files by name, from here."""
    by_name = {one["name"]: one for one in alerts}
    return {f"dashboards/{one['name']}.json": _written(one, by_name) for one in dashboards()}


def queries(panels: Iterable[Panel]) -> list[str]:
    """Return what panels ask Prometheus, for all nodes."""
    return [query.replace("$instance", ".*") for panel in panels for query, _ in panel["queries"]]


def bound(alert: Alert) -> tuple[str, float]:
    """Return from where an alert fires, and on which side.

    >>> bound({"expr": "max by (job) (x) > 0.15"})
    ('>', 0.15)
    """
    found = _BOUND.search(alert["expr"].split(" unless ")[0].split(" and on ")[0].strip())
    assert found, alert["expr"]
    return found[1], float(found[2])


def described(panel: Panel) -> str:
    """Return what a panel shows, in the words of the table of metrics."""
    names = list(dict.fromkeys(name for query, _ in panel["queries"] for name in _METRIC.findall(query)))
    rows = [row for name in names if (row := metrics().get(re.sub(r"_(bucket|sum|count)$", "", name)))]
    return "\n\n".join(f"{row.help} {row.means}" for row in rows)


def _written(row: Mapping[str, Any], alerts: Mapping[str, Alert]) -> str:
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    nodes = {
        "name": "instance", "label": "node", "type": "query", "datasource": SOURCE, "refresh": 2,
        "query": 'label_values(up{job="ringmaster"}, instance)', "includeAll": True, "multi": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip
    link = {"type": "dashboards", "tags": ["ringmaster"], "title": "Ringmaster", "asDropdown": True, "keepTime": True}
    is_of_nodes = any("$instance" in query for panel in row["panels"] for query, _ in panel["queries"])
    body = {
        "uid": f"ringmaster-{row['name']}", "title": f"Ringmaster: {row['title']}", "tags": ["ringmaster"],
        "schemaVersion": 39, "version": 1, "editable": True, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"}, "links": [link],
        "templating": {"list": [source, *([nodes] if is_of_nodes else [])]},
        "panels": _panels(row["panels"], alerts),
    }  # fmt: skip
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _panels(panels: Sequence[Panel], alerts: Mapping[str, Alert]) -> list[Mapping[str, Any]]:
    """Lay panels out in rows, from left to right."""
    x = y = height = 0
    laid = []
    for number, panel in enumerate(panels, 1):
        w, h = SIZES[panel["shape"]]
        if x + w > COLUMNS or (x and h != height):
            x, y = 0, y + height
        height = h
        laid.append(_panel(panel, number, {"x": x, "y": y, "w": w, "h": h}, alerts.get(panel.get("alert", ""))))
        x += w
    return laid


def _panel(panel: Panel, number: int, place: Mapping[str, int], alert: Alert | None) -> Mapping[str, Any]:
    steps: list[Mapping[str, Any]] = [{"color": "green", "value": None}]
    if alert:
        side, value = bound(alert)
        steps = [*steps, {"color": "red", "value": value}]
        if side == "<":
            steps = [{"color": "red", "value": None}, {"color": "green", "value": value}]
    drawn = {"mode": "line+area" if alert else "off"}
    custom = {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": False, "thresholdsStyle": drawn}
    is_line = panel["shape"] == "line"
    line = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    stat = {"colorMode": "none", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "id": number, "type": "timeseries" if is_line else "stat", "title": panel["title"],
        "description": described(panel), "gridPos": place, "datasource": SOURCE,
        "targets": [
            {"refId": "ABCDEF"[n], "expr": query, "legendFormat": legend, "datasource": SOURCE}
            for n, (query, legend) in enumerate(panel["queries"])
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel["unit"], "min": 0, "thresholds": {"mode": "absolute", "steps": steps},
                "color": {"mode": "palette-classic" if is_line else "thresholds"},
                **({"custom": custom} if is_line else {"noValue": "-"}),
            },
            "overrides": [],
        },
        "options": line if is_line else stat,
    }  # fmt: skip
