"""What a real node shows to Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodes import ports
from nodes.telemetry.catalogue import Elsewhere, metrics, of_figure
from ops.telemetry import dashboards
from tests.conftest import must_run
from tests.nodes.commands.conftest import PATIENCE_S, Node, until

RULES = Path(__file__).parents[3] / "ops/telemetry/rules.yml"
PLANTED = """groups:
- name: planted
  rules:
  - {alert: Planted, expr: 'ringmaster_processes{process="edge-0", state="active"} == 1'}
"""


def shown(node: Node) -> bytes:
    state = node.place.path / "state"
    address, token = (state / "run/desk.url").read_text(), (state / "run/token").read_text()
    asked = urllib.request.Request(f"{address}metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return bytes(reply.read())


def test_each_figure_of_each_process_has_a_row_in_the_table_of_metrics(node: Node) -> None:
    processes = node.run("node", "--json").rows
    assert {row["role"] for row in processes} >= {"edge", "media", "speech", "central", "recorder", "desk"}
    without: set[str] = set()
    for process in processes:
        role, figures = str(process["role"]), process["figures"]
        assert isinstance(figures, dict)
        without |= {f"{role}.{word}" for word in figures if of_figure(role, word) is None}
    assert without == set(), "say in nodes/telemetry/metrics.tsv what these are"


def test_prometheuss_own_linter_finds_nothing_in_what_a_node_shows(node: Node) -> None:
    text = shown(node)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    series = [line.rpartition(b" ")[0] for line in text.splitlines() if not line.startswith(b"#")]
    assert len(series) == len(set(series)), "a series that is told twice is dropped by Prometheus"


def test_a_node_shows_all_that_is_declared_but_what_nothing_feeds_yet(node: Node) -> None:
    families = {family.name: family for family in text_string_to_metric_families(shown(node).decode())}
    wanted = {row.name for row in metrics().values() if row.source is not Elsewhere.LATER}
    assert families.keys() == {name.removesuffix("_total") for name in wanted}


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that scrapes the node that tests share, with our alerts and one that is planted."""

    running: subprocess.Popen[bytes]
    log: Path
    address: str

    def is_ready(self) -> bool:
        must_run(self.running, self.log)
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=20):
                return True
        except OSError:
            return False

    def get(self, path: str, **params: str) -> Any:
        """Return what its API says, which takes what it is asked."""
        must_run(self.running, self.log)
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urlencode(params)}", timeout=20) as reply:
                return json.loads(reply.read())["data"]
        except urllib.error.HTTPError as refused:
            pytest.fail(f"{params}: {refused.read().decode()}")

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture(scope="module")
def prometheus(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    place, state, port = tmp_path_factory.mktemp("prometheus"), node.place.path / "state", ports.take(1)
    address = (state / "run/desk.url").read_text().removeprefix("http://").rstrip("/")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["planted.yml", str(RULES)],
        "scrape_configs": [
            {
                "job_name": "ringmaster", "static_configs": [{"targets": [address]}],
                "authorization": {"credentials_file": str(state / "run/token")},
            }
        ],
    }  # fmt: skip
    (place / "planted.yml").write_text(PLANTED)
    (place / "prometheus.yml").write_text(json.dumps(config))
    command = [
        "prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (place / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        made = Prometheus(running, place / "log", f"http://127.0.0.1:{port}")
        until(made.is_ready)
        yield made
    finally:
        running.terminate()
        assert running.wait(PATIENCE_S) == 0


def test_a_prometheus_scrapes_a_node_and_an_alert_that_is_planted_fires(prometheus: Prometheus) -> None:
    until(lambda: {"Planted", "Watchdog"} <= prometheus.firing())


def test_every_question_of_the_dashboards_is_answered_with_series_where_a_node_shows_what_it_asks_for(
    prometheus: Prometheus,
) -> None:
    """What is counted by reason, say, has no series until that has happened once, and neither has its panel."""
    until(lambda: "Planted" in prometheus.firing())
    asked = dashboards.queries(panel for row in dashboards.dashboards() for panel in row["panels"])

    def answered() -> dict[bool, list[str]]:
        """Return the questions of whose metrics all are there, by whether they are answered, at one moment."""
        now = str(time.time())

        def answer(query: str) -> bool:
            return bool(prometheus.get("query", query=query, time=now)["result"])

        found: dict[bool, list[str]] = {True: [], False: []}
        for query in asked:
            is_answered = answer(query)
            if is_answered or all(map(answer, re.findall(r"ringmaster_\w+(?:{[^}]*})?", query))):
                found[is_answered].append(query)
        return found

    until(lambda: not answered()[False])  # a rate wants a second look
    assert len(answered()[True]) > len(asked) / 2
