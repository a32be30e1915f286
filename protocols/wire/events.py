"""What becomes of a call, event by event: the truth from which reports, views and the ledger are made.

One event is one JSON object in the stream `RM_EVENTS`. `FIELDS` says what each kind carries. Words that were spoken
are in here, so the stream is not for everybody; what is, `public_view` makes. A number is never here: who was called
follows from the attempt's id.

Reading is strict about what we know (kinds, fields that must be there, types) and keeps further fields as they are: an
event of a newer edge is recorded whole. Writing is strict about everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.replacing import replace
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId

Value: TypeAlias = str | int | float | bool | dict[str, str] | list[str]


class Kind(StrEnum):
    """The kinds of event, in the order in which a call may come by them."""

    PLACING = "call.placing"
    RINGING = "call.ringing"
    EARLY_MEDIA = "call.early_media"
    ANSWERED = "call.answered"
    PROMPT_STARTED = "prompt.started"
    PROMPT_ENDED = "prompt.ended"
    HEARD = "turn.heard"
    NOMATCH = "turn.nomatch"
    NOINPUT = "turn.noinput"
    DTMF = "dtmf.received"
    SLOT_FILLED = "slot.filled"
    STATE_ENTERED = "state.entered"
    TAGGED = "tagged"
    FETCH_DONE = "fetch.done"
    FETCH_FAILED = "fetch.failed"
    HANDOVER_STARTED = "handover.started"
    HANDOVER_DONE = "handover.done"
    HANDOVER_FAILED = "handover.failed"
    HUMAN_DETECTED = "human.detected"
    MACHINE_DETECTED = "machine.detected"
    OPT_OUT = "opt_out"
    RECOVERED = "recovered"
    RECORDING_LEFT = "recording.left"
    ENDED = "call.ended"


_TURN: Final = {"turn": int, "words": str}

FIELDS: Final[Mapping[Kind, tuple[dict[str, type], dict[str, type]]]] = {
    # kind: (fields that must be there, fields that may be); `_ms` whole milliseconds, `_s` seconds
    Kind.PLACING: ({"script": str}, {"trunk": str}),
    Kind.RINGING: ({"after_ms": int}, {}),
    Kind.EARLY_MEDIA: ({"after_ms": int}, {}),
    Kind.ANSWERED: ({"after_ms": int}, {}),
    Kind.PROMPT_STARTED: (
        {"play_id": int, "spoken": str},
        {"prompts": list, "answer_ms": int, "first_word_ms": int, "is_resumed": bool},
    ),
    Kind.PROMPT_ENDED: ({"play_id": int}, {"is_cut": bool}),
    Kind.HEARD: (
        {**_TURN, "confidence": float, "rule": str, "intent": str, "slots": dict},
        {"state": str, "decided_ms": int, "ms": int},
    ),
    Kind.NOMATCH: (_TURN, {"state": str, "ms": int}),
    Kind.NOINPUT: ({"turn": int}, {"state": str, "ms": int}),
    Kind.DTMF: ({"digit": str}, {"turn": int, "ms": int}),
    Kind.SLOT_FILLED: ({"slot": str, "value": str}, {}),
    Kind.STATE_ENTERED: ({"state": str}, {}),
    Kind.TAGGED: ({"tag": str}, {}),
    Kind.FETCH_DONE: ({"ms": int}, {}),
    Kind.FETCH_FAILED: ({"ms": int, "reason": str}, {}),
    Kind.HANDOVER_STARTED: ({"skill": str, "reason": str, "urgency": str}, {}),
    Kind.HANDOVER_DONE: ({"agent_id": str, "ms": int}, {"connected_ms": int, "confirmed_ms": int}),
    Kind.HANDOVER_FAILED: ({"reason": str, "ms": int}, {"then": str}),
    Kind.HUMAN_DETECTED: ({"after_ms": int}, {"is_sure": bool}),
    Kind.MACHINE_DETECTED: ({"after_ms": int}, {"evidence": str}),
    Kind.OPT_OUT: ({"by": str}, {}),
    Kind.RECOVERED: ({"what": str}, {"phase": str, "gap_ms": int}),
    Kind.RECORDING_LEFT: ({"part": int, "node": str}, {}),
    Kind.ENDED: (
        {"disposition": str, "cause": str, "duration_s": float, "by": str},
        {
            "code": int,
            "q850": int,
            "sent": int,
            "received": int,
            "lost": int,
            "late": int,
            "jitter_ms": float,
            "recording": str,
            "part": int,
            "turns": int,
            "recognition_ms": int,
            "after_ms": int,
        },
    ),
}


TRANSCRIPT: Final = frozenset(
    (
        Kind.PROMPT_STARTED, Kind.PROMPT_ENDED, Kind.HEARD, Kind.NOMATCH, Kind.NOINPUT, Kind.DTMF, Kind.STATE_ENTERED,
    )
)  # fmt: skip
"""Kinds that tell how a conversation goes, turn by turn. What it comes to is in others: slots, tags, opt-outs, ends."""


def shortened(event: CallEvent) -> CallEvent | None:
    """Return what is left of an event while transcripts are given up: what reports count. None: nothing.

    Of what was understood the words stay, for they are the outcome.
    """
    match event.kind:
        case Kind.PROMPT_STARTED:
            kept = {name: value for name, value in event.fields.items() if name != "prompts"}
            return replace(event, fields={**kept, "spoken": ""})
        case Kind.NOMATCH:
            return replace(event, fields={**event.fields, "words": ""})
        case Kind.PROMPT_ENDED | Kind.STATE_ENTERED | Kind.DTMF:
            return None
        case _:
            return event


WANTED_BY: Final = ("them", "callee", "agent")
WANTED_CAUSES: Final = ("script", "agent", "ordered")
"""Who ends a call (`by`), and for what (`cause`), when somebody wanted its end. An answered call that ended otherwise,
or that has no end and is nobody's any more, is lost."""


def is_wanted(ended: Mapping[str, object]) -> bool:
    """Say whether somebody wanted this end of a call: callee, agent, script, or who ordered it.

    >>> is_wanted({"by": "us", "cause": "script"}), is_wanted({"by": "us", "cause": "node_lost"})
    (True, False)
    """
    return ended.get("by") in WANTED_BY or ended.get("cause") in WANTED_CAUSES


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One event. `seq` counts the events of one call from 1; `wall` is when it happened, with offset."""

    event_id: str
    call_id: CallId
    attempt_id: AttemptId
    campaign_id: CampaignId
    node_id: NodeId
    wall: datetime
    seq: int
    kind: Kind
    fields: dict[str, Value] = field(default_factory=dict)


def to_json(event: CallEvent) -> bytes:
    """Return the event as JSON. Raises: `LocalProtocolError` when it is not as `FIELDS` says."""
    return msgspec.json.encode(_checked(event))


def to_body(event: CallEvent) -> dict[str, Any]:
    """Return the event as a JSON-able dict. Raises: `LocalProtocolError` when it is not as `FIELDS` says.

    >>> made = CallEvent("e1", CallId("c1"), AttemptId("a1"), CampaignId(""), NodeId("n1"),
    ...     datetime.fromisoformat("2026-03-03T10:00:00+01:00"), 1, Kind.RINGING, {"after_ms": 812})
    >>> to_body(made)["fields"], from_body(to_body(made)) == made
    ({'after_ms': 812}, True)
    """
    body: dict[str, Any] = msgspec.to_builtins(_checked(event))
    return body


def from_body(body: object) -> CallEvent:
    """Return the event that a body tells. Raises: `RemoteProtocolError`, naming the field, when it tells none."""
    try:
        event = msgspec.convert(body, CallEvent)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("event_field", str(error)) from error
    if wrong := _wrong(event):
        raise RemoteProtocolError("event_field", f"{event.kind}: {wrong}")
    return event


def _checked(event: CallEvent) -> CallEvent:
    """Return the event. Raises: `LocalProtocolError`."""
    needed, allowed = FIELDS[event.kind]
    unknown = event.fields.keys() - needed.keys() - allowed.keys()
    if wrong := _wrong(event) or (f"{min(unknown)} is not known" if unknown else ""):
        raise LocalProtocolError("event_field", f"{event.kind}: {wrong}")
    return event


def _wrong(event: CallEvent) -> str:
    """Return what is wrong with the event by itself, or nothing."""
    if event.wall.tzinfo is None:
        return "wall has no offset"
    if event.seq < 1:
        return "seq is below 1"
    needed, allowed = FIELDS[event.kind]
    if missing := needed.keys() - event.fields.keys():
        return f"{min(missing)} is missing"
    for key, value in event.fields.items():
        wanted = needed.get(key) or allowed.get(key)
        if not (wanted is None or type(value) is wanted or (wanted is float and type(value) is int)):
            return f"{key} is no {wanted.__name__}"
    return ""


# ---- what everybody may see ---------------------------------------------------------------------------------------


class Stage(StrEnum):
    """How far a call is, for those who look from outside."""

    PLACING = "placing"
    RINGING = "ringing"
    ANSWERED = "answered"
    CONVERSING = "conversing"
    HANDING_OVER = "handing_over"
    BRIDGED = "bridged"
    ENDING = "ending"


def public_view(node: NodeId, campaign: CampaignId, stage: Stage, since: datetime) -> dict[str, str]:
    """Return a call as everybody may see it, under its id in the bucket `rm_calls`: no words, no number.

    `since`: when it came to this stage.
    """
    return {"node": node, "campaign": campaign, "state": stage, "since": since.isoformat()}


__all__ = [
    "CallEvent", "FIELDS", "Kind", "Stage", "TRANSCRIPT", "Value", "WANTED_BY", "WANTED_CAUSES", "from_body",
    "is_wanted", "public_view", "shortened", "to_body", "to_json",
]  # fmt: skip
