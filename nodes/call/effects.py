"""What a call wants done, as data. First what is done and forgotten, then what is answered (`inputs`), by number.

Whatever is done twice changes nothing: plays, questions, seats and events are numbered, and all else is a wanted state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from grammars.conversation_state import Fetch
from nodes.call.record import CallRecord
from protocols.floor import Listen
from protocols.sip import Dial, HangUp, Listening, Local
from protocols.wire.desk import JoinQueue, LeaveQueue, OfferCall, ReleaseSeat
from protocols.wire.events import Kind, Value
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Channel, Part

Sentences: TypeAlias = tuple[tuple[Part, ...], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Write down that this has happened, as the call's event of this number. Done before all else of its step.

    `owner` and `epoch`: in which life of the call. Two successors that went on from different records of it may give
    the same number, and are different processes.
    """

    number: int
    owner: Identity
    epoch: int
    kind: Kind
    fields: dict[str, Value]


@dataclass(frozen=True, slots=True)
class PutOnList:
    """The callee must not be called again, by anybody."""


@dataclass(frozen=True, slots=True)
class Want:
    """Tell media what this channel is to be; `to_spares`: those that may have to play on, too."""

    channel: Channel
    to_spares: bool = True


@dataclass(frozen=True, slots=True)
class Unlink:
    """Close the agent's side."""

    channel_id: ChannelId


@dataclass(frozen=True, slots=True)
class StopHearing:
    """What the callee says answers nothing now. Empty: nobody hears them yet, and whoever was asked to need not."""

    engine: Identity


@dataclass(frozen=True, slots=True)
class TellDesk:
    """Tell the desk of a seat."""

    desk: Identity
    message: OfferCall | ReleaseSeat


@dataclass(frozen=True, slots=True)
class TellDesks:
    """Tell every desk that there is. Joining where there is none is answered: there is nobody to wait for."""

    message: JoinQueue | LeaveQueue


@dataclass(frozen=True, slots=True)
class DialLeg:
    """Call the callee, from this address."""

    local: Local
    order: Dial


@dataclass(frozen=True, slots=True)
class HangUpLeg:
    """End the telephone's side; a leg that has never dialled ends."""

    order: HangUp


@dataclass(frozen=True, slots=True)
class TakeOverLeg:
    """Tell the far end that we are here from now on, which is also how it is asked whether it is still there.

    `listening`: None when nothing is to be heard of it any more. `is_planned`: whoever had the call still has it, and a
    refusal ends nothing. `asks_nobody`: whoever may have picked up is not asked, and not hung up on.
    """

    local: Local
    listening: Listening | None
    is_planned: bool = False
    asks_nobody: bool = False


@dataclass(frozen=True, slots=True)
class RenumberLeg:
    """Count on from above these: another machine uses the numbers in between, or has used them."""

    cseq: int
    version: int


@dataclass(frozen=True, slots=True)
class LetGoLeg:
    """End the leg without a word to the far end: it goes on elsewhere."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Tell who has the call that the far end is ours: they are to `LetGo`, and we wait for what they have `Left`."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Tell who has the call that it does not come here (`CameBack`). `code`: what the far end has said; 0: nothing."""

    code: int


@dataclass(frozen=True, slots=True)
class HandOn:
    """Answer whoever has `Arrived`: this is the call as we leave it. None: it ends here, and they are to `LetGo`."""

    record: CallRecord | None


@dataclass(frozen=True, slots=True)
class Prepare:
    """Have every engine know the script, and these sentences on disk, when there is time. Nobody waits for it."""

    sentences: Sentences = ()


@dataclass(frozen=True, slots=True)
class LateHandover:
    """A handover is late in this stage: for the log."""

    stage: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The call is over; nothing is left to be done."""


@dataclass(frozen=True, slots=True)
class GetReady:
    """Find the way to the callee, an engine that knows the script, and a line: `Ready` or `NotReady`."""

    number: int


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Say where the recording is to be: `RecordTo`, at once. `part`: 0, and one more at each machine it comes to."""

    part: int = 0


@dataclass(frozen=True, slots=True)
class Speak:
    """Have these sentences on disk: `Spoken` or `NoEngineLeft`."""

    number: int
    sentences: Sentences


@dataclass(frozen=True, slots=True)
class HearCallee:
    """Have an engine hear the callee, this one if it lives: `Hears` or `NoEngineLeft`."""

    number: int
    listen: Listen
    before: Identity


@dataclass(frozen=True, slots=True)
class AskBusiness:
    """Ask a business API: `BusinessAnswered`. `is_again`: it may have been asked already."""

    number: int
    wanted: Fetch
    is_again: bool


@dataclass(frozen=True, slots=True)
class CloseLine:
    """Give the port back, and have the recording published: `LineClosed`."""

    number: int
    channel_id: ChannelId


@dataclass(frozen=True, slots=True)
class Reserve:
    """Find a seat: `SeatTold` with `SeatReserved`, `SeatRefused` or `NobodyHere`."""

    number: int
    skill: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the agent's side: `SeatTold` with `LegConnected` or `SeatLost`."""

    number: int
    desk: Identity
    seat: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Show:
    """Show the agent what the call is about: `SeatTold` with `ContextAcknowledged` or `SeatLost`."""

    number: int
    desk: Identity
    seat: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Tell the desk that the seat's call is ours: `SeatTold` with `SeatLost`, or nothing."""

    number: int
    desk: Identity
    seat: str


Question: TypeAlias = GetReady | Speak | HearCallee | AskBusiness | CloseLine | Reserve | Connect | Show | Keep
"""What is answered later."""
Moving: TypeAlias = Arrived | GiveBack | HandOn
"""What is said to the machine that the call comes from, or goes to."""
Effect: TypeAlias = (
    Note
    | PutOnList
    | Want
    | Unlink
    | StopHearing
    | TellDesk
    | TellDesks
    | DialLeg
    | HangUpLeg
    | TakeOverLeg
    | RenumberLeg
    | LetGoLeg
    | Moving
    | Prepare
    | LateHandover
    | Stop
    | StartRecording
    | Question
)

__all__ = [
    "Arrived",
    "AskBusiness",
    "CloseLine",
    "Connect",
    "DialLeg",
    "Effect",
    "GetReady",
    "GiveBack",
    "HandOn",
    "HangUpLeg",
    "HearCallee",
    "Keep",
    "LateHandover",
    "LetGoLeg",
    "Moving",
    "Note",
    "Prepare",
    "PutOnList",
    "Question",
    "RenumberLeg",
    "Reserve",
    "Sentences",
    "Show",
    "Speak",
    "StartRecording",
    "Stop",
    "StopHearing",
    "TakeOverLeg",
    "TellDesk",
    "TellDesks",
    "Unlink",
    "Want",
]
