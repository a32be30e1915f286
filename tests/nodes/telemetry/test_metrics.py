"""Figures as Prometheus reads them."""

from __future__ import annotations

from nodes.telemetry import metrics


async def test_what_was_counted_is_rendered_under_our_name():
    calls = metrics.counter("test_calls_total", "Calls by disposition.", "disposition")
    calls.labels("busy").inc(3)
    metrics.histogram("test_turn_seconds", "Turns.").observe(0.3)
    text = (await metrics.render()).decode()
    assert 'ringmaster_test_calls_total{disposition="busy"} 3.0' in text
    assert 'ringmaster_test_turn_seconds_bucket{le="0.35"} 1.0' in text
