"""A record of the version before, made one of this: what its floor, detector and handover were is worked out again.

Dropped one version later: a node is updated with its calls up, and what is on its disk is at most one version old.
"""

from __future__ import annotations

from dataclasses import replace

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.script_model import Script
from nodes.call.record import UP, Ask, Asked, CallPhase, CallRecord
from protocols import amd, pauses
from protocols.floor import FloorState
from protocols.handover import HandoverState, Stage
from protocols.machine import Expired
from protocols.wire.ids import ChannelId
from protocols.wire.messages import SpeechStarted


def grown(record: CallRecord, script: Script | None, now: float) -> CallRecord:
    """Return the record as this version would have it. Without a script, or before the answer, nothing is missing."""
    if script is None or record.phase not in UP:
        return record
    plays = record.channel is not None and record.channel.playing is not None
    handed = record.handover
    if handed is not None and record.phase is CallPhase.BRIDGED:
        handed = replace(handed, state=HandoverState(Stage.BRIDGED, handed.seat), began_s=now)
    return replace(
        record,
        amd=_detector(record, script.leaves_message),
        floor=FloorState(listen=record.listen, is_playing=plays, quiet_since_s=now),
        asked=_asked(record, script, now, is_silent=not plays),
        handover=handed,
    )


def _detector(record: CallRecord, wants_message: bool) -> amd.AmdState | None:
    """Return the machine detector as it was: it goes through its stages again, by the times in the record."""
    again, talk = amd.Amd(record.answered_s, wants_message=wants_message), record.conversation
    if record.phase is not CallPhase.ANSWERED and (talk is None or talk.phase is says.TalkPhase.NEW):
        again.step(SpeechStarted(ChannelId(""), 0, record.answered_s), record.answered_s)
        greeted_s = record.answered_s + amd.GREETING_S + pauses.TAIL_S
        again.step(Expired(), greeted_s)  # a machine, and the message may not start yet
    elif talk is not None and talk.disposition == "machine":
        return None
    elif record.phase is not CallPhase.ANSWERED:
        again.step(Expired(), record.answered_s + amd.NOBODY_S)
    return again.state


def _asked(record: CallRecord, script: Script, now: float, *, is_silent: bool) -> tuple[Asked, ...]:
    if record.conversation is None:
        return ()
    pending = Conversation(script, record.conversation).pending()
    speaks = record.conversation.playing and is_silent
    fetches = any(isinstance(one, says.Fetch) for one in pending) and not speaks
    return tuple(Asked(what, 0, now, now) for what, is_open in ((Ask.SPEAK, speaks), (Ask.FETCH, fetches)) if is_open)


__all__ = ["grown"]
