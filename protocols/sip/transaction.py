"""SIP transactions as tables (RFC 3261 s.17, with the Accepted state of RFC 6026).

The rules:

1. All logic is in the four tables below. A row says: in this state, having seen this, go to that state and do these
   things. A pair that has no row changes nothing and does nothing: late and repeated messages are absorbed by
   leaving them out.
2. A transaction resends one message: a client its request, a server its last response. It never makes one, except
   the ACK to a refused INVITE, which is part of the transaction (s.17.1.1.3).
3. It does not know its dialog, its leg, or why it was started. What its owner has to know is notified: a message that
   got through (`Passed`), or that nobody answered (`TimedOut`).
4. A state has at most two timers, and both start when the state is entered: REPEAT, which resends with growing gaps,
   and LIMIT, which ends the waiting. The comments give the letters they have in the RFC.

One thing is ours. RFC 3261 s.13.3.1.4 has the core, not the transaction, resend a 2xx until its ACK comes. A leg
would need the same two timers for that, so they are here: ACCEPTED of a server resends, and ACKED is the rest of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final, TypeAlias

from protocols.machine import Address, Effect, Expired, Notify, Transmit
from protocols.sip.build import ack_to_refusal
from protocols.sip.message import Request, Response

T1: Final = 0.5
"""Seconds: the RFC's guess at a round trip (s.17.1.1.1)."""
T2: Final = 4.0
"""The widest gap between two copies of anything but an INVITE."""
T4: Final = 5.0
"""How long a datagram may live in the network."""
TIMER_C: Final = 180.0
"""After so long without a final answer each proxy on the way has given the INVITE up (s.16.6). The RFC has a caller
wait for ever, trusting in its CANCEL; an owner who has lost interest would leave us waiting with nobody to cancel."""


class State(Enum):
    """Where a transaction stands. No kind has all of them."""

    IDLE = auto()
    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    ACKED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Saw(Enum):
    """What can happen to a transaction. Responses come from the network to a client, from the owner to a server."""

    BEGIN = auto()
    PROVISIONAL = auto()
    """1xx."""
    SUCCESS = auto()
    """2xx."""
    REFUSAL = auto()
    """3xx to 6xx."""
    REQUEST = auto()
    """The request once more."""
    ACK = auto()
    REPEAT = auto()
    LIMIT = auto()


class Do(Enum):
    """What a transaction can do."""

    SEND = auto()
    PASS = auto()
    ACK = auto()
    TIME_OUT = auto()


@dataclass(frozen=True, slots=True)
class Clock:
    """The timers of one state, in seconds."""

    repeat_s: float = inf
    """The first gap; each next one is twice as long, up to `widest_s`. Infinite: nothing is resent."""
    widest_s: float = inf
    limit_s: float | None = None
    """None: the limit of the state before goes on. Infinite: there is none."""


Rows: TypeAlias = Mapping[tuple[State, Saw], tuple[State, tuple[Do, ...]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the four kinds of transaction: its table, and the timers of its states (RFC 3261 table 4, over UDP)."""

    rows: Rows
    clocks: Mapping[State, Clock]


INVITE_CLIENT: Final = Kind(
    {
        (State.IDLE, Saw.BEGIN): (State.CALLING, (Do.SEND,)),
        (State.CALLING, Saw.REPEAT): (State.CALLING, (Do.SEND,)),
        (State.CALLING, Saw.LIMIT): (State.TERMINATED, (Do.TIME_OUT,)),
        (State.CALLING, Saw.PROVISIONAL): (State.PROCEEDING, (Do.PASS,)),
        (State.CALLING, Saw.SUCCESS): (State.ACCEPTED, (Do.PASS,)),
        (State.CALLING, Saw.REFUSAL): (State.COMPLETED, (Do.ACK, Do.PASS)),
        (State.PROCEEDING, Saw.PROVISIONAL): (State.PROCEEDING, (Do.PASS,)),
        (State.PROCEEDING, Saw.LIMIT): (State.TERMINATED, (Do.TIME_OUT,)),
        (State.PROCEEDING, Saw.SUCCESS): (State.ACCEPTED, (Do.PASS,)),
        (State.PROCEEDING, Saw.REFUSAL): (State.COMPLETED, (Do.ACK, Do.PASS)),
        (State.ACCEPTED, Saw.SUCCESS): (State.ACCEPTED, (Do.PASS,)),
        (State.ACCEPTED, Saw.LIMIT): (State.TERMINATED, ()),
        (State.COMPLETED, Saw.REFUSAL): (State.COMPLETED, (Do.ACK,)),
        (State.COMPLETED, Saw.LIMIT): (State.TERMINATED, ()),
    },
    {
        State.CALLING: Clock(T1, inf, 64 * T1),  # A, B
        State.PROCEEDING: Clock(limit_s=TIMER_C),
        State.ACCEPTED: Clock(limit_s=64 * T1),  # M
        State.COMPLETED: Clock(limit_s=64 * T1),  # D: at least 32 s
    },
)
"""RFC 3261 figure 5, corrected by RFC 6026 figure 1. Every 2xx is passed: forks may send several (s.13.2.2.4)."""

CLIENT: Final = Kind(
    {
        (State.IDLE, Saw.BEGIN): (State.TRYING, (Do.SEND,)),
        (State.TRYING, Saw.REPEAT): (State.TRYING, (Do.SEND,)),
        (State.TRYING, Saw.LIMIT): (State.TERMINATED, (Do.TIME_OUT,)),
        (State.TRYING, Saw.PROVISIONAL): (State.PROCEEDING, (Do.PASS,)),
        (State.TRYING, Saw.SUCCESS): (State.COMPLETED, (Do.PASS,)),
        (State.TRYING, Saw.REFUSAL): (State.COMPLETED, (Do.PASS,)),
        (State.PROCEEDING, Saw.REPEAT): (State.PROCEEDING, (Do.SEND,)),
        (State.PROCEEDING, Saw.LIMIT): (State.TERMINATED, (Do.TIME_OUT,)),
        (State.PROCEEDING, Saw.SUCCESS): (State.COMPLETED, (Do.PASS,)),
        (State.PROCEEDING, Saw.REFUSAL): (State.COMPLETED, (Do.PASS,)),
        (State.COMPLETED, Saw.LIMIT): (State.TERMINATED, ()),
    },
    {
        State.TRYING: Clock(T1, T2, 64 * T1),  # E, F
        State.PROCEEDING: Clock(T2, T2),  # E; F goes on
        State.COMPLETED: Clock(limit_s=T4),  # K
    },
)
"""RFC 3261 figure 6."""

INVITE_SERVER: Final = Kind(
    {
        (State.IDLE, Saw.PROVISIONAL): (State.PROCEEDING, (Do.SEND,)),
        (State.IDLE, Saw.SUCCESS): (State.ACCEPTED, (Do.SEND,)),
        (State.IDLE, Saw.REFUSAL): (State.COMPLETED, (Do.SEND,)),
        (State.PROCEEDING, Saw.REQUEST): (State.PROCEEDING, (Do.SEND,)),
        (State.PROCEEDING, Saw.PROVISIONAL): (State.PROCEEDING, (Do.SEND,)),
        (State.PROCEEDING, Saw.SUCCESS): (State.ACCEPTED, (Do.SEND,)),
        (State.PROCEEDING, Saw.REFUSAL): (State.COMPLETED, (Do.SEND,)),
        (State.ACCEPTED, Saw.REPEAT): (State.ACCEPTED, (Do.SEND,)),
        (State.ACCEPTED, Saw.ACK): (State.ACKED, (Do.PASS,)),
        (State.ACCEPTED, Saw.LIMIT): (State.TERMINATED, (Do.TIME_OUT,)),
        (State.ACKED, Saw.LIMIT): (State.TERMINATED, ()),
        (State.COMPLETED, Saw.REQUEST): (State.COMPLETED, (Do.SEND,)),
        (State.COMPLETED, Saw.REPEAT): (State.COMPLETED, (Do.SEND,)),
        (State.COMPLETED, Saw.ACK): (State.CONFIRMED, ()),
        (State.COMPLETED, Saw.LIMIT): (State.TERMINATED, ()),
        (State.CONFIRMED, Saw.LIMIT): (State.TERMINATED, ()),
    },
    {
        State.PROCEEDING: Clock(limit_s=inf),
        State.ACCEPTED: Clock(T1, T2, 64 * T1),  # s.13.3.1.4; L
        State.ACKED: Clock(),  # L goes on
        State.COMPLETED: Clock(T1, T2, 64 * T1),  # G, H
        State.CONFIRMED: Clock(limit_s=T4),  # I
    },
)
"""RFC 3261 figure 7, corrected by RFC 6026 figure 2. The ACK of a 2xx comes on its own; the leg hands it in.

A refusal that is never acknowledged is nobody's concern: the one who refused has no more interest in the call.
"""

SERVER: Final = Kind(
    {
        (State.IDLE, Saw.SUCCESS): (State.COMPLETED, (Do.SEND,)),
        (State.IDLE, Saw.REFUSAL): (State.COMPLETED, (Do.SEND,)),
        (State.COMPLETED, Saw.REQUEST): (State.COMPLETED, (Do.SEND,)),
        (State.COMPLETED, Saw.LIMIT): (State.TERMINATED, ()),
    },
    {State.COMPLETED: Clock(limit_s=64 * T1)},  # J
)
"""RFC 3261 figure 8 without its Proceeding: whoever is asked anything but INVITE here answers at once (RFC 4320)."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The input that makes a client send its request."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A message the owner has not seen: a response, or the ACK of an accepted INVITE."""

    message: Request | Response


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody answered for 64 x T1."""


class Transaction:
    """One request and what came of it, at one end.

    A client is given its request, then `Begin`, then responses as they come. A server is given nothing to begin with
    (its request has arrived), then the responses that its owner wants sent, and the request again when it is repeated.
    """

    def __init__(self, kind: Kind, to: Address, request: Request, state: State = State.IDLE, now: float = 0.0) -> None:
        """Be idle, or, in the place of a transaction that somebody else began, enter `state` at `now`."""
        self.kind = kind
        self.to = to
        self.request = request
        self._last = bytes(request)
        self._gap_s = self._repeat = self._limit = inf
        self._enter(state, now)

    @property
    def deadline(self) -> float | None:
        """See `protocols.machine`."""
        first = min(self._repeat, self._limit)
        return None if first == inf else first

    def step(self, given: Begin | Request | Response | Expired, now: float) -> list[Effect[Passed | TimedOut]]:
        """Look the input up in the table. See `protocols.machine`; never raises."""
        saw = self._saw(given, now)
        row = self.kind.rows.get((self.state, saw)) if saw else None
        if row is None:
            return []
        state, actions = row
        if saw is Saw.REPEAT:
            self._gap_s = min(2 * self._gap_s, self.kind.clocks[state].widest_s)
            self._repeat = now + self._gap_s
        elif state is not self.state:
            self._enter(state, now)
        if isinstance(given, Response) and Do.SEND in actions:
            self._last = bytes(given)
        return [self._do(action, given) for action in actions]

    def _saw(self, given: Begin | Request | Response | Expired, now: float) -> Saw | None:
        match given:
            case Begin():
                return Saw.BEGIN
            case Request():
                return Saw.ACK if given.method == "ACK" else Saw.REQUEST
            case Response():
                return Saw.PROVISIONAL if given.code < 200 else Saw.SUCCESS if given.code < 300 else Saw.REFUSAL
            case Expired():
                return Saw.LIMIT if now >= self._limit else Saw.REPEAT if now >= self._repeat else None

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        clock = self.kind.clocks.get(state, Clock(limit_s=inf))
        self._gap_s = clock.repeat_s
        self._repeat = now + clock.repeat_s
        if clock.limit_s is not None:
            self._limit = now + clock.limit_s

    def _do(self, action: Do, given: Begin | Request | Response | Expired) -> Effect[Passed | TimedOut]:
        if action is Do.SEND:
            return Transmit(self._last, self.to)
        if action is Do.TIME_OUT:
            return Notify(TimedOut())
        assert isinstance(given, Request | Response), "the tables pass and acknowledge messages only"
        if action is Do.PASS:
            return Notify(Passed(given))
        assert isinstance(given, Response)
        return Transmit(bytes(ack_to_refusal(self.request, given)), self.to)


__all__ = [
    "Begin", "Passed", "TimedOut", "Transaction",
    "CLIENT", "INVITE_CLIENT", "INVITE_SERVER", "SERVER",
    "Clock", "Do", "Kind", "Rows", "Saw", "State", "T1", "T2", "T4", "TIMER_C",
]  # fmt: skip
