"""A `traceparent` as W3C has it (Trace Context, level 1, s.3.2), and a call's place in a trace without any state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.telemetry.trace import Traceparent, is_sampled, of_call, parse
from protocols.wire.ids import CallId

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALL_IDS = st.text(min_size=1, max_size=80).map(CallId)
IDS = st.tuples(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())


@pytest.mark.parametrize(
    ("written", "is_sampled"),
    [
        pytest.param(f"00-{TRACE}-{SPAN}-01", True, id="the recommendation's own example"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", False, id="not sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-03", True, id="a flag that is not known is ignored"),
        pytest.param(f"00-{TRACE}-{SPAN}-fe", False, id="all flags but ours"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01", True, id="a later version"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True, id="one that says more, after a dash"),
    ],
)
def test_a_header_that_is_one_is_read(written: str, is_sampled: bool) -> None:
    assert parse(written) == Traceparent(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", id="the version that is none"),
        pytest.param(f"00-{TRACE}-{SPAN}-01-more", id="our version says no more"),
        pytest.param(f"00-{TRACE}-{SPAN}-01-", id="not even a dash"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01.more", id="a later one says more after a dash only"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="a trace of zeros"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="a span of zeros"),
        pytest.param(f"00-{TRACE.upper()}-{SPAN}-01", id="capitals"),
        pytest.param(f"00-{TRACE[:-1]}-{SPAN}-01", id="a trace too short"),
        pytest.param(f"00-{TRACE}-{SPAN}a-01", id="a span too long"),
        pytest.param(f"00-{TRACE}-{SPAN}-1", id="half a flag"),
        pytest.param(f"0-{TRACE}-{SPAN}-01", id="half a version"),
        pytest.param(f".0-{TRACE}-{SPAN}-01", id="no hex"),
        pytest.param(f"00_{TRACE}_{SPAN}_01", id="no dashes"),
        pytest.param(f"00-{TRACE}-{SPAN}-01\n", id="a line end"),
        pytest.param(f"00-{TRACE}-{SPAN[:-1]}\u0663-01", id="a digit of another script"),
    ],
)
def test_a_header_that_is_none_is_as_if_it_had_not_come(written: str) -> None:
    assert parse(written) is None


@given(IDS)
def test_what_is_written_is_read_as_it_was(ids: tuple[int, int, bool]) -> None:
    trace_id, span_id, sampled = ids
    made = Traceparent(f"{trace_id:032x}", f"{span_id:016x}", sampled)
    assert len(str(made)) == 55
    assert parse(str(made)) == made


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*", fullmatch=True))
def test_whatever_comes_is_read_or_refused_and_what_is_read_can_be_said(text: str) -> None:
    if (read := parse(text)) is not None:
        assert parse(str(read)) == read


@given(CALL_IDS, CALL_IDS, st.integers(0, 99), st.integers(0, 99))
def test_the_same_call_is_the_same_trace_wherever_it_is_worked_out_and_another_is_another(
    one: CallId, other: CallId, turn: int, next_turn: int
) -> None:
    root = of_call(one)
    assert parse(str(root)) == root, "an id is never one that W3C refuses"
    assert (of_call(one) == of_call(other)) is (one == other)
    turns = root.below("turn", turn), root.below("turn", next_turn)
    assert (turns[0] == turns[1]) is (turn == next_turn)
    assert {below.trace_id for below in turns} == {root.trace_id}
    assert root.span_id not in {below.span_id for below in turns}


def test_ids_are_those_that_every_other_version_works_out() -> None:
    """A node that is upgraded and one that is not yet tell one tree."""
    call = of_call(CallId("spring-a4ee2b-2"))
    assert str(call) == "00-5c536beda3cfd1e8da94764a05b4a4ba-aecbdb69ed2fd2f5-01"
    assert call.below("turn", 1).span_id == "ab083adc073bde62"


@given(CALL_IDS, st.floats(0, 1), st.floats(0, 1))
def test_a_trace_that_is_sampled_is_so_at_every_greater_share(call_id: CallId, one: float, other: float) -> None:
    trace_id, less, more = of_call(call_id).trace_id, min(one, other), max(one, other)
    assert is_sampled(trace_id, less) <= is_sampled(trace_id, more)
    assert not is_sampled(trace_id, 0.0)
    assert is_sampled(trace_id, 1.0)
    assert of_call(call_id, less).below("turn", 1).is_sampled is is_sampled(trace_id, less)


def test_of_many_calls_the_share_is_sampled_that_was_asked_for() -> None:
    calls = [of_call(CallId(f"spring-{n}-1"), 0.25) for n in range(4000)]
    assert 0.2 < sum(call.is_sampled for call in calls) / len(calls) < 0.3
