"""What is always true: of one step, of a call's record, and of a call and the other ends together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from grammars.conversation_state import TalkPhase as Talk
from grammars.script_model import Script
from nodes.call import effects as wants
from nodes.call.call import Call
from nodes.call.effects import Effect
from nodes.call.inputs import Input, Left
from nodes.call.line import link_of, told
from nodes.call.record import GONE, UP, Ask, CallPhase, CallRecord
from protocols.amd import AmdStage
from protocols.handover import Stage
from protocols.machine import Expired
from protocols.moments import shifted
from protocols.wire.events import FIELDS, Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import Channel

if TYPE_CHECKING:
    from tests.nodes.call.world import World


def is_step(before: CallRecord, after: CallRecord, effects: Sequence[Effect], given: Input, now: float) -> None:
    """Hold one step to what is always true of steps."""
    notes = [one for one in effects if isinstance(one, wants.Note)]
    if isinstance(given, Left) and given.record is not None:
        before = given.record
    assert list(effects[: len(notes)]) == notes, "events come before everything else"
    assert [note.number for note in notes] == list(range(before.n_events + 1, after.n_events + 1)), "without a hole"
    assert all((note.owner, note.epoch) == (after.owner, after.epoch) for note in notes)
    for note in notes:
        needed, allowed = FIELDS[note.kind]
        known = needed | allowed
        assert needed.keys() <= note.fields.keys() <= known.keys(), note
        assert all(isinstance(value, known[name]) for name, value in note.fields.items()), note
        assert all(value >= 0 for name, value in note.fields.items() if name.endswith("ms")), (
            f"time runs forwards: {note}"
        )
    ended = [note for note in notes if note.kind is Kind.ENDED]
    assert len(ended) == (after.phase is CallPhase.DONE and before.phase is not CallPhase.DONE), "it ends once"
    assert not ended or notes[-1] is ended[0], "the end is the last event"
    if before.phase in GONE:
        assert after == before
        assert all(isinstance(one, wants.Stop) for one in effects), "nothing is done for a call that is over"
    others = [one for one in effects if not isinstance(one, wants.Note)]
    assert not any(isinstance(one, wants.PutOnList) for one in others[1:]), "whoever opts out is put on the list first"
    assert after.n_asked >= before.n_asked
    if after.is_waiting or after.phase is CallPhase.MOVED:
        assert not notes, "who does not have the call says nothing of it"
        assert not any(isinstance(one, wants.Question | wants.HangUpLeg | wants.TellDesk) for one in others)
        assert all(is_still(one.channel) for one in others if isinstance(one, wants.Want))
    elif isinstance(given, Expired):
        assert all(one.until_s > now for one in after.asked), "what nobody answers is given up"


def is_still(channel: Channel) -> bool:
    """Say whether nobody speaks or hears here."""
    return not (channel.sends or channel.playing or channel.engine or channel.recording or channel.bridge)


OTHER_CLOCKS_S: Final = (-5000.5, 86400.125, 1e6)
"""How far another machine's clock may be ahead: so far behind, too, that the call began before it did."""
A_MOMENT_S: Final = 1e-6
"""Sums of floats are off by less."""


def is_same_on_another_clock(
    before: CallRecord, script: Script, given: Input, now: float, step: tuple[CallRecord, Sequence[Effect]]
) -> None:
    """Hold one step to being the same on a machine with another clock: no moment in the record is of this one.

    Every second one, because it takes longer than the step.
    """
    if before.revision % 2:
        return
    by_s = OTHER_CLOCKS_S[before.revision // 2 % len(OTHER_CLOCKS_S)]
    wanted = shifted((step[0], tuple(step[1])), by_s)
    for late_s in (0.0, A_MOMENT_S):  # what is due now may be due a rounding later there
        there = Call(shifted(before, by_s), script)
        effects = there.step(shifted(given, by_s), now + by_s + late_s)
        if is_alike(wanted, (there.record, effects)):
            break
    else:
        raise AssertionError(f"it goes on otherwise where the clock shows {by_s} s more: {given}")
    deadline = Call(step[0], script).deadline
    assert is_alike(deadline and deadline + by_s, there.deadline), "it wakes up at another moment"


def is_alike(one: Any, other: Any, name: str = "") -> bool:
    """Say whether two values are the same but for roundings of times, and of the milliseconds made of them."""
    if one is other:
        return True
    if is_dataclass(one) and not isinstance(one, type):
        values = ((getattr(one, field.name), getattr(other, field.name, None), field.name) for field in fields(one))
        return type(one) is type(other) and all(is_alike(*value) for value in values)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key], key) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 2 * A_MOMENT_S or (name == "duration_s" and abs(one - other) < 0.002)
    if isinstance(one, int) and isinstance(other, int) and name.endswith(("ms", "play_id")):
        return abs(one - other) <= 1
    return bool(one == other)


def is_record(record: CallRecord) -> None:
    """Hold a record to what is always true of records."""
    asked = {one.what for one in record.asked}
    assert len(asked) == len(record.asked), "one question of a kind"
    assert bool(record.over) == (Ask.CLOSE in asked or record.phase is CallPhase.DONE)
    assert not record.over or record.phase in (CallPhase.ENDING, CallPhase.DONE)
    assert record.phase is not CallPhase.DONE or not asked
    if record.phase is CallPhase.ENDING:
        assert record.ending or record.over
        assert asked <= {Ask.CLOSE}, "who is ending asks for nothing else"
    if record.phase not in UP or record.conversation is None:
        return
    talk, channel, floor = record.conversation, record.channel, record.floor
    assert channel
    is_beep_awaited = record.amd is not None and record.amd.stage is AmdStage.MACHINE
    if talk.playing:
        is_cut = record.phase in (CallPhase.HANDING_OVER, CallPhase.BRIDGED)
        assert Ask.SPEAK in asked or channel.playing or is_beep_awaited or is_cut, "who speaks is heard"
    if record.listen:
        assert talk.phase is Talk.LISTENING
    if Ask.HEAR in asked:
        assert record.listen
        assert floor.listen in (None, record.listen)
    if Ask.SPEAK in asked:
        assert record.listen is None
        assert floor.listen is None, "nobody answers a question that has not been asked yet"
    is_fetching = talk.phase is Talk.FETCHING and not talk.event and Ask.SPEAK not in asked
    assert (Ask.FETCH in asked) == is_fetching
    is_bridged = record.handover is not None and record.handover.state.stage is Stage.BRIDGED
    assert is_bridged == (record.phase is CallPhase.BRIDGED) == (talk.phase is Talk.WITH_AGENT)
    assert (record.phase is CallPhase.HANDING_OVER) == (record.handover is not None and not is_bridged)
    assert not (is_bridged and channel.playing), "an agent is not talked over"
    assert channel.bridge == "" or channel.bridge == link_of(record)


def is_world(world: World) -> None:
    """Hold the call and the other ends together to what is always true of them."""
    record, line, phone = world.record, world.line, world.phone
    ids = [(note.owner, note.epoch, note.number) for note in world.notes]
    assert len(set(ids)) == len(ids), "an event's id is never given twice"
    if not world.lag:
        assert [note.number for note in world.notes] == list(range(1, record.n_events + 1)), "events are without a hole"
    assert phone.n_dials <= 1, "nobody is dialled twice"
    if record.conversation and record.conversation.disposition == "opted_out":
        assert world.is_listed, "who has opted out is on the list"
    if world.is_over:
        return _is_over(world)
    assert record.phase is not CallPhase.DONE
    if record.phase is CallPhase.MOVED:
        return _is_coming(world)
    _is_awaited(world)
    channel_id = ChannelId(record.order.call_id)
    is_told = record.channel and (record.channel.port or record.answered_s) and not record.over
    if is_told and not line.is_behind:
        assert line.without_its_last_play(channel_id) == told(record), "media knows what is wanted"
    has_seat = bool(record.handover and record.handover.seat)
    if not world.lag and world.now > world.orphans_until_s and (link := line.channels.get(link_of(record))):
        assert has_seat, "an agent's side is open only while a seat is ours"
        assert not link.bridge or (record.channel and record.channel.bridge)


def _is_over(world: World) -> None:
    record, line, desk = world.record, world.line, world.desk
    ends = [note for note in world.notes if note.kind is Kind.ENDED]
    assert record.phase is CallPhase.DONE
    assert ends
    assert world.notes[-1] is ends[-1]
    assert world.lag or len(ends) == 1, "it has ended once"
    if world.now > world.orphans_until_s:
        assert not line.channels, "no channel is left"
    if not world.lag:
        assert not any(engine.wish for engine in line.engines.values()), "nobody listens to a call that is over"
        assert not desk.mine(), "no agent is kept"
    assert desk.waiting != world.owner, "it does not wait for an agent"


def _is_coming(world: World) -> None:
    """Its owner has left it, and died before it could say so: where it was to go it joins by itself."""
    assert world.coming is not None, "it goes on somewhere"
    assert world.coming.arrival is not None
    assert world.coming.arrival.is_agreed, "nobody leaves it before it has arrived"
    assert Call(world.coming, world.script).deadline is not None, "it is not waited for for ever"


def _is_awaited(world: World) -> None:
    """Something is awaited: an answer, a time, the telephone, the end of a prompt, or an agent."""
    record = world.record
    match record.phase:
        case CallPhase.PLACING | CallPhase.RINGING:
            is_so = bool(record.asked) or record.leg_phase in ("inviting", "cancelling")
        case CallPhase.ENDING:
            is_so = world.deadline is not None
        case CallPhase.BRIDGED:
            is_so = True
        case _:
            plays = record.channel is not None and record.channel.playing is not None
            is_so = bool(record.asked) or plays or world.deadline is not None
    assert is_so, "something is awaited"


__all__ = ["is_record", "is_step", "is_world"]
