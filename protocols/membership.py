"""Who of the other nodes lives: from their words, from their silence, and from proof.

    a node ...                          becomes         when
    says something                      alive           at once
    is proven dead                      dead, proven    at once: its kernel refuses who was connected to its launcher
    says nothing for `SILENT_S`         silent          we may be the one who is cut off
    is silent, and there is a witness   dead            at once

A witness is somebody else whom we hear while it is silent, so that the silence is not ours: another node that does not
hear it either, or the NATS server. We have heard it all along for `WITNESS_S`: who was cut off and is back hears NATS
first, and the others a moment later. A node that does hear the silent one is a witness for its life. The server counts
only where there is one, for of several each side of a cut has its own; and where it stands elsewhere, or where there is
no third node: one on our own machine says nothing about our network, but of two nodes only one has it.

Who judges silence judges itself first, as in `supervisors/silence.py`: a look that comes late shows that it was we who
were away, and everybody gets a fresh period, once. A later start of a launcher (`epoch`) takes the place of an earlier
one; two that speak at once clash, and the later is not heard. What is still on its way when a node dies is not its
return.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from protocols.machine import Expired, Notify
from protocols.wire.cluster import ClusterTold, Death, NodeState
from protocols.wire.ids import NodeId

SILENT_S: Final = 3.0
"""Six beats of a node's spokesman (DESIGN 4: 3 s of missed heartbeats)."""
LOOK_S: Final = 0.5
LATE_S: Final = 0.25
"""A look that comes so much later than it was due says that we were away."""
FRESH_S: Final = 1.0
"""A witness was heard so lately: twice the pause between two words."""
WITNESS_S: Final = 1.5
"""So long a witness was heard without a pause: longer than connections take to come back (`nodes.mesh.line`)."""
LATELY_S: Final = 1.5
"""What a node says of others is worth something so long."""
ON_ITS_WAY_S: Final = 1.0
"""Words of a node that is proven dead may still arrive for so long."""
REMEMBER_S: Final = 600.0
"""So long is said who was declared dead, and then they are forgotten: a machine that was away for longer finds its
calls elsewhere by asking."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A node has said something. `hears`: who is alive to it."""

    node: NodeId
    epoch: int
    hears: frozenset[NodeId] = frozenset()


@dataclass(frozen=True, slots=True)
class Proved:
    """That launcher of a node is dead, for certain."""

    node: NodeId
    epoch: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The NATS server has answered us, and there is only this one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A node is like this from now on."""

    node: NodeId
    epoch: int
    state: NodeState
    is_proven: bool = False


@dataclass(frozen=True, slots=True)
class Clashed:
    """Somebody has spoken in the name of a node that lives."""

    node: NodeId
    epoch: int


Given: TypeAlias = Heard | Proved | Answered | Expired
News: TypeAlias = Changed | Clashed


@dataclass(slots=True)
class _Seen:
    epoch: int
    heard_s: float
    counted_s: float
    """Up to here its silence has been counted."""
    state: NodeState = NodeState.ALIVE
    is_proven: bool = False
    died_s: float = 0.0
    silent_s: float = 0.0
    witnessed_s: float = 0.0
    """How much of its silence, up to now, was one during which we heard somebody else."""
    has_forgiven: bool = False
    hears: frozenset[NodeId] = frozenset()


@dataclass(slots=True)
class Membership:
    """What one node knows of the others. `is_server_elsewhere`: NATS, of one server, is not on this machine."""

    is_server_elsewhere: bool
    due_s: float
    """When to look again; everything begins with the first look."""
    _nodes: dict[NodeId, _Seen] = field(default_factory=dict)
    _deaths: dict[Death, float] = field(default_factory=dict)
    _answered_s: float = float("-inf")

    @property
    def deadline(self) -> float:
        """When to look at who is silent."""
        return self.due_s

    @property
    def hears(self) -> tuple[NodeId, ...]:
        """Who is alive."""
        return tuple(node for node, seen in self._nodes.items() if seen.state is NodeState.ALIVE)

    @property
    def dead(self) -> tuple[Death, ...]:
        """Who was declared dead lately, also if they have come back."""
        return tuple(self._deaths)

    def knows(self, node: NodeId) -> bool:
        """Return whether a node is alive, silent, or has not been dead for long."""
        return node in self._nodes

    def epoch(self, node: NodeId) -> int:
        """Return which launcher of a node is heard; 0: none."""
        return seen.epoch if (seen := self._nodes.get(node)) else 0

    def heard_s(self, node: NodeId) -> float:
        """Return when a node was last heard; never: minus infinity."""
        return seen.heard_s if (seen := self._nodes.get(node)) else float("-inf")

    def wants_witness(self, now: float) -> bool:
        """Return whether somebody is so silent that it matters whether we hear NATS."""
        return any(now - seen.heard_s > FRESH_S for seen in self._nodes.values() if seen.state is not NodeState.DEAD)

    def step(self, given: Given, now: float) -> list[Notify[News]]:
        """Take what has come, or look at who is silent (`Expired`)."""
        news: list[News] = []
        match given:
            case Heard():
                news = [*self._heard(given, now), *self._judged(now)]
            case Proved():
                news = self._proved(given, now)
            case Answered():
                self._answered_s = now
                news = self._judged(now)
            case Expired():
                news = self._look(now)
            case _:
                assert_never(given)
        return [Notify(one) for one in news]

    def go_on(self, told: ClusterTold, now: float) -> None:
        """Begin with what another judge of this node has told: everybody has a fresh period."""
        for one in told.nodes:
            seen = _Seen(one.word.epoch, now, now, one.state, one.is_proven, now, hears=frozenset(one.word.hears))
            self._nodes[one.word.node] = seen
        self._deaths = dict.fromkeys(told.dead, now)

    # ---- words and proof ---------------------------------------------------------------------------------------------

    def _heard(self, given: Heard, now: float) -> list[News]:
        seen = self._nodes.get(given.node)
        if seen is None or given.epoch > seen.epoch:
            return self._begun(given, seen, now)
        if given.epoch < seen.epoch or (seen.is_proven and now - seen.died_s < ON_ITS_WAY_S):
            return []
        seen.heard_s = seen.counted_s = now
        seen.silent_s, seen.witnessed_s, seen.has_forgiven, seen.hears = 0.0, 0.0, False, given.hears
        if seen.state is NodeState.ALIVE:
            return []
        seen.state, seen.is_proven = NodeState.ALIVE, False
        return [Changed(given.node, given.epoch, NodeState.ALIVE)]

    def _begun(self, given: Heard, before: _Seen | None, now: float) -> list[News]:
        """Another launcher speaks for the node: its first, or one after the other's end."""
        news: list[News] = []
        if before and before.state is NodeState.ALIVE and now - before.heard_s < LATELY_S:
            return [Clashed(given.node, given.epoch)]
        if before and not before.is_proven:
            news = self._died(given.node, before, True, now)
        self._nodes[given.node] = _Seen(given.epoch, now, now, hears=given.hears)
        return [*news, Changed(given.node, given.epoch, NodeState.ALIVE)]

    def _proved(self, given: Proved, now: float) -> list[News]:
        seen = self._nodes.get(given.node)
        if seen is None or seen.epoch != given.epoch or seen.is_proven:
            return []
        return self._died(given.node, seen, True, now)

    def _died(self, node: NodeId, seen: _Seen, is_proven: bool, now: float) -> list[News]:
        seen.state, seen.is_proven, seen.died_s = NodeState.DEAD, is_proven, now
        self._deaths[Death(node, seen.epoch)] = now
        return [Changed(node, seen.epoch, NodeState.DEAD, is_proven)]

    # ---- silence -----------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> list[News]:
        if now < self.due_s:
            return []
        is_late = now - self.due_s > LATE_S
        for node, seen in self._nodes.items():
            if seen.state is not NodeState.DEAD:
                _count(seen, is_late, self._hears_another(node, seen, now), now)
        news = self._judged(now)
        self._forget_old(now)
        left = [SILENT_S - seen.silent_s for seen in self._nodes.values() if seen.state is NodeState.ALIVE]
        self.due_s = now + min([LOOK_S, *left])
        return news

    def _judged(self, now: float) -> list[News]:
        """Judge who has been silent for too long: there may be a witness now."""
        news: list[News] = []
        for node, seen in self._nodes.items():
            if seen.state is NodeState.DEAD or seen.silent_s < SILENT_S - _ROUNDING_S:
                continue
            if self._has_witness(node, seen, now):
                news += self._died(node, seen, False, now)
            elif seen.state is NodeState.ALIVE:
                seen.state = NodeState.SILENT
                news.append(Changed(node, seen.epoch, NodeState.SILENT))
        return news

    def _has_witness(self, suspect: NodeId, seen: _Seen, now: float) -> bool:
        """Return whether the silence is the suspect's, and not ours."""
        others = self._others_than(suspect)
        if any(suspect in one.hears and now - one.heard_s < LATELY_S for one in others):
            return False
        return seen.witnessed_s >= WITNESS_S - _ROUNDING_S

    def _hears_another(self, suspect: NodeId, seen: _Seen, now: float) -> bool:
        """Return whether we hear somebody just now, since we have heard nothing of the suspect."""
        others = self._others_than(suspect)
        counts = self.is_server_elsewhere or not others
        heard_s = max([one.heard_s for one in others] + [self._answered_s] * counts, default=0.0)
        return heard_s > seen.heard_s and now - heard_s < FRESH_S

    def _others_than(self, suspect: NodeId) -> list[_Seen]:
        return [one for node, one in self._nodes.items() if node != suspect and one.state is not NodeState.DEAD]

    def _forget_old(self, now: float) -> None:
        self._deaths = {death: at for death, at in self._deaths.items() if now - at < REMEMBER_S}
        for node in [node for node, seen in self._nodes.items() if _is_old(seen, now)]:
            del self._nodes[node]


_ROUNDING_S: Final = 1e-6


def _count(seen: _Seen, is_late: bool, is_witnessed: bool, now: float) -> None:
    """Count the silence since the last look, as far as we were there to hear."""
    passed, seen.counted_s = now - seen.counted_s, now
    if is_late and not seen.has_forgiven:
        seen.silent_s, seen.witnessed_s, seen.has_forgiven = 0.0, 0.0, True
        return
    counts_s = min(passed, LOOK_S) if is_late else passed
    seen.silent_s += counts_s
    seen.witnessed_s = seen.witnessed_s + counts_s if is_witnessed else 0.0


def _is_old(seen: _Seen, now: float) -> bool:
    return seen.state is NodeState.DEAD and now - seen.died_s >= REMEMBER_S


__all__ = ["SILENT_S", "Answered", "Changed", "Clashed", "Given", "Heard", "Membership", "News", "Proved"]
