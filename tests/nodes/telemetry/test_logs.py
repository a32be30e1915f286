"""A log line: one JSON object, the same keys whatever wrote it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from nodes.telemetry import logs


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What the log says, parsed; after the test the log is as it was."""
    out = io.StringIO()
    logs.configure("info", "n1", "edge-0", out)

    class Lines(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            return iter([json.loads(line) for line in out.getvalue().splitlines()])

    yield Lines()
    structlog.reset_defaults()


def test_a_line_has_the_event_the_node_the_process_and_the_moment(lines):
    logs.get("nodes.edge.call").info("call.answered", call_id="c1", after_ms=812)
    (line,) = lines
    assert line.pop("wall").endswith("Z")
    assert line == {
        "event": "call.answered", "level": "info", "node_id": "n1", "process": "edge-0", "module": "nodes.edge.call",
        "call_id": "c1", "after_ms": 812,
    }  # fmt: skip


async def test_bound_keys_and_the_trace_reach_the_tasks_of_the_block_and_no_others(lines):
    log = logs.get("x")

    async def work() -> None:
        log.info("inside")

    with logs.bound(call_id="c1", campaign_id="spring"):
        token = logs.TRACE.set("t1")
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
        logs.TRACE.reset(token)
    await work()
    inside, outside = lines
    assert {key: inside.get(key) for key in logs.KEYS} == {
        "node_id": "n1", "call_id": "c1", "leg_id": None, "campaign_id": "spring", "trace": "t1",
    }  # fmt: skip
    assert {key for key in logs.KEYS if key in outside} == {"node_id"}


def test_below_the_level_nothing_is_written(lines):
    logs.get("x").debug("words", words="yes please")
    assert list(lines) == []


def test_a_failure_is_one_line_with_its_traceback(lines):
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logs.get("x").exception("call.failed")
    (line,) = lines
    assert (line["event"], line["level"]) == ("call.failed", "error")
    assert "ZeroDivisionError" in line["exception"]
