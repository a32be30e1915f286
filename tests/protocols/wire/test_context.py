"""What an agent is told at a handover."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from protocols.wire.context import TURNS, HandoverContext, Turn, last_turns

turns = st.lists(st.from_type(Turn), max_size=12)


@given(st.from_type(HandoverContext))
def test_a_context_has_the_four_blocks_and_is_the_same_after_json(context: HandoverContext):
    data = msgspec.json.encode(context)
    assert list(msgspec.json.decode(data)) == ["session_meta", "dialog_history", "user_profile", "handover_context"]
    assert msgspec.json.decode(data, type=HandoverContext) == context


@given(turns)
def test_the_agent_reads_the_last_turns_in_their_order(said: list[Turn]):
    kept = last_turns(said)
    assert len(kept) == min(TURNS, len(said))
    assert list(kept) == said[len(said) - len(kept) :]
