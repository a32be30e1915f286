"""`ringmaster bench sync`: every change reaches every view, with a real writer in a process of its own."""

from __future__ import annotations

from nodes.admin.bench import VIEWS, measure


async def test_every_change_is_seen_in_every_view() -> None:
    rows = await measure(per_second=200, seconds=0.5)
    assert [row.view for row in rows] == list(VIEWS)
    assert [(row.n, row.of) for row in rows] == [(100, 100)] * len(VIEWS)
    assert all(0 < row.p50 <= row.p99 <= row.max for row in rows)
