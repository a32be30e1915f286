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
from enum import StrEnum
from typing import TypeAlias

from protocols.machine import Expired, Notify, earliest
from protocols.moments import Moment
from protocols.replacing import replace

TRANSITION_S = 0.2
CONNECTED_S = 0.5
CONFIRMED_S = 10.0
BRIDGED_S = 0.5
PATIENCE_S = 120.0


class Stage(StrEnum):
    """How far the handover has come."""

    IDLE = "idle"
    REACHING = "reaching"
    CONNECTING = "connecting"
    LEG_CONNECTED = "leg_connected"
    CONTEXT_KNOWN = "context_known"
    CONFIRMING = "confirming"
    BRIDGING = "bridging"
    QUEUED = "queued"
    BRIDGED = "bridged"
    RETURNED = "returned"
    OVER = "over"

    @property
    def owner(self) -> str:
        """Who has the caller: `bot`, `queue` or `agent`; `nobody` when the caller has left."""
        return _OWNERS.get(self, "bot")


_OWNERS: Mapping[Stage, str] = {Stage.QUEUED: "queue", Stage.BRIDGED: "agent", Stage.OVER: "nobody"}


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

_ENDS = (Stage.BRIDGED, Stage.RETURNED, Stage.OVER)
_ABOUT_THE_SEAT = (Do.CONNECT, Do.ASK, Do.BRIDGE, Do.UNBRIDGE, Do.RELEASE)

LATEST: Mapping[Stage, float] = {
    Stage.REACHING: CONNECTED_S,
    Stage.CONNECTING: CONNECTED_S,
    Stage.CONFIRMING: CONFIRMED_S,
    Stage.BRIDGING: BRIDGED_S,
}
"""Stage -> seconds in it at most. The stages between share what `connecting` has left; the queue has its patience."""


@dataclass(frozen=True, slots=True)
class HandoverState:
    """Everything a handover is. Made of plain data, to be packed into a call's record."""

    stage: Stage = Stage.IDLE
    seat: str = ""
    transition_s: Moment | None = None
    """When the transition prompt is late; None: it plays, or is no longer waited for."""
    latest_s: Moment | None = None
    """When the stage is late."""
    patience_s: Moment | None = None
    """When the queue is left for the bot; None: not begun. Whoever begins anew for a caller who has waited already
    (after a takeover) makes a state with this alone, and `Start` leaves it as it is."""


class Handover:
    """One handover of one caller. Steps on inputs, tells orders; makes nothing and loses nobody.

    `state` is replaced, never changed, by each step: a handover made of it (`of`) goes on as this one would have.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.state, self._patience_s = HandoverState(), patience_s

    @classmethod
    def of(cls, state: HandoverState, patience_s: float = PATIENCE_S) -> Handover:
        """Return the handover that has come to this state. `patience_s`: for a `Start` that is still to come."""
        handover = cls(patience_s)
        handover.state = state
        return handover

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self.state.stage

    @property
    def deadline(self) -> float | None:
        """The next latest moment."""
        return earliest((self.state.transition_s, self.state.latest_s))

    def step(self, given: HandoverInput, now: float) -> list[Notify[HandoverEvent]]:
        """Take one input at `now` and return what is to be done about it."""
        return [Notify(event) for event in self._step(given, now)]

    def _step(self, given: HandoverInput, now: float) -> list[HandoverEvent]:
        late: list[HandoverEvent] = []
        if isinstance(given, Start) and self.stage is Stage.IDLE:
            before = self.state.patience_s
            patience_s = now + self._patience_s if before is None else before
            self.state = replace(self.state, transition_s=now + TRANSITION_S, patience_s=patience_s)
        if isinstance(given, TransitionStarted):
            self.state = replace(self.state, transition_s=None)
        if isinstance(given, Expired):
            latest_s, late = self.state.latest_s, self._late(now)
            if latest_s is None or now < latest_s:
                return late
        if (row := TABLE.get((self.stage, type(given)))) is None:
            seat = given.seat if isinstance(given, SeatReserved) else self.state.seat
            return [] if seat == self.state.seat else [Order(Do.RELEASE, seat)]
        if isinstance(given, SeatReserved):
            self.state = replace(self.state, seat=given.seat)
        return [*late, *self._go(row, now)]

    def _late(self, now: float) -> list[HandoverEvent]:
        state, late = self.state, list[HandoverEvent]()
        if state.transition_s is not None and now >= state.transition_s:
            self.state = replace(state, transition_s=None)
            late.append(Late("transition"))
        if state.latest_s is not None and now >= state.latest_s:
            late.append(Late(state.stage.value))
        return late

    def _go(self, row: _Row, now: float) -> list[HandoverEvent]:
        before, (stage, does) = self.state, row
        self.state = replace(
            before,
            stage=stage,
            seat="" if Do.RELEASE in does else before.seat,
            transition_s=None if stage in _ENDS else before.transition_s,
            latest_s=_latest(stage, before, now),
        )
        return [_event(do, before) for do in does]


def _latest(stage: Stage, before: HandoverState, now: float) -> float | None:
    """Return when the stage that begins now is late."""
    if stage is Stage.QUEUED:
        return before.patience_s
    if stage in (Stage.LEG_CONNECTED, Stage.CONTEXT_KNOWN):
        return before.latest_s
    within = LATEST.get(stage)
    return None if within is None else now + within


def _event(do: Do, before: HandoverState) -> HandoverEvent:
    if do is Do.DONE:
        return HandoverDone()
    if do is Do.FAIL:
        return HandoverFailed("agent_lost" if before.stage is Stage.BRIDGED else "no_agent")
    return Order(do, before.seat if do in _ABOUT_THE_SEAT else "")
