"""Names on the bus."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.wire import subjects
from protocols.wire.campaigns import contact_of
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

BUILT = {
    subjects.node_beat(NodeId("n1")): "rm.node.n1.beat",
    subjects.node_command(NodeId("n1"), "drain"): "rm.node.n1.cmd.drain",
    subjects.agent_beat("a7"): "rm.agent.a7.beat",
    subjects.state("calls", "c1"): "rm.state.calls.c1",
    subjects.call_event(CallId("c1"), "turn.heard"): "rm.ev.0.turn.heard",
    subjects.call_event(CallId("c1"), "opt_out"): "rm.ev.0.opt_out",
    subjects.call_events(CallId("c1")): "rm.ev.0.>",
    subjects.call_event(CallId("c1_s3"), "turn.heard"): "rm.ev.3.turn.heard",
    subjects.call_events(CallId("c1_s3")): "rm.ev.3.>",
    subjects.events_of("handover.*"): "rm.ev.*.handover.*",
    subjects.campaign_events(CampaignId("spring")): "rm.campaign.spring",
}


def test_names_are_those_of_the_table():
    assert list(BUILT) == list(BUILT.values())


@pytest.mark.parametrize("n_streams", subjects.STREAM_COUNTS)
def test_a_week_of_calls_has_a_subject_a_stream_and_kind_and_all_are_used_alike(n_streams: int):
    names = [subjects.numbered(f"spring-{n:032x}-1", n_streams) for n in range(8000)]
    counts = Counter(subjects.call_event(CallId(name), "call.ended") for name in names)
    assert sorted(counts) == [f"rm.ev.{number}.call.ended" for number in range(n_streams)]
    assert max(counts.values()) < 1.2 * min(counts.values())


@given(st.sampled_from(subjects.STREAM_COUNTS), st.integers(0, 2**64))
def test_a_calls_stream_is_one_of_those_that_there_are_and_stands_in_its_name_for_good(n_streams: int, n: int):
    name = subjects.numbered(f"spring-{n:032x}-2", n_streams)
    number = subjects.stream_of(name)
    assert number in range(n_streams)
    assert contact_of(AttemptId(name)) == f"{n:032x}"
    assert subjects.call_event(CallId(name), "opt_out").startswith(subjects.call_events(CallId(name))[:-1])
    assert subjects.call_events(CallId(name)).startswith(subjects.stream_subject(number, n_streams)[:-1])


@given(st.text(max_size=20))
def test_no_text_becomes_more_than_one_part_of_a_name(text: str):
    try:
        built = subjects.state("calls", text)
    except LocalProtocolError:
        return
    assert built.count(".") == 3
    assert not set(built) & set("*>+ \t\r\n")


@pytest.mark.parametrize("bad", ["", "+4930123456", "sip:x@y", "a.b", "*", ">", "a b", "ä", "x" * 129, "a\n"])
def test_numbers_addresses_and_wildcards_are_no_names(bad: str):
    with pytest.raises(LocalProtocolError, match="not_a_name"):
        subjects.part(bad)
