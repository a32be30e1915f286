"""What a real node shows to Prometheus."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from nodes import ports
from nodes.telemetry.catalogue import Elsewhere, metrics, of_figure
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
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    series = [line.rpartition(b" ")[0] for line in text.splitlines() if not line.startswith(b"#")]
    assert len(series) == len(set(series)), "a series that is told twice is dropped by Prometheus"


def test_a_node_shows_all_that_is_declared_but_what_nothing_feeds_yet(node: Node) -> None:
    families = {family.name: family for family in text_string_to_metric_families(shown(node).decode())}
    wanted = {row.name for row in metrics().values() if row.source is not Elsewhere.LATER}
    assert families.keys() == {name.removesuffix("_total") for name in wanted}


def test_a_prometheus_scrapes_a_node_and_an_alert_that_is_planted_fires(node: Node, tmp_path: Path) -> None:
    state, port = node.place.path / "state", ports.take(1)
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
    (tmp_path / "planted.yml").write_text(PLANTED)
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    command = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)

    def firing() -> set[str]:
        must_run(running, tmp_path / "log")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=20) as reply:
                alerts = json.loads(reply.read())["data"]["alerts"]
        except OSError:  # it is not up yet
            return set()
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    try:
        until(lambda: {"Planted", "Watchdog"} <= firing())
    finally:
        running.terminate()
        assert running.wait(PATIENCE_S) == 0
