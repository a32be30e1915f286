"""The alerts: each fires with what it is for, and not without; and names what nodes show."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from nodes.telemetry.catalogue import MetricKind, metrics
from ops.telemetry import generate

ROOT = Path(__file__).parents[2]
HERE = ROOT / "ops/telemetry"
ALERTS = generate.alerts()
SIX = {"HandoverSlow", "RunQueueLong", "ContextLost", "ManyRetries", "AgentsDissatisfied", "ScaleUpSlow"}
SERIES = {
    f"{row.name}{suffix}": row
    for row in metrics().values()
    for suffix in (("_bucket", "_sum", "_count") if row.kind is MetricKind.HISTOGRAM else ("",))
}
"""What Prometheus has of each metric."""


def named(given: object) -> str:
    return given["name"] if isinstance(given, dict) else ""


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=HERE, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("name", generate.made())
def test_what_is_kept_is_what_the_tables_make(name: str) -> None:
    assert (HERE / name).read_text() == generate.made()[name], "run python -m ops.telemetry.generate"


def test_each_alert_has_its_heading_in_the_runbook_and_no_other_is_there() -> None:
    page = (ROOT / "ops/docs/alerts.md").read_text()
    assert re.findall(r"^## (.+)$", page, re.MULTILINE)[1:] == [row["name"] for row in ALERTS]
    linked = re.findall(r"\]\(#(\w+)\) \|", page)
    assert set(linked) == {name.lower() for name in SIX}
    assert {generate.page_of(row).partition("#")[0] for row in ALERTS} == {"ops/docs/alerts.md"}


def test_promtool_finds_each_alert_firing_where_it_should_and_nowhere_else() -> None:
    checked = promtool("check", "rules", "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "rules_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_six_of_the_source_documents_and_the_dead_mans_switch_are_there_once() -> None:
    names = [row["name"] for row in ALERTS]
    assert len(names) == len(set(names))
    assert {*SIX, "Watchdog"} <= set(names)


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_an_alert_is_shown_to_be_quiet_too_unless_it_always_fires(alert: generate.Alert) -> None:
    assert alert["fires"]
    assert bool(alert.get("quiet")) == (alert["name"] != "Watchdog")
    assert alert["severity"] in ("critical", "warning", "none")


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_an_alert_names_only_what_the_table_of_metrics_has_with_labels_that_it_has(alert: generate.Alert) -> None:
    given = [one["series"] for kind in ("fires", "quiet") for one in alert.get(kind, ())]
    told = " ".join([alert["expr"], *given])
    assert set(re.findall(r"ringmaster_\w+", told)) <= SERIES.keys()
    for name, labels in re.findall(r"(ringmaster_\w+)\{([^}]*)\}", told):
        known = {*SERIES[name].labels, "job", "instance", *(["le"] if name.endswith("_bucket") else [])}
        assert set(re.findall(r"(\w+)=", labels)) <= known


@pytest.mark.parametrize("alert", ALERTS, ids=named)
def test_a_bound_that_an_alert_looks_at_is_one_of_the_metrics(alert: generate.Alert) -> None:
    for name, bound in re.findall(r'(ringmaster_\w+)_bucket\{le="([\d.]+)"\}', alert["expr"]):
        assert float(bound) in metrics()[name].bounds
