"""Makes what is made from tables: Prometheus's rules and their tests, Grafana's dashboards, the runbook's reference.

    python -m ops.telemetry.generate

Alerts are `alerts.toml`, dashboards `dashboards.toml`. What is made is kept in the repository, so that a site can read
and copy it; a test holds it to the tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from ops.telemetry import dashboards, reference

HERE: Final = Path(__file__).parent
PAGE: Final = "ops/docs/alerts.md"
HEAD: Final = "# Made by ops/telemetry/generate.py from alerts.toml; change that.\n"
WHERE: Final = {"job": "ringmaster", "instance": "n1"}
"""Labels that a scrape adds, of series that say nothing else."""

Alert = Mapping[str, Any]


def alerts() -> list[Alert]:
    """Return the table's rows."""
    rows: list[Alert] = tomllib.loads((HERE / "alerts.toml").read_text(encoding="utf-8"))["alert"]
    return rows


def page_of(alert: Alert) -> str:
    """Return where the runbook says what to do.

    >>> page_of({"name": "NodeSilent"})
    'ops/docs/alerts.md#nodesilent'
    """
    return f"{PAGE}#{alert['name'].lower()}"


def rules(rows: list[Alert]) -> str:
    """Return the rules, for `rule_files` of Prometheus."""
    made = [
        {
            "alert": row["name"], "expr": " ".join(row["expr"].split()), "for": row["for"],
            "labels": {"severity": row["severity"]}, "annotations": _annotations(row),
        }
        for row in rows
    ]  # fmt: skip
    return _written({"groups": [{"name": "ringmaster", "rules": made}]})


def tests(rows: list[Alert]) -> str:
    """Return the rules' tests, for `promtool test rules`: with what each alert fires, and with what it does not."""
    made = [_test(row, row[series], is_fired=series == "fires") for row in rows for series in ("fires", "quiet")
            if series in row]  # fmt: skip
    return _written({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": made})


def _test(row: Alert, given: list[Mapping[str, str]], *, is_fired: bool) -> Mapping[str, Any]:
    fired = {"exp_labels": {"severity": row["severity"], **row["labels"]}, "exp_annotations": _annotations(row)}
    return {
        "name": f"{row['name']} {'fires' if is_fired else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": labelled(one["series"]), "values": one["values"]} for one in given],
        "alert_rule_test": [
            {"eval_time": row["at"], "alertname": row["name"], "exp_alerts": [fired] if is_fired else []}
        ],
    }


def labelled(series: str) -> str:
    """Return a series with the labels that a scrape adds, where it has none of that name.

    >>> labelled("up"), labelled('up{instance="n2"}')
    ('up{job="ringmaster", instance="n1"}', 'up{job="ringmaster", instance="n2"}')
    """
    name, _, own = series.rstrip("}").partition("{")
    more = [f'{label}="{value}"' for label, value in WHERE.items() if f"{label}=" not in own]
    return f"{name}{{{', '.join([*more, *([own] if own else [])])}}}"


def _annotations(row: Alert) -> Mapping[str, str]:
    return {"summary": row["summary"], "page": page_of(row)}


def _written(body: object) -> str:
    return HEAD + yaml.safe_dump(body, sort_keys=False, width=130)


def made() -> Mapping[str, str]:
    """Return the files, by their names from here."""
    rows = alerts()
    pages = {f"../docs/{reference.NAME}": reference.page(rows)}
    return {"rules.yml": rules(rows), "rules_test.yml": tests(rows), **dashboards.made(rows), **pages}


if __name__ == "__main__":
    for name, content in made().items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(content, encoding="utf-8")
