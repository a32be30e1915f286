"""The dashboards: what they ask for is there, and Prometheus takes every question."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from nodes.telemetry.catalogue import metrics
from ops.telemetry import dashboards, generate
from tests.ops.test_alerts import SERIES

ROWS = dashboards.dashboards()
PANELS = [panel for row in ROWS for panel in row["panels"]]
ALERTS = {row["name"]: row for row in generate.alerts()}
OTHERS = {"up", "ALERTS"}
"""Series of Prometheus's own."""
PROMETHEUS = {"instance", "job", "le", "alertname", "alertstate"}
"""Labels that it gives."""


def titled(given: object) -> str:
    return given["title"] if isinstance(given, dict) else ""


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_a_panel_asks_for_metrics_that_there_are_by_labels_that_they_have(panel: dashboards.Panel) -> None:
    for query, legend in panel["queries"]:
        names = re.findall(r"ringmaster_\w+", query)
        assert set(names) <= SERIES.keys()
        assert names or any(name in query for name in OTHERS)
        known = {
            "instance",
            "job",
            "le",
            "alertname",
            "alertstate",
            *(one for name in names for one in SERIES[name].labels),
        }
        asked = re.findall(r"by \(([^)]*)\)", query)
        grouped = {one.strip() for group in asked for one in group.split(",")}
        matched = set(re.findall(r"(\w+)(?:=~?|!=)\"", query))
        assert grouped | matched <= known
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert shown <= grouped if grouped else shown <= known


@pytest.mark.parametrize("panel", PANELS, ids=titled)
def test_a_panel_is_described_by_the_table_and_its_threshold_is_the_alerts(panel: dashboards.Panel) -> None:
    told = dashboards.described(panel)
    assert told or not any("ringmaster_" in query for query, _ in panel["queries"])
    if "alert" in panel:
        alert = ALERTS[panel["alert"]]
        _, value = dashboards.bound(alert)
        assert f" {value:g}" in alert["expr"]
        named = [set(re.findall(r"ringmaster_\w+", text)) for text in (alert["expr"], str(panel["queries"]))]
        assert named[0] & named[1], "it is drawn where what it looks at is"


def test_prometheus_takes_every_question(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{n}", "expr": query} for n, query in enumerate(dashboards.queries(PANELS))]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_what_grafana_is_given_has_a_place_for_each_panel_and_ids_of_its_own() -> None:
    bodies = [json.loads(text) for text in dashboards.made(generate.alerts()).values()]
    assert len({body["uid"] for body in bodies}) == len(ROWS) == 7
    for body in bodies:
        places = [panel["gridPos"] for panel in body["panels"]]
        cells = {
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert len(cells) == sum(at["w"] * at["h"] for at in places), "no two overlap"
        assert max(at["x"] + at["w"] for at in places) <= dashboards.COLUMNS


def test_every_histogram_and_every_alert_of_the_six_is_on_a_dashboard() -> None:
    asked = " ".join(dashboards.queries(PANELS))
    assert {panel["alert"] for panel in PANELS if "alert" in panel} >= {
        "HandoverSlow", "ContextLost", "ManyRetries", "AgentsDissatisfied", "ScaleUpSlow",
    }  # fmt: skip
    assert "ringmaster_machine_run_queue" in asked
    assert all(row.name in asked for row in metrics().values() if row.bounds)
