"""`ringmaster bench sync`: every change reaches every view, with a real writer in a process of its own."""

from __future__ import annotations

from nodes.admin.bench import measure


async def test_every_change_is_seen() -> None:
    rows = await measure(per_second=200, seconds=0.5, views=("agents", "opt_outs"))
    assert [(row.view, len(row.took_ms), row.of) for row in rows] == [("agents", 100, 100), ("opt_outs", 100, 100)]
    assert all(0 < ms for row in rows for ms in row.took_ms)
