"""Seats: what an edge and a desk say to each other about a caller, and the audio between a seat and a media process.

A seat is a browser at a desk: an agent's, or that of somebody the robot calls (`/phone`). The desk holds the connection
and is the authority on the seat; the edge has the caller. In the order of a good handover:

    edge  ReserveSeat   ->  desk     probes the agent's page; the reply names the seat
    edge  ShowContext   ->  desk     the reply is the page's acknowledgement
    edge  OfferCall     ->  desk     the page rings
    edge  <- SeatAccepted   desk
    media LinkAudio    <->  desk     once the edge has bridged the two channels
    edge  <- SeatHears      desk     the first frame has been written to the page's socket
    edge  <- SeatFinished   desk
    edge  ReleaseSeat   ->  desk

A browser that is called is only offered the call. Whoever dies, the other side learns it from the roster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, get_args

from protocols.wire.context import HandoverContext, Urgency
from protocols.wire.ids import CallId, ChannelId, NodeId
from protocols.wire.messages import Done

# ---- to a desk ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeatReserved:
    """The seat is this call's: its page has just answered a probe."""

    seat: str


@dataclass(frozen=True, slots=True)
class ReserveSeat:
    """Find a seat for a caller. A call that has one is given the same, so that a successor may ask again.

    Refused: `nobody_here` (nobody with this skill has signed in), `no_seat_free`.
    """

    Reply: ClassVar[type[SeatReserved]] = SeatReserved
    call_id: CallId
    skill: str = ""
    """Empty: any agent."""


@dataclass(frozen=True, slots=True)
class ShowContext:
    """Show this to the agent; answered when their page says that it is on the screen. Refused: `not_yours`."""

    Reply: ClassVar[type[Done]] = Done
    call_id: CallId
    seat: str
    context: HandoverContext


@dataclass(frozen=True, slots=True)
class OfferCall:
    """Ask the person at the seat to take the call; `SeatAccepted`, `SeatDeclined` or `SeatLost` will be told."""

    call_id: CallId
    seat: str
    channel_id: ChannelId
    """The channel whose audio is the seat's."""


@dataclass(frozen=True, slots=True)
class KeepSeat:
    """A successor of the edge that had the call: tell me of the seat from now on. Refused: `not_yours`."""

    Reply: ClassVar[type[Done]] = Done
    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class ReleaseSeat:
    """The call does not want the seat any more. `is_missed`: its agent did not answer the offer."""

    call_id: CallId
    seat: str
    is_missed: bool = False


@dataclass(frozen=True, slots=True)
class JoinQueue:
    """Tell `SeatFound` as soon as a seat is free, or `NobodyHere` when the last agent with this skill has left."""

    call_id: CallId
    skill: str = ""
    urgency: Urgency = Urgency.NORMAL


@dataclass(frozen=True, slots=True)
class LeaveQueue:
    """The caller does not wait any more."""

    call_id: CallId


# ---- from a desk to the edge that has the call --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeatFound:
    """The caller has waited: this seat is reserved for them now."""

    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class NobodyHere:
    """There is nobody to wait for."""

    call_id: CallId
    seat: str = ""


@dataclass(frozen=True, slots=True)
class SeatAccepted:
    """The person at the seat takes the call."""

    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class SeatDeclined:
    """The person at the seat does not take the call."""

    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class SeatHears:
    """The first frame of the call has been written to the seat's socket."""

    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class SeatFinished:
    """The person at the seat has ended the call."""

    call_id: CallId
    seat: str


@dataclass(frozen=True, slots=True)
class SeatLost:
    """The seat's connection is gone, or the seat was never this call's."""

    call_id: CallId
    seat: str


# ---- between a desk and a media process ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkFrame:
    """20 ms of one link. `n` counts frames: what is missing between two numbers is silence."""

    channel_id: ChannelId
    n: int
    payload: bytes
    """160 bytes of G.711 mu-law."""


@dataclass(frozen=True, slots=True)
class LinkAudio:
    """All frames of a 5 ms slot for one process. The desk answers to where the call's frames come from."""

    frames: tuple[LinkFrame, ...]


# ---- from an operator to an edge ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new calls (`PlaceCall` is refused as `draining`), or take them again; calls that are up go on."""

    Reply: ClassVar[type[Done]] = Done
    is_draining: bool
    moves: bool = False
    """Calls that are up are moved to other machines, each to its heir, make-before-break."""


@dataclass(frozen=True, slots=True)
class ShareMoves:
    """So many calls are going to be moved, of those that are up."""

    n: int
    of: int


@dataclass(frozen=True, slots=True)
class MoveShare:
    """Move this share of the calls that are up, each to its heir, make-before-break, and go on taking new ones.

    `share`: 0 to 1; it takes the place of what was wanted before, so 0 ends that. `rests_s`: a call that has moved
    within so long stays. `to`: only calls whose heir is one of these nodes; empty: whoever it is.
    Refused: `not_active`, `draining`, `bad_share`, `nobody` (no other node takes them).
    """

    Reply: ClassVar[type[ShareMoves]] = ShareMoves
    share: float
    rests_s: float = 0.0
    to: tuple[NodeId, ...] = ()


SeatNews: TypeAlias = SeatFound | NobodyHere | SeatAccepted | SeatDeclined | SeatHears | SeatFinished | SeatLost
SEAT_NEWS: tuple[type[SeatNews], ...] = get_args(SeatNews)
"""What a desk tells; each names the call and the seat."""

DESK_MESSAGES: tuple[type, ...] = (
    SeatReserved, ReserveSeat, ShowContext, OfferCall, KeepSeat, ReleaseSeat, JoinQueue, LeaveQueue,
    *SEAT_NEWS, LinkAudio, Drain, MoveShare, ShareMoves,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "ReserveSeat", "SeatReserved", "ShowContext", "OfferCall", "KeepSeat", "ReleaseSeat", "JoinQueue", "LeaveQueue",
    "SeatFound", "NobodyHere", "SeatAccepted", "SeatDeclined", "SeatHears", "SeatFinished", "SeatLost", "SeatNews",
    "SEAT_NEWS", "LinkFrame", "LinkAudio", "Drain", "MoveShare", "ShareMoves",
    "DESK_MESSAGES",
]  # fmt: skip
