"""Spans on their way to a collector that is there, away, slow or angry; and a process without any."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import get_args

import pytest
import structlog

from nodes.config import ROLES, ConfigError, Telemetry, parse
from nodes.telemetry import logs, spans
from nodes.telemetry.otlp import MOST
from nodes.telemetry.trace import of_call
from nodes.telemetry.trace import parse as read
from protocols.wire.ids import CallId, Identity
from tests.nodes.telemetry.collector import Collector, collector, is_one_tree

CALL = CallId("spring-a4ee2b-2")
ROOT = of_call(CALL)
EDGE = Identity("n1.edge-0:5f")
NOT_LOADED = """
import json, sys
from nodes.config import Telemetry
from nodes.telemetry import spans
def loaded(): return sorted(name for name in sys.modules if name.startswith(("opentelemetry", "requests")))
spans.configure(Telemetry(), "n1.edge-0:5f", "edge")
spans.configure(Telemetry(otlp="http://127.0.0.1:9"), "n1.media-0:5f", "media")
with spans.stage("fetch", spans.begun("c1")): pass
spans.close()
print(json.dumps([loaded(), spans.begun("c1")]))
"""


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the log says meanwhile."""
    out = io.StringIO()
    logs.configure("info", "n1", "edge-0", out)
    yield out
    structlog.reset_defaults()


def begin(told: Collector | str, **settings: object) -> None:
    """Tell a collector."""
    url = told if isinstance(told, str) else told.url
    spans.configure(Telemetry(otlp=url, **settings), EDGE, "edge")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nobody_is_told_after_it() -> Iterator[None]:
    yield
    spans.close()


async def test_a_span_arrives_with_its_ids_its_parent_its_times_and_who_has_told_it() -> None:
    async with collector() as told:
        begin(told)
        spans.tell("call", CALL, 100.0, 160.5, attributes={"disposition": "completed"})
        spans.tell("turn", CALL, 110.0, 112.0, number=3)
        spans.tell("recognise", CALL, 111.0, 112.0, turn=3)
        await told.until(lambda: len(told.spans) == 3)
    call, turn, recognise = told.spans
    assert is_one_tree(told.spans)
    assert (call.name, call.trace_id, call.span_id, call.parent) == ("call", ROOT.trace_id, ROOT.span_id, "")
    assert (call.began_ns, call.ended_ns) == (100_000_000_000, 160_500_000_000)
    assert call.attributes == {"ringmaster.call_id": CALL, "ringmaster.disposition": "completed"}
    assert (call.process, call.life, call.about["service.name"]) == ("edge-0", EDGE, "ringmaster")
    assert (turn.span_id, turn.parent) == (ROOT.below("turn", 3).span_id, ROOT.span_id)
    assert recognise.parent == turn.span_id


async def test_what_is_asked_within_a_stage_is_below_it_and_its_failure_is_told() -> None:
    async with collector() as told:
        begin(told)
        trace = spans.begun(CALL, 1)
        with logs.traced(trace):
            with spans.stage("fetch", host="api") as seen:
                inside = logs.TRACE.get()
                seen["outcome"] = "done"
            with pytest.raises(KeyError), spans.stage("seat"):
                raise KeyError
            assert logs.TRACE.get() == trace
        with spans.stage("render"):
            pass  # in no trace
        await told.until(lambda: len(told.spans) == 2)
    fetch, seat = told.spans
    here = read(inside)
    assert here is not None
    assert (fetch.span_id, fetch.parent) == (here.span_id, ROOT.below("turn", 1).span_id)
    assert fetch.attributes == {"ringmaster.host": "api", "ringmaster.outcome": "done"}
    assert seat.attributes == {"ringmaster.error": "KeyError"}


async def test_what_is_done_twice_is_two_spans_and_what_is_said_twice_is_one() -> None:
    async with collector() as told:
        begin(told)
        for _ in range(2):
            spans.tell("turn", CALL, 1.0, 2.0, number=1)
            with spans.stage("render", spans.begun(CALL, 1)):
                pass
        await told.until(lambda: len(told.spans) == 4)
    assert len({one.span_id for one in told.spans if one.name == "turn"}) == 1
    assert len({one.span_id for one in told.spans if one.name == "render"}) == 2


async def test_of_a_call_that_is_not_sampled_nothing_is_told_by_anybody() -> None:
    async with collector() as told:
        begin(told, sample=0.0)
        assert spans.begun(CALL).endswith("-00"), "and others are told so"
        spans.tell("call", CALL, 1.0, 2.0)
        spans.tell_below(spans.begun(CALL), "record", 1.0, 2.0)
        with spans.stage("fetch", spans.begun(CALL)):
            pass
        spans.close()
    assert not told.n_asked


async def test_a_process_that_ends_sends_what_waits_and_does_not_wait_for_an_answer() -> None:
    """`close` blocks the loop on which the collector runs here: nobody could answer."""
    async with collector() as told:
        begin(told)
        spans.tell("call", CALL, 1.0, 2.0)
        spans.close()
        assert not told.spans
        await told.until(lambda: told.spans)
    assert told.spans[0].span_id == ROOT.span_id


@pytest.mark.parametrize("status", [0, 503, 400], ids=["away", "busy", "angry"])
async def test_a_collector_that_takes_nothing_holds_nobody_up_and_is_one_line_in_the_log(
    status: int, lines: io.StringIO
) -> None:
    async with collector() as told:
        told.status = status
        begin(told if status else "http://127.0.0.1:9")
        for n in range(3 * MOST):
            spans.tell("turn", CALL, 1.0, 2.0, number=n)
        await told.until(lambda: "spans.not_sent" in lines.getvalue())
        spans.close()
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in said] == ["spans.not_sent"]


def test_where_nothing_is_configured_and_in_media_nothing_is_loaded_and_no_trace_begun() -> None:
    done = subprocess.run([sys.executable, "-c", NOT_LOADED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], ""]


async def test_where_the_libraries_are_not_installed_that_is_said_and_the_process_goes_on(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nodes.telemetry.otlp", None)
    begin("http://127.0.0.1:9")
    assert json.loads(lines.getvalue())["event"] == "spans.not_installed"
    assert spans.begun(CALL) == ""


def test_every_name_is_a_row_of_the_table_and_told_by_a_role_that_there_is() -> None:
    assert {*get_args(spans.SpanName)} == spans.SPANS.keys()
    assert {*ROLES} >= spans.ROLES
    below = {name for row in spans.SPANS.values() for name in row.below.split(" or ") if name}
    assert below == {"call", "turn"}


@pytest.mark.parametrize("address", ["collector:4318", "ftp://collector", "http://", "http://a b", "http://c/?x=1"])
def test_an_address_that_is_none_is_refused_with_its_key(address: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"telemetry.*otlp"):
        parse(f'[telemetry]\notlp = "{address}"', "x.toml", tmp_path)
