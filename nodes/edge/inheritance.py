"""The calls of other machines that this edge keeps, and goes on with when those are dead: `protocols.heir` performed.

What it does: keeps, per node, what its edge tells as it tells its own spares, and how its clock is to ours; answers
`WhoHas`; says of which calls we are the owner from now on. What it does not: hold a call (`calls`), or have ready what
it needs here (`arrivals`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

from nodes.call.record import CallPhase, CallRecord
from nodes.edge.recent import Recent, events_of
from nodes.edge.services import EdgeServices
from nodes.edge.standby_records import StandbyRecords
from nodes.telemetry import logs
from protocols.heir import LEASE_S, Alive, Asked, Dead, Dropped, Heir, HeirInput, Kept, Order, Take, Tell
from protocols.machine import Expired
from protocols.wire.cluster import Member, NodeState
from protocols.wire.events import CallEvent
from protocols.wire.heirs import ForgetRecord, ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import CallId, Identity, NodeId, node_of, process_of
from protocols.wire.takeover import Had, WhoHas

log = logs.get(__name__)
PROVEN_S: Final = 0.1
"""From a death that is seen at its door to the first word from here: what is played again of a sentence."""
MAX_OUTAGE_S: Final = 2 * LEASE_S
"""What was heard of a node before that says nothing of when it died."""


@dataclass(slots=True)
class _Node:
    """What we have of one other node."""

    standbys: defaultdict[str, StandbyRecords] = field(default_factory=lambda: defaultdict(StandbyRecords))
    """By the name of the edge that has told us: each of several has calls of its own."""
    ahead_s: float = 0.0
    """How far our clock is ahead of its."""
    heard_s: float = 0.0
    launcher: int = 0
    """The epoch of its launcher."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """The calls of a dead node, ours from now on. `ahead_s`: of our clock; `outage_s`: since it was last there.

    `closes`: those that are to be ended, and not gone on with.
    """

    owner: NodeId
    records: Sequence[CallRecord]
    closes: frozenset[CallId]
    events: Sequence[CallEvent]
    ahead_s: float
    outage_s: float


class Inheritance:
    """`take`: goes on with what is ours now, at once. `ours`: how late our word on a call is; None: it is not ours."""

    def __init__(self, services: EdgeServices, take: Callable[[Inherited], None],
                 ours: Callable[[CallId], Order | None],
                 spawn: Callable[[Coroutine[object, object, None]], object]) -> None:  # fmt: skip
        self._services, self._take, self._ours, self._spawn = services, take, ours, spawn
        self._loop = asyncio.get_running_loop()
        self._heir = Heir()
        self._nodes: dict[NodeId, _Node] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._is_stopped = False
        services.members.on_change(self._changed)

    def stop(self) -> None:
        """Take nothing any more: the process ends."""
        self._is_stopped = True
        if self._alarm:
            self._alarm.cancel()

    # ---- what other machines' edges tell ----------------------------------------------------------------------------

    def learn(self, given: KeepScript | ForgetScript | KeepEvents, sender: Identity) -> None:
        """Keep, or forget, what their records name, and what they have noted; engines are made ready for a script."""
        self._of(sender).told(given, self._loop.time())
        if isinstance(given, KeepScript):
            self._spawn(self._services.engines.warm_all(given.packed))

    def keep(self, given: KeepRecord, sender: Identity) -> None:
        """Keep the record of a call whose heir we are; an empty one is of a call that is over."""
        owner = node_of(sender)
        if given.body:
            self._step(Kept(owner, given.call_id, given.order, given.is_up))
            if not self._heir.keeps(owner, given.call_id):
                return
        else:
            self._step(Dropped(owner, given.call_id))
        self._of(sender).keep(given)

    def forget(self, given: ForgetRecord, sender: Identity) -> None:
        """A call has another owner."""
        self._step(Dropped(node_of(sender), given.call_id))
        self._of(sender).drop(given.call_id)

    def only(self, given: KeepOnly, sender: Identity) -> None:
        """A successor has told all whose heir we are: it has no other. Its own spares had what it does not know."""
        for message in self._of(sender).only(given, sender) or ():
            if isinstance(message, KeepRecord):
                self._step(Dropped(node_of(sender), message.call_id))

    def who_has(self, asked: WhoHas, sender: Identity) -> Had:
        """Say which of these calls of theirs are ours. What is not is kept no longer, until it is told anew."""
        node, had = self._node(sender), Had()
        keeps = None if asked.yours is None else frozenset(asked.yours)
        given = Asked(node_of(sender), asked.calls, keeps)
        for notice in self._heir.step(given, self._loop.time()):
            if isinstance(notice.event, Tell):
                had = Had(notice.event.taken, notice.event.closed, notice.event.kept)
        self._set_alarm()
        for call_id in asked.calls.keys() - {*had.kept}:
            for standby in node.standbys.values():
                standby.drop(call_id)
        ours = [call_id for call_id, order in asked.calls.items() if (have := self._ours(call_id)) and have > order]
        return Had(tuple({*had.taken, *ours} - {*had.closed}), had.closed, had.kept)

    # ---- a node dies ------------------------------------------------------------------------------------------------

    def _changed(self, member: Member) -> None:
        word = member.word
        node = self._nodes.setdefault(word.node, _Node())
        before, node.launcher = node.launcher, max(node.launcher, word.epoch)
        if before and word.epoch > before:
            self._step(Dead(word.node, is_proven=True))
        if member.state is NodeState.DEAD:
            self._step(Dead(word.node, member.is_proven))
        elif member.state is NodeState.ALIVE:
            self._step(Alive(word.node))

    def _step(self, given: HeirInput) -> None:
        for notice in self._heir.step(given, self._loop.time()):
            if isinstance(notice.event, Take):
                self._inherit(notice.event)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        deadline = None if self._is_stopped else self._heir.deadline
        self._alarm = None if deadline is None else self._loop.call_at(deadline, self._step, Expired())

    def _inherit(self, wanted: Take) -> None:
        node = self._nodes[wanted.owner]
        wanted_calls, standbys = {*wanted.calls, *wanted.close}, node.standbys.values()
        records = sorted((record for one in standbys for record in one.take(wanted_calls)), key=urgency)
        member = self._services.members.node(wanted.owner)
        is_proven = member is not None and member.state is NodeState.DEAD and member.is_proven
        outage_s = min(PROVEN_S if is_proven else MAX_OUTAGE_S, self._loop.time() - node.heard_s)
        log.warning("node.inherited", node=wanted.owner, calls=len(wanted.calls), closed=len(wanted.close),
                    outage_ms=round(outage_s * 1000))  # fmt: skip
        events = [event for one in standbys for event in events_of(one.recent)]
        for one in standbys:
            one.recent = Recent()
        self._take(Inherited(wanted.owner, records, frozenset(wanted.close), events, node.ahead_s, outage_s))

    def _of(self, sender: Identity) -> StandbyRecords:
        return self._node(sender).standbys[process_of(sender)]

    def _node(self, sender: Identity) -> _Node:
        node = self._nodes.setdefault(node_of(sender), _Node())
        node.heard_s = self._loop.time()
        node.ahead_s = self._services.mesh.clock_of(sender) or node.ahead_s
        return node


ORDER: Final = (CallPhase.BRIDGED, CallPhase.CONVERSING, CallPhase.HANDING_OVER, CallPhase.ANSWERED)


def urgency(record: CallRecord) -> tuple[bool, int]:
    """Say who comes first: whoever was just being spoken to, by an agent or the bot; last, one that ends anyway.

    The others have silence to hear anyway, as long as nothing is said to them.
    """
    is_up = record.phase in ORDER
    is_spoken_to = record.phase is CallPhase.BRIDGED or (is_up and record.floor.is_playing)
    return not is_spoken_to, ORDER.index(record.phase) if is_up else len(ORDER)


__all__ = ["Inheritance", "Inherited", "urgency"]
