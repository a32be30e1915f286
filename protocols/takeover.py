"""Who has a call when its machine is silent: its owner, and the heir that the owner has named (`protocols.heir`).

Each record that leaves its machine names one heir: the node that goes on with the call when the owner is dead. No store
is asked. What there is to be decided about a call is decided at its heir, in the order in which the heir hears of it:

    an heir ...              is asked by the owner's node      hears that the owner is dead
    keeps the call           "not taken"                       takes it (suspected: not before the lease is over)
    is its heir no longer    gives its copy up: "not taken"    -
    has taken it             "taken"                           -
    has ended it unanswered  "closed"                          - (suspected: not before nobody can ring any more)

So an owner knows how each call stands:

    SURE    all who may take it have answered lately. The lease runs from when the *question* was sent, and an heir
            counts from when it arrived, later: until it is over, suspicion has taken nothing. Whoever is *proven* dead
            does not speak.
    WARY    somebody who may have taken it has not answered. The callee is the witness: while they send their audio
            here, nobody has moved it, and the call goes on.
    SILENT  ... and nothing is heard of the callee, either: say nothing, send nothing, decide nothing; ask.

Doubt ends with an answer about that call, or with the proof that who is in doubt is dead: then all others are asked,
for somebody may have taken it from the dead. Who is still a call's heir keeps its copy: the lease begins anew with the
question. Records and questions carry the call's order: a late copy is older than what its heir has given up or taken.

Not here: who is dead (`protocols.membership`), which node is to be heir, and how a record travels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from protocols.heir import LEASE_S
from protocols.machine import Expired, Notify, earliest
from protocols.wire.ids import CallId, NodeId

ASK_S: Final = 0.5
REST_S: Final = 2.0
"""Between two questions to a node while there is no call that anybody might take. Whoever has answered the last one has
taken nothing for a second more, so a call that begins then has an heir, of which all is asked anew."""
SOON_S: Final = 0.05
"""The calls of a node are given other heirs one after the other; those before are asked once about all of them."""
QUIET_S: Final = 1.0
"""A callee of whom nothing is heard for so long is no witness: 50 frames that did not come."""
AWAY_S: Final = 1.0
"""A step that comes so late after the last one was kept from coming: what was known before it is old."""
MAX_ASKED: Final = 500


class Standing(Enum):
    """How sure an owner is that a call is still its own."""

    SURE = "sure"
    WARY = "wary"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Named:
    """These calls are ours, and of each this node may take it from now on; empty: nobody.

    Who was named before is to forget it.
    """

    heirs: Mapping[CallId, NodeId]


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over, or has been let go."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class Answered:
    """A node has answered what was asked at `asked_s`: of the calls that were named, which it has taken or closed.

    `ours`: those about which it was asked as their heir. `kept`: of which it has a copy. The others it has given up.
    """

    node: NodeId
    asked_s: float
    about: tuple[CallId, ...] = ()
    taken: tuple[CallId, ...] = ()
    closed: tuple[CallId, ...] = ()
    kept: tuple[CallId, ...] = ()
    ours: tuple[CallId, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """These other nodes live, as far as we know: any of them may become an heir, and is asked."""

    nodes: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class Gone:
    """This node is proven dead; whoever comes back under its name knows nothing of what it had."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class CalleeHeard:
    """The callee's audio arrives."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class CalleeQuiet:
    """Nothing is heard of the callee, for `QUIET_S` at least when we are wary."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class Overruled:
    """Another node has shown that it is the owner: it has sent a later record."""

    call_id: CallId


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this node which of these calls it has; without any, only that it answers."""

    node: NodeId
    calls: tuple[CallId, ...] = ()


@dataclass(frozen=True, slots=True)
class Stand:
    """The call stands so from now on."""

    call_id: CallId
    standing: Standing


@dataclass(frozen=True, slots=True)
class LetGo:
    """The call is another's. `was_closed`: it was closed as unanswered, so that nobody but us can hang up on them."""

    call_id: CallId
    was_closed: bool = False


@dataclass(frozen=True, slots=True)
class Retell:
    """The heir of these calls has given up its copies: tell it their records anew."""

    heir: NodeId
    calls: tuple[CallId, ...]


OwnerInput: TypeAlias = Named | Ended | Answered | Known | Gone | CalleeHeard | CalleeQuiet | Overruled | Expired
OwnerEvent: TypeAlias = Ask | Stand | LetGo | Retell


@dataclass(slots=True)
class _Owned:
    heir: NodeId = NodeId("")
    former: set[NodeId] = field(default_factory=set)
    """Those that may still have a record in which they are the heir."""
    doubts: set[NodeId] = field(default_factory=set)
    """Those that may have taken it."""
    standing: Standing = Standing.SURE

    @property
    def claimants(self) -> set[NodeId]:
        return {self.heir, *self.former, *self.doubts} - {NodeId("")}


class Owner:
    """All calls of one edge that have, or had, an heir on another machine. `now`: seconds, monotonic."""

    def __init__(self, now: float) -> None:
        self._calls: dict[CallId, _Owned] = {}
        self._quiet: set[CallId] = set()
        """Those whose callees are not heard; of a call without an heir, too, for it may get one."""
        self._loose: set[tuple[NodeId, CallId]] = set()
        """Who may still have a copy of a call that is ours no longer."""
        self._known: frozenset[NodeId] = frozenset()
        self._vouched: dict[NodeId, float] = {}
        """Until when each node has certainly taken nothing by suspicion."""
        self._ask_at: dict[NodeId, float] = {}
        """Whom we ask: all that we know, and all that may take a call of ours."""
        self._late: set[NodeId] = set()
        """Of those, who has not answered in time, as of the last step."""
        self._roused_s = float("-inf")
        """When the first call came after there was none."""
        self._seen = now
        self._hears_from = now
        """From when on what we know of the callees is true: until then we were away."""

    @property
    def deadline(self) -> float | None:
        """The next question, or the end of a lease."""
        then = [at for at in (*self._vouched.values(), self._hears_from) if at > self._seen]
        return earliest([*self._ask_at.values(), *then])

    def standing(self, call_id: CallId, now: float) -> Standing:
        """Return how a call stands at this instant, also when no step has found it yet. One without heirs is SURE."""
        if (call := self._calls.get(call_id)) is None:
            return Standing.SURE
        if not call.doubts and all(now < self._vouched_until(node) for node in call.claimants):
            return Standing.SURE
        is_away = now - self._seen > AWAY_S or now < self._hears_from
        return Standing.SILENT if call_id in self._quiet or is_away else Standing.WARY

    def claimants(self, call_id: CallId) -> frozenset[NodeId]:
        """Return who may take this call, or may have: its heir, and whoever has not given up its copy yet."""
        return frozenset(call.claimants) if (call := self._calls.get(call_id)) else frozenset()

    @property
    def _rests(self) -> bool:
        """Whether there is no call that anybody might take, or have taken."""
        return not (self._calls or self._loose)

    def vouches(self, node: NodeId, now: float) -> bool:
        """Say whether a node has answered what we asked lately: it can be an heir."""
        has_rested = self._rests or now - self._roused_s < ASK_S
        within_s = REST_S + ASK_S if has_rested else 2 * ASK_S
        return now < self._vouched_until(node) - LEASE_S + within_s

    def step(self, given: OwnerInput, now: float) -> list[Notify[OwnerEvent]]:
        """Take one input at `now`; return what is to be done, in order."""
        was_away = now - self._seen > AWAY_S and not self._rests
        hears_again = self._seen < self._hears_from <= now
        if was_away:
            self._hears_from = now + QUIET_S + AWAY_S / 2
        self._seen = now
        is_about_all = was_away or hears_again or isinstance(given, Gone) or not self._late_at(now) <= self._late
        if is_about_all:
            self._suspect(now, self._calls)  # first: whoever answers only now may have taken some meanwhile
        told = self._take(given, now)
        self._late = self._late_at(now)
        calls = self._calls if is_about_all else self._of(given)
        return [Notify(event) for event in (*told, *self._doubt(now, calls), *self._asking(now))]

    def _of(self, given: OwnerInput) -> dict[CallId, _Owned]:
        """Return the calls that this is about: it changes no other's standing while no lease more is over."""
        match given:
            case Answered(about=calls) | Named(heirs=calls):
                pass
            case Known() | Gone() | Expired():
                return {}
            case _:
                calls = (given.call_id,)
        return {call_id: self._calls[call_id] for call_id in calls if call_id in self._calls}

    def _take(self, given: OwnerInput, now: float) -> list[OwnerEvent]:
        match given:
            case Named(heirs=heirs):
                if self._rests and heirs:
                    self._roused_s = now
                    self._ask_at = {node: min(at, now) for node, at in self._ask_at.items()}
                for call_id, heir in heirs.items():
                    self._name(self._calls.setdefault(call_id, _Owned()), heir, now)
            case Ended(call_id=call_id):
                self._release(call_id, now)
            case Answered():
                return self._answered(given, now)
            case Known(nodes=nodes):
                self._known = nodes
                self._ask_at |= {node: now for node in nodes - self._ask_at.keys()}
            case Gone(node=node):
                self._gone(node, now)
            case CalleeHeard(call_id=call_id):
                self._quiet.discard(call_id)
            case CalleeQuiet(call_id=call_id):
                self._quiet.add(call_id)
            case Overruled(call_id=call_id):
                return [LetGo(call_id)] if self._release(call_id, now) else []
            case Expired():
                pass
        return []

    def _name(self, call: _Owned, heir: NodeId, now: float) -> None:
        if heir == call.heir:
            return
        if call.heir:
            call.former.add(call.heir)
            self._ask_soon(call.heir, now)
        call.heir = heir
        call.former.discard(heir)
        if heir:
            self._ask_at.setdefault(heir, now)

    def _answered(self, given: Answered, now: float) -> list[OwnerEvent]:
        until = given.asked_s + LEASE_S
        self._vouched[given.node] = max(until, self._vouched_until(given.node))
        told: list[OwnerEvent] = []
        again: list[CallId] = []
        given_up = {*given.about} - {*given.kept} - {*given.ours}
        self._loose = {one for one in self._loose if one[0] != given.node or one[1] not in given_up}
        for call_id in given.about:
            if call_id in given.taken or call_id in given.closed:
                told += [LetGo(call_id, call_id in given.closed)] if self._release(call_id, now) else []
            elif call := self._calls.get(call_id):
                again += [call_id] if call.heir == given.node and call_id not in given.kept else []
                if now < until:
                    call.doubts.discard(given.node)
                    call.former -= {given.node} if call_id in given_up else set()
        return [*told, Retell(given.node, tuple(again))] if again else told

    def _release(self, call_id: CallId, now: float) -> bool:
        """Have it no longer, and have nobody keep it as ours."""
        self._quiet.discard(call_id)
        if (call := self._calls.pop(call_id, None)) is None:
            return False
        for node in call.claimants:
            self._loose.add((node, call_id))
            self._ask_soon(node, now)
        return True

    def _ask_soon(self, node: NodeId, now: float) -> None:
        """Ask about one call more, and about all others for which that is so just now, in one question."""
        self._ask_at[node] = min(self._ask_at.get(node, now + SOON_S), now + SOON_S)

    def _gone(self, node: NodeId, now: float) -> None:
        """Nobody speaks there any more; but whom it may have taken, others may have taken from it."""
        others = self._known - {node}
        for call in self._calls.values():
            if node in call.doubts:
                call.doubts = (call.doubts | others) - {node}
                self._ask_at |= dict.fromkeys(call.doubts, now)
            call.former.discard(node)
            call.heir = NodeId("") if call.heir == node else call.heir
        self._loose = {one for one in self._loose if one[0] != node}
        self._vouched.pop(node, None)
        self._ask_at.pop(node, None)

    def _doubt(self, now: float, calls: Mapping[CallId, _Owned]) -> list[OwnerEvent]:
        """Find who has not answered in time, and how each of these calls stands now."""
        self._suspect(now, calls)
        told: list[OwnerEvent] = []
        for call_id, call in calls.items():
            if (standing := self.standing(call_id, now)) is not call.standing:
                call.standing = standing
                told.append(Stand(call_id, standing))
        return told

    def _suspect(self, now: float, calls: Mapping[CallId, _Owned]) -> None:
        """Find who may have taken each of these calls: whose lease is over."""
        late = self._late_at(now)
        for call in calls.values() if late else ():
            for node in call.claimants & late - call.doubts:
                call.doubts.add(node)
                self._ask_soon(node, now)

    def _late_at(self, now: float) -> set[NodeId]:
        return {node for node in self._ask_at if now >= self._vouched_until(node)}

    def _asking(self, now: float) -> Iterable[OwnerEvent]:
        for node in [node for node, at in self._ask_at.items() if at <= now]:
            if node not in self._known and not self._is_claimed(node):
                del self._ask_at[node]
                continue
            self._ask_at[node] = now + (REST_S if self._rests else ASK_S)
            named = [call_id for call_id, call in self._calls.items() if node in call.doubts or node in call.former]
            named += [call_id for of, call_id in self._loose if of == node]
            for k in range(0, max(1, len(named)), MAX_ASKED):
                yield Ask(node, tuple(named[k : k + MAX_ASKED]))

    def _vouched_until(self, node: NodeId) -> float:
        return self._vouched.get(node, float("-inf"))

    def _is_claimed(self, node: NodeId) -> bool:
        return any(of == node for of, _ in self._loose) or any(node in call.claimants for call in self._calls.values())


__all__ = [
    "ASK_S", "AWAY_S", "MAX_ASKED", "QUIET_S", "REST_S", "SOON_S", "Answered", "Ask", "CalleeHeard", "CalleeQuiet",
    "Ended", "Gone", "Known", "LetGo", "Named", "Overruled", "Owner", "OwnerEvent", "OwnerInput", "Retell", "Stand",
    "Standing",
]  # fmt: skip
