"""Metrics as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodes.telemetry import metrics
from nodes.telemetry.catalogue import Elsewhere
from nodes.telemetry.catalogue import metrics as rows


async def test_what_was_counted_is_rendered_under_our_name() -> None:
    def value(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    busy, turns = value("ringmaster_calls_total", disposition="busy"), value("ringmaster_turn_seconds_count")
    metrics.count(rows()["ringmaster_calls_total"], ("busy",), 3)
    metrics.count(rows()["ringmaster_turn_seconds"], (), 350 / 1000)
    text = (await metrics.render()).decode()
    assert f'ringmaster_calls_total{{disposition="busy"}} {busy + 3}' in text
    assert f"ringmaster_turn_seconds_count {turns + 1}" in text
    assert "_created" not in text


def test_what_is_worked_out_when_asked_is_told_once_and_what_has_no_value_by_its_name() -> None:
    late = rows()["ringmaster_edge_late_seconds"]
    text = metrics.text([(late, ("edge-0",), 1.0), (late, ("edge-0",), 0.25)]).decode()
    assert [line for line in text.splitlines() if line.startswith(late.name)] == [
        'ringmaster_edge_late_seconds{process="edge-0"} 0.25'
    ]
    assert "# TYPE ringmaster_media_packets_refused_total counter" in text
    unfed = [row.name for row in rows().values() if row.source is Elsewhere.LATER]
    assert [name for name in unfed if name in text] == [], "nothing feeds it yet"
    assert list(text_string_to_metric_families(text))


def test_what_is_only_declared_cannot_be_counted() -> None:
    with pytest.raises(KeyError):
        metrics.count(rows()["ringmaster_retries_total"], ("link",))
