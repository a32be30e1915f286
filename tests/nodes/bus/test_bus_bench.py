"""`ringmaster bench bus`: its rows are the layout's, and what it says of one is what a real server and writer did."""

from __future__ import annotations

import re

import pytest

from nodes.bus import bench
from nodes.bus.bench import COMPUTED, ROWS, Row, measure
from nodes.bus.layout import WANTED
from protocols.wire.ids import NodeId
from protocols.wire.roles import rights

N1 = NodeId("n1")


def fits(subject: str, pattern: str) -> bool:
    """Whether a subject is one of a pattern's (NATS: `*` is one part, `>` all that follow)."""
    said = re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")
    return re.fullmatch(said, subject) is not None


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_row_writes_where_it_says_and_its_writer_may(row: Row) -> None:
    subjects = {row.subject(n) for n in range(200)}
    where = next((one.subjects for one in WANTED if one.name == row.where), (row.where,))
    for subject in subjects:
        assert any(fits(subject, pattern) for pattern in where), subject
        assert any(fits(subject, pattern) for pattern in rights(N1, row.writer).publish), subject


async def test_what_is_measured_is_acknowledged_and_what_is_computed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "IDLE_S", 0.1)
    journal = [row for row in ROWS if row.name == "journal"]
    small, large, computed = await measure(0.5, (600, 1200), (1,), journal)
    for cost, sessions, per_second in ((small, 600, 30), (large, 1200, 60)):
        assert (cost.row, cost.sessions, cost.wanted, cost.computed) == ("journal", sessions, per_second, False)
        assert cost.came > 0
        assert cost.client_us > 0
        assert cost.ack_ms
        assert 0 < cost.ack_ms[0] <= cost.ack_ms[1]
    assert (computed.sessions, computed.computed, computed.ack_ms) == (COMPUTED, True, None)
