"""Names on the bus."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.wire import subjects
from protocols.wire.ids import CallId, CampaignId, NodeId

BUILT = {
    subjects.node_beat(NodeId("n1")): "rm.node.n1.beat",
    subjects.node_command(NodeId("n1"), "drain"): "rm.node.n1.cmd.drain",
    subjects.agent_beat("a7"): "rm.agent.a7.beat",
    subjects.state("calls", "c1"): "rm.state.calls.c1",
    subjects.call_event(CallId("c1"), "turn.heard"): "rm.ev.a.turn.heard",
    subjects.call_event(CallId("c1"), "opt_out"): "rm.ev.a.opt_out",
    subjects.call_events(CallId("c1")): "rm.ev.a.>",
    subjects.events_of("handover.*"): "rm.ev.*.handover.*",
    subjects.campaign_events(CampaignId("spring")): "rm.campaign.spring",
}


def test_names_are_those_of_the_table():
    assert list(BUILT) == list(BUILT.values())


def test_a_week_of_calls_has_sixteen_subjects_a_kind_and_all_are_used_alike():
    counts = Counter(subjects.call_event(CallId(f"spring-{n:032x}-1"), "call.ended") for n in range(16_000))
    assert len(counts) == 16
    assert max(counts.values()) < 1.5 * min(counts.values())


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
