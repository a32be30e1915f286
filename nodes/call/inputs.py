"""What a call is told: that somebody goes on with it, what the telephone, media, speech and desks say, and answers.

An answer names the question by its number (`record.Asked`): one that comes late, or twice, is known by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from grammars.conversation_state import Fetched, FetchFailed
from nodes.call.record import CallRecord
from protocols.handover import HandoverInput
from protocols.machine import Address, Expired
from protocols.sip import (
    Answered,
    Disposition,
    EarlyMedia,
    Ended,
    Finished,
    Invited,
    Listening,
    Local,
    MediaChanged,
    OfferRefused,
    Ringing,
)  # fmt: skip
from protocols.wire.ids import Identity
from protocols.wire.messages import (
    AudioArrived,
    AudioLost,
    BeepHeard,
    Channel,
    ChannelClosed,
    DigitPressed,
    Heard,
    Partial,
    PlayEnded,
    Prompt,
    SpeechEnded,
    SpeechStarted,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """What another machine has ready for a call that goes on there; the record's moments are moved to its clock.

    `nodes.call.moving.brought` makes such a record of another machine's, `needs_line` says whether a port is needed.
    """

    media: str
    """The name of the media process there."""
    port: int
    """Its port for the call; 0 where there is no need of one: at a browser's, and for a call that ends."""
    local: Local
    """Our address for the far end's SIP, and for its audio."""
    listening: Listening
    outage_s: float = 0.0
    """For so long nobody spoke or heard."""
    is_planned: bool = False
    """Whoever has the call has it until the far end has agreed, and keeps it if that refuses."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Somebody has the call from now on: the first, or one who goes on. The one way to begin, and to recover."""

    owner: Identity
    engines: frozenset[Identity]
    """The speech processes that live."""
    is_refused: bool = False
    """The do-not-call list has the callee."""
    epoch: int = 0
    """Above that of every life before, also of those whose last record has reached nobody."""
    moved: Moved | None = None
    """It comes from another machine, with this record."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Another machine has been given the record and asks the far end now. Go on with the call: it may come back."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """The far end is another machine's. Be still from now on: no BYE, no last event. `HandOn` says what is left."""


@dataclass(frozen=True, slots=True)
class CameBack:
    """The other machine does not take the call after all. `code`: what the far end has said to it; 0: nothing."""

    code: int


@dataclass(frozen=True, slots=True)
class Left:
    """Who had the call has left it like this (`HandOn`), in moments of our clock. None: it has died meanwhile."""

    record: CallRecord | None
    outage_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LegResumed:
    """The leg has begun another life: what its last one had to tell may have been lost; the record has it."""


@dataclass(frozen=True, slots=True)
class SeatTold:
    """Something has become of a seat, or of the search for one. `number`: of the try that asked; 0 when nobody did."""

    given: HandoverInput
    desk: Identity = Identity("")
    seat: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class HangUpOrdered:
    """Somebody wants the call ended."""

    disposition: Disposition
    cause: str


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """Processes have come or gone."""

    engines: frozenset[Identity]
    desks: frozenset[Identity]
    is_media_new: bool = False
    """The name that has our sockets is another process now."""
    is_media_other: bool = False
    """It is, or it has another spare: somebody has not been told."""


@dataclass(frozen=True, slots=True)
class MediaLacks:
    """A media process has missed something of ours."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything that a dial needs, and an open line in the media process of this name."""

    number: int
    media: str
    channel: Channel
    local: Local
    hop: Address
    listening: Listening


@dataclass(frozen=True, slots=True)
class NotReady:
    """Nobody can be dialled, and why that is the call's end."""

    number: int
    disposition: Disposition
    cause: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """The words are on disk."""

    number: int
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class Hears:
    """This engine hears the callee from their next utterance on."""

    number: int
    engine: Identity


@dataclass(frozen=True, slots=True)
class NoEngineLeft:
    """No engine could speak, or hear; or (`cause`) none may."""

    number: int
    cause: str = "no_engine"


@dataclass(frozen=True, slots=True)
class BusinessAnswered:
    """What came of a `fetch`."""

    number: int
    answer: Fetched | FetchFailed


@dataclass(frozen=True, slots=True)
class LineClosed:
    """The port is given back."""

    number: int
    carried: ChannelClosed


@dataclass(frozen=True, slots=True)
class RecordTo:
    """Where the recording is to be; empty: recordings are given up just now. Answered in the turn of the question."""

    base: str


Telephone: TypeAlias = (
    Ringing | EarlyMedia | Answered | MediaChanged | OfferRefused | Ended | Finished | Invited | LegResumed
)
"""What a leg tells, a SIP one or a browser's."""
Speech: TypeAlias = SpeechStarted | SpeechEnded | Partial | Heard | DigitPressed | BeepHeard
"""What the callee does that may be an answer."""
ChannelNews: TypeAlias = Speech | PlayEnded | AudioArrived | AudioLost
"""What media and speech tell the owner of a channel."""
Answer: TypeAlias = Ready | NotReady | Spoken | Hears | NoEngineLeft | BusinessAnswered | LineClosed
"""What names the question that it answers."""
FromTheEdge: TypeAlias = Resumed | HangUpOrdered | RosterChanged | MediaLacks | RecordTo | Expired
FromElsewhere: TypeAlias = Leaving | LetGo | CameBack | Left
"""What comes of a planned move: the first three to who has the call, `LetGo` and the last to where it goes."""
Input: TypeAlias = FromTheEdge | FromElsewhere | Telephone | ChannelNews | SeatTold | Answer

__all__ = [
    "Answer",
    "BusinessAnswered",
    "CameBack",
    "ChannelNews",
    "FromElsewhere",
    "HangUpOrdered",
    "Hears",
    "Input",
    "Leaving",
    "Left",
    "LegResumed",
    "LetGo",
    "LineClosed",
    "MediaLacks",
    "Moved",
    "NoEngineLeft",
    "NotReady",
    "Ready",
    "RecordTo",
    "Resumed",
    "RosterChanged",
    "SeatTold",
    "Speech",
    "Spoken",
    "Telephone",
]
