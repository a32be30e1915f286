"""A human agent's seat: what may be done with it, as a table. Its authority is the desk that holds the connection.

    offline     not here
    connecting  signed in; the leg is being connected, or connected again
    not_ready   here, and wants no call
    ready       the leg is connected, a call may be offered
    reserved    one call's, from the probe until it is bridged or released; ends by itself
    talking     with the caller
    wrapup      after-call work; ends by itself

A seat belongs to one call at a time, and what another call says about it is ignored: a late release cannot free a seat
that is no longer its own. Idle seats live by heartbeats (every 30 s, 10 s grace). That alone would offer a call to a
seat that has been dead for 40 s, so each offer is probed first, and a seat that does not answer is connected anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from protocols.machine import Expired, Notify
from protocols.wire.ids import CallId

BEAT_S = 30.0
GRACE_S = 10.0
PROBE_S = 0.25
RESERVED_S = 15.0
"""Longer than a handover may take from here to the bridge."""
WRAPUP_S = 30.0


class Seat(StrEnum):
    """The states of a seat."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    NOT_READY = "not_ready"
    READY = "ready"
    RESERVED = "reserved"
    TALKING = "talking"
    WRAPUP = "wrapup"


@dataclass(frozen=True, slots=True)
class SignIn:
    """The agent is here; `ready`: and wants calls as soon as the leg is connected."""

    ready: bool = False


@dataclass(frozen=True, slots=True)
class SignOut:
    """The agent leaves, or their browser has closed."""


@dataclass(frozen=True, slots=True)
class LegUp:
    """The agent's leg is connected."""


@dataclass(frozen=True, slots=True)
class LegDown:
    """The agent's leg is gone."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The agent's screen lives."""


@dataclass(frozen=True, slots=True)
class WantReady:
    """The agent wants calls, or (`ready=False`) no more after this one."""

    ready: bool = True


@dataclass(frozen=True, slots=True)
class Reserve:
    """A call wants the seat."""

    call: CallId


@dataclass(frozen=True, slots=True)
class ProbeAnswered:
    """The agent's screen has answered the probe for this call."""

    call: CallId


@dataclass(frozen=True, slots=True)
class Release:
    """The call does not want the seat any more."""

    call: CallId


@dataclass(frozen=True, slots=True)
class Bridged:
    """The agent hears the call."""

    call: CallId


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over."""

    call: CallId


@dataclass(frozen=True, slots=True)
class WrappedUp:
    """The after-call work is done."""


class Act(StrEnum):
    """What the desk is to do."""

    CONNECT_LEG = "connect_leg"
    PROBE = "probe"
    TELL_RESERVED = "tell_reserved"
    TELL_REFUSED = "tell_refused"
    TELL_LOST = "tell_lost"


@dataclass(frozen=True, slots=True)
class Instruct:
    """Do this; `call` is whom it concerns, or empty."""

    act: Act
    call: CallId


@dataclass(frozen=True, slots=True)
class SeatChanged:
    """The seat's state is another now: publish it."""

    seat: Seat


_Unowned: TypeAlias = SignIn | SignOut | LegUp | LegDown | Beat | WantReady | WrappedUp | Expired
_OfCall: TypeAlias = Reserve | ProbeAnswered | Release | Bridged | CallEnded
AgentInput: TypeAlias = _Unowned | _OfCall
AgentEvent: TypeAlias = Instruct | SeatChanged


class _Next(Enum):
    IDLE = "ready or not_ready, as the agent wants"


_Row: TypeAlias = tuple[Seat | _Next, tuple[Act, ...]]
_IDLE_STATES = (Seat.CONNECTING, Seat.NOT_READY, Seat.READY, Seat.WRAPUP)
_HERE = tuple(seat for seat in Seat if seat is not Seat.OFFLINE)
_REDIAL: _Row = (Seat.CONNECTING, (Act.CONNECT_LEG,))
_LOST: _Row = (Seat.CONNECTING, (Act.TELL_LOST, Act.CONNECT_LEG))

TABLE: Mapping[tuple[Seat, type], _Row] = {
    **{(seat, SignOut): (Seat.OFFLINE, ()) for seat in _HERE},
    (Seat.OFFLINE, SignIn): _REDIAL,
    (Seat.CONNECTING, LegUp): (_Next.IDLE, ()),
    **{(seat, WantReady): (_Next.IDLE, ()) for seat in (Seat.READY, Seat.NOT_READY)},
    **{(seat, LegDown): _REDIAL for seat in (Seat.READY, Seat.NOT_READY, Seat.WRAPUP)},
    (Seat.READY, Reserve): (Seat.RESERVED, (Act.PROBE,)),
    (Seat.RESERVED, ProbeAnswered): (Seat.RESERVED, (Act.TELL_RESERVED,)),
    (Seat.RESERVED, Release): (_Next.IDLE, ()),
    (Seat.RESERVED, CallEnded): (_Next.IDLE, ()),
    (Seat.RESERVED, Bridged): (Seat.TALKING, ()),
    (Seat.RESERVED, SignOut): (Seat.OFFLINE, (Act.TELL_LOST,)),
    (Seat.RESERVED, LegDown): _LOST,
    (Seat.RESERVED, Expired): _LOST,
    (Seat.TALKING, Release): (Seat.WRAPUP, ()),
    (Seat.TALKING, CallEnded): (Seat.WRAPUP, ()),
    (Seat.TALKING, SignOut): (Seat.OFFLINE, (Act.TELL_LOST,)),
    (Seat.TALKING, LegDown): _LOST,
    (Seat.WRAPUP, WrappedUp): (_Next.IDLE, ()),
    (Seat.WRAPUP, Expired): (_Next.IDLE, ()),
}
"""Seat and input -> next state and what the desk does. What has no row changes nothing; `Expired`: its time is over."""


class Agent:
    """One seat. `wrapup_s`: after-call work at most. Its `call` is the only one that may speak for it."""

    def __init__(self, wrapup_s: float = WRAPUP_S) -> None:
        self.seat = Seat.OFFLINE
        self.call = CallId("")
        self._wrapup_s = wrapup_s
        self._wants_ready = False
        self._answered = False
        self._beat = 0.0
        self._due: float | None = None

    @property
    def deadline(self) -> float | None:
        """The next moment at which the seat changes by itself."""
        due = [at for at in (self._alive_until(), self._due) if at is not None]
        return min(due) if due else None

    def _alive_until(self) -> float | None:
        return self._beat + BEAT_S + GRACE_S if self.seat in _IDLE_STATES else None

    def step(self, given: AgentInput, now: float) -> list[Notify[AgentEvent]]:
        """Take one input at `now` and return what the desk does about it."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: AgentInput, now: float) -> list[AgentEvent]:
        match given:
            case Beat():
                self._beat = now
                return []
            case Reserve(call=call) if self.seat is not Seat.READY:
                return [] if call == self.call else [Instruct(Act.TELL_REFUSED, call)]
            case Reserve(call=call):
                self.call, self._answered = call, False
            case Release(call=call) | CallEnded(call=call) if call != self.call:
                return []
            case ProbeAnswered(call=call) | Bridged(call=call):
                if call != self.call or self._answered is isinstance(given, ProbeAnswered):
                    return []
                self._answered = True
            case SignIn(ready=ready) | WantReady(ready=ready):
                self._wants_ready = ready
        row = self._row(given, now)
        return self._go(row, now) if row else []

    def _row(self, given: AgentInput, now: float) -> _Row | None:
        if not isinstance(given, Expired):
            return TABLE.get((self.seat, type(given)))
        if (alive := self._alive_until()) is not None and now >= alive:
            return (Seat.OFFLINE, ())
        return TABLE.get((self.seat, given.__class__)) if self._due is not None and now >= self._due else None

    def _go(self, row: _Row, now: float) -> list[AgentEvent]:
        before, (after, acts) = self.seat, row
        idle = Seat.READY if self._wants_ready else Seat.NOT_READY
        self.seat = idle if isinstance(after, _Next) else after
        self._due = self._ends_at(now)
        if before not in _IDLE_STATES:
            self._beat = now
        if before is Seat.WRAPUP and self.seat is Seat.CONNECTING:
            self._wants_ready = False  # their work was cut short: no surprise call when the leg is back
        events: list[AgentEvent] = [Instruct(self._tell(act), self.call) for act in acts]
        if self.seat not in (Seat.RESERVED, Seat.TALKING):
            self.call = CallId("")
        return [*events, *([SeatChanged(self.seat)] if self.seat is not before else [])]

    def _tell(self, act: Act) -> Act:
        """A call whose probe was not answered never had the seat."""
        return Act.TELL_REFUSED if act is Act.TELL_LOST and not self._answered else act

    def _ends_at(self, now: float) -> float | None:
        if self.seat is Seat.RESERVED:
            return now + (RESERVED_S if self._answered else PROBE_S)
        return now + self._wrapup_s if self.seat is Seat.WRAPUP else None
