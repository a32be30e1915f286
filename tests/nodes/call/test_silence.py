"""A callee of whom nothing is heard: when they count as gone follows from the record, whoever reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.call.record import GONE_AFTER_S, CallPhase, CallRecord
from protocols.wire.ids import AttemptId, CallId, ChannelId, Identity
from protocols.wire.messages import Channel, PlaceCall

ORDER = PlaceCall(AttemptId("a1"), CallId("c1"), "sip:ann@192.0.2.1", b"")
CHANNEL = Channel(ChannelId("c1"), Identity("n1.edge-0:1"), 40000, 1, 2, 3, 1000.0)
TALKS = CallRecord(ORDER, phase=CallPhase.CONVERSING, answered_s=1000.0, channel=CHANNEL)


def test_who_is_silent_since_the_answer_is_waited_for_from_the_answer_on() -> None:
    assert replace(TALKS, silent_since_s=990.0).gone_at_s == 1000.0 + GONE_AFTER_S
    assert replace(TALKS, silent_since_s=1100.0).gone_at_s == 1100.0 + GONE_AFTER_S


@pytest.mark.parametrize(
    "changes",
    [
        {"silent_since_s": 0.0},
        {"answered_s": 0.0, "phase": CallPhase.RINGING},
        {"phase": CallPhase.ENDING},
        {"phase": CallPhase.DONE},
        {"channel": replace(CHANNEL, sends=False)},
    ],
    ids=["heard", "ringing", "ending", "over", "on hold"],
)
def test_nobody_is_waited_for_who_is_heard_or_need_not_be(changes: dict[str, Any]) -> None:
    assert replace(TALKS, **{"silent_since_s": 1100.0, **changes}).gone_at_s is None
