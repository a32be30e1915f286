"""What a version has written, every later one reads: nodes are updated, and rolled back, with calls on their disk.

`records/0/*.msgpack` was written by edges that served people, agents, a business and a browser, before a record had a
version, each with its script; only the folder of recordings was given another name. They stay as they are: they are
what may lie on a disk. A new field has a default, a field never changes its type, and a word that was written keeps its
meaning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.script_pack import unpack as unpack_script
from nodes.call.record import GONE, CallPhase, CallRecord, pack, unpack
from protocols.floor import Listen

RECORDS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "records" / "0").iterdir())}
IS = {
    "placing": (CallPhase.PLACING, "inviting", []),
    "ringing": (CallPhase.RINGING, "inviting", []),
    "answered": (CallPhase.ANSWERED, "confirmed", []),
    "machine": (CallPhase.CONVERSING, "confirmed", []),
    "asked": (CallPhase.CONVERSING, "confirmed", [says.Say, Listen]),
    "listening": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "browser": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "fetching": (CallPhase.CONVERSING, "confirmed", [says.Say, says.Fetch]),
    "queued": (CallPhase.HANDING_OVER, "confirmed", [says.Enqueue]),
    "offered": (CallPhase.HANDING_OVER, "confirmed", [says.Say, says.Enqueue]),
    "bridged": (CallPhase.BRIDGED, "confirmed", []),
    "ending": (CallPhase.ENDING, "confirmed", [says.HangUp]),
}
"""Record -> the call's phase, its leg's, and what its conversation wants done by whoever goes on with it."""

every_record = pytest.mark.parametrize("name", IS)


def has(whole: Any, part: Any) -> bool:
    """Say whether everything that has been written is there, whatever else is."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and has(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(has, whole, part))
    return bool(whole == part) and type(whole) is type(part)


def test_there_is_a_record_of_every_phase_in_which_a_call_can_be_gone_on_with() -> None:
    assert RECORDS.keys() == IS.keys()
    assert {unpack(body).phase for body in RECORDS.values()} == set(CallPhase) - set(GONE)


@every_record
def test_nothing_of_it_is_lost(name: str) -> None:
    written = msgspec.msgpack.decode(RECORDS[name])
    assert has(msgspec.msgpack.decode(pack(unpack(RECORDS[name]))), written)


@every_record
def test_it_says_where_the_call_is_and_what_is_to_be_done(name: str) -> None:
    record = unpack(RECORDS[name])
    assert (record.phase, record.leg_phase, wanted(record)) == IS[name]


@every_record
def test_what_a_later_version_has_added_is_passed_over(name: str) -> None:
    later = msgspec.msgpack.decode(RECORDS[name])
    for part in (later, *(later[key] for key in ("handover", "conversation", "channel") if later[key])):
        part["of_tomorrow"] = {"any": [1, "thing"]}
    assert unpack(msgspec.msgpack.encode(later)) == unpack(RECORDS[name])


def wanted(record: CallRecord) -> list[type]:
    """What the conversation asks of whoever goes on with it."""
    if record.conversation is None:
        return []
    talk = Conversation(unpack_script(record.order.script), record.conversation)
    return [type(effect) for effect in talk.pending()]
