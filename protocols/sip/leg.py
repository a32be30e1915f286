"""The words of a leg: what it is told, what it tells, and the record from which it can be taken up again.

A leg is one dialog with its media description. `uac` makes one, `uas` answers one; once it is confirmed both are the
same (`confirmed`). This module has no behaviour.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from protocols.machine import Address, Expired, Transmit
from protocols.moments import Moment
from protocols.sip.build import Local
from protocols.sip.causes import Disposition
from protocols.sip.dialog import Dialog
from protocols.sip.message import Fields, Request, Response
from protocols.sip.sdp import Listening, LocalMedia, Media
from protocols.sip.timers import SessionTimer


class LegPhase(StrEnum):
    """How far a leg has come."""

    IDLE = "idle"
    INVITING = "inviting"
    """Ours: the INVITE is out. Theirs: it has come, and is not answered."""
    CANCELLING = "cancelling"
    """We want no answer any more, and wait for the word that there will be none."""
    CONFIRMED = "confirmed"
    ENDED = "ended"
    """The call is over; what is left are answers to what comes again."""
    FINISHED = "finished"


class TakeoverStage(StrEnum):
    """What has become of the last `TakeOver`."""

    NONE = ""
    ASKED = "asked"
    PLANNED = "planned"
    """Asked, and whoever had the call still has it."""
    AGREED = "agreed"
    REFUSED = "refused"


class Side(StrEnum):
    """Who ended it."""

    US = "us"
    THEM = "them"
    NOBODY = "nobody"
    """Time did."""


# ---- what a leg is told -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A message for this leg: its Call-ID is ours."""

    message: Request | Response
    source: Address


@dataclass(frozen=True, slots=True)
class Dial:
    """Call somebody. URIs are written out (`sip:+31201234567@10.0.0.1`); `next_hop` is the trunk's address."""

    target: str
    caller: str
    listening: Listening
    next_hop: Address
    ring_s: float = 30.0
    """From the INVITE to giving up, in seconds; below 180, as no proxy waits for longer (RFC 3261 s.16.6, timer C)."""
    caller_name: str = ""
    trunk: str = ""
    """Whose credentials these are: the name that the record keeps instead of them."""
    headers: Fields = ()
    """More header fields for the INVITE, names in lower case: `("p-asserted-identity", "<sip:...>")`."""


@dataclass(frozen=True, slots=True)
class Ring:
    """Say that it rings; with `listening`, let the caller hear something before the answer (183)."""

    listening: Listening | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer the call. After `Ring(listening)` the address stays the one that was told then."""

    listening: Listening


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not answer the call, and say why: 3xx to 6xx, and a Q.850 cause if there is one."""

    code: int = 486
    q850: int = 0


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call, whatever it is doing. What is given here comes back in `Ended`."""

    disposition: Disposition = Disposition.COMPLETED
    cause: str = "hung_up"


@dataclass(frozen=True, slots=True)
class Offer:
    """Be heard elsewhere, or hold them: a re-INVITE. The last one counts when several are waiting."""

    listening: Listening
    holds: bool = False


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Another machine goes on with the call: tell the far end our new addresses at once. First input after a resume."""

    local: Local
    listening: Listening | None
    """None: nothing is to be heard any more, the call is being ended."""
    is_planned: bool = False
    """Who had the call lives, and goes on with it unless the far end agrees: a refusal ends nothing here."""
    asks_nobody: bool = False
    """Who rings is not rung any more, and nobody is hung up on: if they have picked up, another may talk with them."""


@dataclass(frozen=True, slots=True)
class Renumber:
    """Count requests and descriptions on from above these: another machine has used, or may use, those before."""

    cseq: int
    version: int


# ---- what a leg tells ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody calls us."""

    caller: str
    """Their URI, and the name they go by."""
    caller_name: str
    target: str
    """The URI in the request line: whom they want."""
    has_offer: bool


@dataclass(frozen=True, slots=True)
class Ringing:
    """Their phone rings (the first 180)."""


@dataclass(frozen=True, slots=True)
class EarlyMedia:
    """There is something to hear before the answer: ring-back, or an announcement."""

    media: Media


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is answered, and this is where its audio goes."""

    media: Media


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """Re-negotiated, by them (moved, hold) or by us: this holds from now on."""

    media: Media


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """Our offer was refused; what was agreed before stands."""

    code: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over: told once. `cause` is one word for the ledger, `code` and `q850` are theirs, 0 if none came."""

    disposition: Disposition
    cause: str
    by: Side
    code: int = 0
    q850: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more will be sent or wanted: forget this leg."""


LegInput: TypeAlias = Received | Expired | Dial | Ring | Accept | Reject | HangUp | Offer | TakeOver | Renumber
LegEvent: TypeAlias = Invited | Ringing | EarlyMedia | Answered | MediaChanged | OfferRefused | Ended | Finished


# ---- what is kept of a leg ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LegRecord:
    """All that is needed to go on with a leg elsewhere. Plain data; about 1 kB packed, 2 kB while it rings.

    Times are seconds on the monotonic clock of the machine, so they mean something to a successor there and nothing
    to one elsewhere. Passwords are not here: whoever resumes looks them up by `trunk`.
    """

    role: str
    """`uac` or `uas`."""
    phase: LegPhase
    local: Local
    next_hop: Address
    trunk: str
    dialog: Dialog
    ours: LocalMedia
    media: Media | None = None
    timer: SessionTimer | None = None
    session_at_s: Moment | None = None
    invite: Transmit | None = None
    """Our INVITE that has no final answer yet, as it was sent, so that the answer is known when it comes."""
    is_proceeding: bool = False
    """A 1xx has come: the INVITE need not be repeated, and may be cancelled."""
    ring_until_s: Moment | None = None
    wanted: Offer | None = None
    """An offer of ours that has to wait for another to be settled."""
    verdict: Ended | None = None
    """While it is being cancelled: how it is going to have ended."""
    realms: tuple[str, ...] = ()
    """Those who have challenged our INVITE: who else asks for credentials is answered nothing."""
    acks: tuple[Transmit, ...] = ()
    """ACKs as they were sent, of the last 32 s: each is owed again when its 2xx is repeated."""
    takeover: TakeoverStage = TakeoverStage.NONE
    early: Dialog | None = None
    """What the last 18x has begun: where whoever has picked up can be reached, if their answer never comes here."""

    @property
    def is_reachable(self) -> bool:
        """Whether a phone that rings, or is being asked, can be asked from another machine if it has been picked up."""
        rings = self.early is not None and self.invite is not None
        return self.phase is LegPhase.INVITING and (rings or bool(self.acks))


__all__ = [
    "Received", "Dial", "Ring", "Accept", "Reject", "HangUp", "Offer", "TakeOver", "Renumber", "LegInput",
    "Invited", "Ringing", "EarlyMedia", "Answered", "MediaChanged", "OfferRefused", "Ended", "Finished", "LegEvent",
    "LegRecord", "LegPhase", "Side", "TakeoverStage",
]  # fmt: skip
