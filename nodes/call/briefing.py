"""What an agent is told of the call that they are offered: the four blocks of `protocols/wire/context.py`."""

from __future__ import annotations

from grammars.conversation_state import ConversationState
from nodes.call.record import CallRecord
from protocols.wire.context import (
    HandoverContext,
    HandoverReason,
    SessionMeta,
    Speaker,
    Turn,
    Urgency,
    UserProfile,
    last_turns,
)  # fmt: skip

_SPEAKERS = {"bot": Speaker.BOT, "callee": Speaker.CALLER}


def context(record: CallRecord, answered_wall: str) -> HandoverContext:
    """Return what is known of a call whose conversation wants an agent. `answered_wall`: ISO 8601 with offset."""
    talk, handed, order = record.conversation, record.handover, record.order
    assert talk is not None, "a conversation wants the agent"
    assert handed is not None, "a handover is wanted"
    wanted = handed.wanted
    return HandoverContext(
        SessionMeta(order.call_id, order.campaign_id, talk.script, talk.state, answered_wall),
        last_turns(_turns(talk)),
        UserProfile(dict(talk.slots)),
        HandoverReason(wanted.reason, Urgency(wanted.urgency), wanted.skill),
    )


def _turns(talk: ConversationState) -> list[Turn]:
    return [Turn(_SPEAKERS[turn.speaker], turn.text, turn.intent) for turn in talk.turns]


__all__ = ["context"]
