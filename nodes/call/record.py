"""Everything needed to go on with a call in another actor, process or node.

One record is written at each transition and turn, before anything of it is carried out: what a successor reads is
never behind what the world has seen by more than one step, and sending a wanted state twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from grammars.conversation_state import ConversationState, Enqueue
from protocols.amd import AmdState
from protocols.errors import RemoteProtocolError
from protocols.floor import FloorState, Listen
from protocols.handover import HandoverState
from protocols.moments import Moment
from protocols.sip import Ended, HangUp, LegRecord, Listening, Local
from protocols.wire.ids import Identity, NodeId
from protocols.wire.messages import Channel, PlaceCall, Playing

VERSION: Final = 1
GONE_AFTER_S: Final = 30.0
"""A callee of whom nothing is heard for so long has left without a BYE (RFC 3550 has no rule; carriers use 30 s)."""


class CallPhase(StrEnum):
    """Where a call is in its life (DESIGN 4)."""

    PLACING = "placing"
    RINGING = "ringing"
    ANSWERED = "answered"
    CONVERSING = "conversing"
    HANDING_OVER = "handing_over"
    BRIDGED = "bridged"
    ENDING = "ending"
    DONE = "done"
    MOVED = "moved"
    """It goes on at another machine: nothing is left of it here, and nothing has ended."""


UP: Final = (CallPhase.ANSWERED, CallPhase.CONVERSING, CallPhase.HANDING_OVER, CallPhase.BRIDGED)
"""The phases in which the callee is talked with, by whomever."""
GONE: Final = (CallPhase.DONE, CallPhase.MOVED)
"""The phases in which there is nothing to be done any more."""


class Ask(StrEnum):
    """What is answered later, once. At most one of a kind is open: asked again, the former is withdrawn."""

    READY = "ready"
    SPEAK = "speak"
    HEAR = "hear"
    FETCH = "fetch"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that is open. At `until_s` nobody will answer it any more: whoever was asked gives up sooner."""

    what: Ask
    number: int
    since_s: Moment
    until_s: Moment
    is_again: bool = False
    """An earlier life may have asked it, too."""


@dataclass(frozen=True, slots=True)
class Over:
    """How the call has ended; what is left is to give the port back and to say so."""

    disposition: str
    cause: str
    at_s: Moment
    code: int = 0
    q850: int = 0
    by: str = "nobody"


@dataclass(frozen=True, slots=True)
class Handed:
    """A handover that is wanted, and the seat it has come to; the seat is empty until one is reserved."""

    wanted: Enqueue
    desk: Identity = Identity("")
    seat: str = ""
    state: HandoverState = HandoverState()
    number: int = 0
    """Which try it is: what is said of another one is stale."""
    began_s: Moment = 0.0
    asked_s: Moment = 0.0
    """When the agent was asked."""
    decided_s: Moment = 0.0
    """When they had said yes."""
    is_missed: bool = False
    """The agent did not answer."""
    released: str = ""
    """A seat that `desk` may still keep for the call: an earlier life's, not found again yet, or the last one's of a
    handover that is over, which the desk may not have been told."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """The call comes from another machine, and the far end has not agreed to it yet, or its owner has not left it."""

    until_s: Moment
    local: Local
    listening: Listening
    """What the far end is told of us."""
    is_planned: bool = False
    """Who had it has it still: until they have left it, nothing is said, heard, asked or noted here."""
    is_agreed: bool = False
    """The far end has agreed: it is for us now, and who had it is to leave it."""
    ended: Ended | None = None
    """The far end has ended it meanwhile."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, whole. `revision` rises with every write, `epoch` with every life: a later record is known by them."""

    order: PlaceCall
    phase: CallPhase = CallPhase.PLACING
    revision: int = 0
    epoch: int = 0
    n_events: int = 0
    leg: LegRecord | None = None
    browser: str = ""
    """A browser's leg instead: `inviting`, `confirmed`, `ended`, as a SIP leg's phases; empty before it is called."""
    media: str = ""
    """The name of the media process that has the sockets (`media-0`); its identity changes when it dies."""
    channel: Channel | None = None
    conversation: ConversationState | None = None
    ending: HangUp | None = None
    """How we have begun to end it."""
    listen: Listen | None = None
    """What the callee is being asked right now; None while nobody listens."""
    listen_s: Moment = 0.0
    """Since when."""
    handover: Handed | None = None
    """While a human is wanted, or has the callee."""
    placed_s: Moment = 0.0
    answered_s: Moment = 0.0
    greeted_s: Moment = 0.0
    """When the callee's greeting ended, until our first word has been said."""
    is_doubtful: bool = False
    """Nobody had it for a while, and no socket either: its far end is to be asked whether it is still there."""
    silent_since_s: Moment = 0.0
    """Since when nothing has been heard of the callee; 0.0 while they are heard."""

    version: int = 0
    """Of this page; 0: written before there was one."""
    owner: Identity = Identity("")
    """Who has it: whom media, speech and desks are to tell."""
    amd: AmdState | None = None
    """None before the answer, and once it has nothing more to say."""
    floor: FloorState = FloorState()
    utterance: int = 0
    """The number of the callee's last one that has begun; told again, it is known."""
    cut: Playing | None = None
    """What the callee has stopped last, from where it is to go on if they meant nothing by it."""
    answer_ended_s: Moment = 0.0
    """When their last answer ended, until our next word."""
    recognition_ms: int = 0
    """From the ends of the callee's answers to our next words, in all."""
    asked: tuple[Asked, ...] = ()
    n_asked: int = 0
    """Numbers of questions and of handovers so far: none is given twice."""
    heir: NodeId = NodeId("")
    """The node that goes on with the call when this one is dead; empty: none can."""
    ending_s: Moment = 0.0
    """Since when it is ending."""
    over: Over | None = None
    arrival: Arrival | None = None
    n_moves: int = 0
    """How often it has gone on at another machine: each has its own part of the recording."""
    moved_s: Moment = 0.0
    """When it last did."""
    is_given_up: bool = False
    """Its machine was silent for so long that it is to end, whatever a callee who rang has done meanwhile."""

    # Times are on this machine's monotonic clock; 0.0: not yet.

    @property
    def gone_at_s(self) -> float | None:
        """When a callee of whom nothing is heard counts as gone.

        None while they are heard, have put us on hold, have not answered, or the call ends anyway.
        """
        is_held = self.channel is not None and not self.channel.sends
        is_up = self.answered_s and self.phase not in (CallPhase.ENDING, *GONE)
        if not (is_up and self.silent_since_s) or is_held:
            return None
        return max(self.silent_since_s, self.answered_s) + GONE_AFTER_S

    @property
    def is_waiting(self) -> bool:
        """Whether it is here, and another machine still has it."""
        return self.arrival is not None and self.arrival.is_planned and self.phase is not CallPhase.MOVED

    @property
    def leg_phase(self) -> str:
        """What the callee's leg is doing, in the words of a SIP leg; empty before it has been called."""
        return self.leg.phase if self.leg else self.browser


def pack(record: CallRecord) -> bytes:
    """Return the record as MessagePack, for an heir."""
    return msgspec.msgpack.encode(record)


def unpack(body: bytes) -> CallRecord:
    """Return the record. Raises: `RemoteProtocolError`, with the field's path, for bytes that are none."""
    try:
        return msgspec.msgpack.decode(body, type=CallRecord)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("malformed_record", str(error)) from error


__all__ = [
    "GONE",
    "GONE_AFTER_S",
    "UP",
    "VERSION",
    "Arrival",
    "Ask",
    "Asked",
    "CallPhase",
    "CallRecord",
    "Handed",
    "Over",
    "pack",
    "unpack",
]
