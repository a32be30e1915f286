"""What a version has written, every later one reads: nodes are updated, and rolled back, with calls on their disk.

`records/0/*.msgpack` was written by edges that served people, agents, a business and a browser, before a record had a
version, each with its script; only the folder of recordings was given another name. `records/1/*.msgpack` was written
by the calls of `world.py`, and has what came with that version: the machines inside a call, open questions, the move to
another machine. They stay as they are: they are what may lie on a disk. A new field has a default, a field never
changes its type, and a word that was written keeps its meaning.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.script_pack import unpack as unpack_script
from nodes.call.call import Call
from nodes.call.effects import CloseLine, GiveBack, Note, TakeOverLeg, Want
from nodes.call.inputs import Moved, Resumed
from nodes.call.moving import brought
from nodes.call.record import GONE, VERSION, CallPhase, CallRecord, pack, unpack
from protocols.floor import Listen
from protocols.sip import Listening, Local
from protocols.wire.ids import Identity

RECORDS = {
    f"{path.parent.name}/{path.stem}": path.read_bytes()
    for path in sorted((Path(__file__).parent / "records").glob("*/*.msgpack"))
}
IS = {
    "0/placing": (CallPhase.PLACING, "inviting", []),
    "0/ringing": (CallPhase.RINGING, "inviting", []),
    "0/answered": (CallPhase.ANSWERED, "confirmed", []),
    "0/machine": (CallPhase.CONVERSING, "confirmed", []),
    "0/asked": (CallPhase.CONVERSING, "confirmed", [says.Say, Listen]),
    "0/listening": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "0/browser": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "0/fetching": (CallPhase.CONVERSING, "confirmed", [says.Say, says.Fetch]),
    "0/queued": (CallPhase.HANDING_OVER, "confirmed", [says.Enqueue]),
    "0/offered": (CallPhase.HANDING_OVER, "confirmed", [says.Say, says.Enqueue]),
    "0/bridged": (CallPhase.BRIDGED, "confirmed", []),
    "0/ending": (CallPhase.ENDING, "confirmed", [says.HangUp]),
    "1/ringing": (CallPhase.PLACING, "inviting", []),
    "1/detecting": (CallPhase.ANSWERED, "confirmed", []),
    "1/heard": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "1/speaking": (CallPhase.CONVERSING, "confirmed", [says.Say, says.Enqueue]),
    "1/reaching": (CallPhase.HANDING_OVER, "confirmed", [says.Say, says.Enqueue]),
    "1/offered": (CallPhase.HANDING_OVER, "confirmed", [says.Say, says.Enqueue]),
    "1/bridged": (CallPhase.BRIDGED, "confirmed", []),
    "1/over": (CallPhase.ENDING, "ended", [says.HangUp]),
    "1/arriving": (CallPhase.CONVERSING, "confirmed", [Listen]),
    "1/waiting": (CallPhase.CONVERSING, "confirmed", [Listen]),
}
"""Record -> the call's phase, its leg's, and what its conversation wants done by whoever goes on with it."""

MOVED = Moved("media-0", 40002, Local("192.0.2.7", 5060), Listening("192.0.2.7", 40002), 0.2)
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


@every_record
def test_the_call_goes_on_at_this_machine_and_at_another_one(name: str) -> None:
    record = unpack(RECORDS[name])
    script = unpack_script(record.order.script)
    ours = Resumed(Identity("n1.edge-0:9"), frozenset(), epoch=record.epoch + 5)
    here, there = Call(record, script), Call(brought(record, -5000.0), script)
    effects = here.step(ours, 1e5)
    assert here.record.phase is not CallPhase.DONE
    assert here.record.epoch == record.epoch + 5
    assert any(isinstance(one, Note | CloseLine | TakeOverLeg | Want) for one in effects)
    effects = there.step(replace(ours, moved=MOVED), 1e5 - 5000.0)
    if record.leg_phase == "inviting":
        assert there.record.over
        assert there.record.over.cause == "node_lost"
    elif record.is_waiting:
        assert GiveBack(0) in effects, "its owner has it"
    else:
        assert there.record.over or TakeOverLeg in map(type, effects)
    assert there.record.version == VERSION


def wanted(record: CallRecord) -> list[type]:
    """What the conversation asks of whoever goes on with it."""
    if record.conversation is None:
        return []
    talk = Conversation(unpack_script(record.order.script), record.conversation)
    return [type(effect) for effect in talk.pending()]
