"""Handing a caller over to an agent: stages with latest moments, as a table. Somebody always has the caller.

    reaching       a seat is asked for                              latest 500 ms after the start
    connecting     the leg is being connected, the context sent     (leg, or context, may be first)
    confirming     both are there; the agent is asked               latest 10 s
    bridging       the media switch at their next tick              latest 500 ms
    bridged        the agent has the caller
    queued         no seat now: the next free one is ours           latest `patience_s` after the start
    returned       back with the bot, which apologises or promises to call back
    over           the caller has left

The times are latest moments, not delays: nothing waits that could go on. A stage that is late, and any failure on the
way, releases the seat and goes to the queue; a queue without a seat goes back to the bot (at once where there is nobody
to wait for), and so does a caller whose agent is lost. A caller who leaves before an agent had them is promised a
callback. The transition prompt is the conversation's; this machine only tells when it is later than 200 ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from protocols.machine import Expired, Notify

TRANSITION_S = 0.2
CONNECTED_S = 0.5
CONFIRMED_S = 10.0
BRIDGED_S = 0.5
PATIENCE_S = 120.0


class Stage(Enum):
    """How far the handover has come; the value says who has the caller."""

    IDLE = ("idle", "bot")
    REACHING = ("reaching", "bot")
    CONNECTING = ("connecting", "bot")
    LEG_CONNECTED = ("leg_connected", "bot")
    CONTEXT_KNOWN = ("context_known", "bot")
    CONFIRMING = ("confirming", "bot")
    BRIDGING = ("bridging", "bot")
    QUEUED = ("queued", "queue")
    BRIDGED = ("bridged", "agent")
    RETURNED = ("returned", "bot")
    OVER = ("over", "nobody")

    @property
    def owner(self) -> str:
        """Who has the caller: `bot`, `queue` or `agent`; `nobody` when the caller has left."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Start:
    """The conversation wants an agent."""


@dataclass(frozen=True, slots=True)
class TransitionStarted:
    """The transition prompt is playing."""


@dataclass(frozen=True, slots=True)
class SeatReserved:
    """A desk has reserved this seat for us, asked or from the queue; its agent was probed."""

    seat: str


@dataclass(frozen=True, slots=True)
class SeatRefused:
    """There is no seat now."""


@dataclass(frozen=True, slots=True)
class NobodyHere:
    """There is no seat, and none will be free: nobody to wait for."""


@dataclass(frozen=True, slots=True)
class LegConnected:
    """The agent's leg can be bridged."""


@dataclass(frozen=True, slots=True)
class ContextAcknowledged:
    """The agent's desk shows the context."""


@dataclass(frozen=True, slots=True)
class AgentConfirmed:
    """The agent takes the call."""


@dataclass(frozen=True, slots=True)
class BridgeMade:
    """The agent hears the caller."""


@dataclass(frozen=True, slots=True)
class SeatLost:
    """The agent declined, or their leg, desk or browser is gone."""


@dataclass(frozen=True, slots=True)
class AgentFinished:
    """The agent has ended the call."""


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The caller has hung up."""


class Do(StrEnum):
    """What is to be done, mostly about the seat."""

    RESERVE = "reserve"
    CONNECT = "connect"
    """Connect the seat's leg and send its desk the context."""
    ASK = "ask"
    """Ask the agent to take the call."""
    BRIDGE = "bridge"
    UNBRIDGE = "unbridge"
    RELEASE = "release"
    JOIN_QUEUE = "join_queue"
    LEAVE_QUEUE = "leave_queue"
    PROMISE_CALLBACK = "promise_callback"
    DONE = "done"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Order:
    """Do this now; `seat` is empty where none is concerned."""

    do: Do
    seat: str = ""


@dataclass(frozen=True, slots=True)
class Late:
    """A latest moment has passed: the transition prompt's (`transition`), or the stage's."""

    stage: str


@dataclass(frozen=True, slots=True)
class HandoverDone:
    """The agent has the caller."""


@dataclass(frozen=True, slots=True)
class HandoverFailed:
    """The bot has the caller again. `reason`: `no_agent`, or `agent_lost` when they had already talked."""

    reason: str


HandoverInput: TypeAlias = (
    Start
    | TransitionStarted
    | SeatReserved
    | SeatRefused
    | NobodyHere
    | LegConnected
    | ContextAcknowledged
    | AgentConfirmed
    | BridgeMade
    | SeatLost
    | AgentFinished
    | CallerLeft
    | Expired
)
HandoverEvent: TypeAlias = Order | Late | HandoverDone | HandoverFailed

_Row: TypeAlias = tuple[Stage, tuple[Do, ...]]
_TO_QUEUE: _Row = (Stage.QUEUED, (Do.RELEASE, Do.JOIN_QUEUE))
_LEFT: _Row = (Stage.OVER, (Do.RELEASE, Do.PROMISE_CALLBACK))
_WITH_SEAT = (Stage.CONNECTING, Stage.LEG_CONNECTED, Stage.CONTEXT_KNOWN, Stage.CONFIRMING, Stage.BRIDGING)

TABLE: Mapping[tuple[Stage, type], _Row] = {
    (Stage.IDLE, Start): (Stage.REACHING, (Do.RESERVE,)),
    (Stage.REACHING, SeatReserved): (Stage.CONNECTING, (Do.CONNECT,)),
    (Stage.REACHING, SeatRefused): (Stage.QUEUED, (Do.JOIN_QUEUE,)),
    (Stage.REACHING, Expired): (Stage.QUEUED, (Do.JOIN_QUEUE,)),
    (Stage.REACHING, NobodyHere): (Stage.RETURNED, (Do.FAIL,)),
    (Stage.REACHING, CallerLeft): (Stage.OVER, (Do.PROMISE_CALLBACK,)),
    (Stage.CONNECTING, LegConnected): (Stage.LEG_CONNECTED, ()),
    (Stage.CONNECTING, ContextAcknowledged): (Stage.CONTEXT_KNOWN, ()),
    (Stage.LEG_CONNECTED, ContextAcknowledged): (Stage.CONFIRMING, (Do.ASK,)),
    (Stage.CONTEXT_KNOWN, LegConnected): (Stage.CONFIRMING, (Do.ASK,)),
    (Stage.CONFIRMING, AgentConfirmed): (Stage.BRIDGING, (Do.BRIDGE,)),
    (Stage.BRIDGING, BridgeMade): (Stage.BRIDGED, (Do.DONE,)),
    **{(stage, lost): _TO_QUEUE for stage in _WITH_SEAT for lost in (SeatLost, Expired)},
    **{(stage, CallerLeft): _LEFT for stage in _WITH_SEAT},
    (Stage.QUEUED, SeatReserved): (Stage.CONNECTING, (Do.LEAVE_QUEUE, Do.CONNECT)),
    **{(Stage.QUEUED, end): (Stage.RETURNED, (Do.LEAVE_QUEUE, Do.FAIL)) for end in (Expired, NobodyHere)},
    (Stage.QUEUED, CallerLeft): (Stage.OVER, (Do.LEAVE_QUEUE, Do.PROMISE_CALLBACK)),
    (Stage.CONFIRMING, AgentFinished): (Stage.OVER, (Do.RELEASE,)),  # a predecessor had bridged them
    (Stage.BRIDGED, SeatLost): (Stage.RETURNED, (Do.UNBRIDGE, Do.RELEASE, Do.FAIL)),
    (Stage.BRIDGED, AgentFinished): (Stage.OVER, (Do.RELEASE,)),
    (Stage.BRIDGED, CallerLeft): (Stage.OVER, (Do.RELEASE,)),
}
"""Stage and input -> next stage and what is done. What has no row changes nothing; a seat that comes too late is given
back."""

_ABOUT_THE_SEAT = (Do.CONNECT, Do.ASK, Do.BRIDGE, Do.UNBRIDGE, Do.RELEASE)

LATEST: Mapping[Stage, float] = {
    Stage.REACHING: CONNECTED_S,
    Stage.CONNECTING: CONNECTED_S,
    Stage.CONFIRMING: CONFIRMED_S,
    Stage.BRIDGING: BRIDGED_S,
}
"""Stage -> seconds in it at most. The stages between share what `connecting` has left; the queue has its patience."""


class Handover:
    """One handover of one caller. Steps on inputs, tells orders; makes nothing and loses nobody."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.stage = Stage.IDLE
        self._seat = ""
        self._patience_s = patience_s
        self._transition: float | None = None
        self._latest: float | None = None
        self._patience = 0.0

    @classmethod
    def bridged(cls, seat: str) -> Handover:
        """Return the handover of a caller who is with an agent already: what a successor goes on with."""
        handover = cls()
        handover.stage, handover._seat = Stage.BRIDGED, seat
        return handover

    @property
    def deadline(self) -> float | None:
        """The next latest moment."""
        due = [at for at in (self._transition, self._latest) if at is not None]
        return min(due) if due else None

    def step(self, given: HandoverInput, now: float) -> list[Notify[HandoverEvent]]:
        """Take one input at `now` and return what is to be done about it."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: HandoverInput, now: float) -> list[HandoverEvent]:
        late: list[HandoverEvent] = []
        if isinstance(given, Start) and self.stage is Stage.IDLE:
            self._transition, self._patience = now + TRANSITION_S, now + self._patience_s
        if isinstance(given, TransitionStarted):
            self._transition = None
        if isinstance(given, Expired):
            late = self._late(now)
            if self._latest is None or now < self._latest:
                return late
        if (row := TABLE.get((self.stage, type(given)))) is None:
            return (
                [Order(Do.RELEASE, given.seat)] if isinstance(given, SeatReserved) and given.seat != self._seat else []
            )
        if isinstance(given, SeatReserved):
            self._seat = given.seat
        return [*late, *self._go(row, now)]

    def _late(self, now: float) -> list[HandoverEvent]:
        late: list[HandoverEvent] = []
        if self._transition is not None and now >= self._transition:
            self._transition = None
            late.append(Late("transition"))
        if self._latest is not None and now >= self._latest:
            late.append(Late(self.stage.value[0]))
        return late

    def _go(self, row: _Row, now: float) -> list[HandoverEvent]:
        before, (self.stage, does) = self.stage, row
        if self.stage is Stage.QUEUED:
            self._latest = self._patience
        elif self.stage not in (Stage.LEG_CONNECTED, Stage.CONTEXT_KNOWN):
            within = LATEST.get(self.stage)
            self._latest = None if within is None else now + within
        if self.stage in (Stage.BRIDGED, Stage.RETURNED, Stage.OVER):
            self._transition = None
        events = [self._event(do, before) for do in does]
        if Do.RELEASE in does:
            self._seat = ""
        return events

    def _event(self, do: Do, before: Stage) -> HandoverEvent:
        if do is Do.DONE:
            return HandoverDone()
        if do is Do.FAIL:
            return HandoverFailed("agent_lost" if before is Stage.BRIDGED else "no_agent")
        return Order(do, self._seat if do in _ABOUT_THE_SEAT else "")
