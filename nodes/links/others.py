"""The other nodes, as our spokesman knows them: what each said last, who lives, and each one's door.

What it does: hears words, watches doors (`door`), and has `protocols.membership` judge. What it does not: speak, or
decide who may join (`spokesman`). `changed()` is called at each change, before the next is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nodes.links.door import Door, is_address
from nodes.links.members import lasting
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.machine import Expired
from protocols.membership import LOOK_S, Answered, Changed, Given, Heard, Membership, Proved
from protocols.wire.cluster import ClusterTold, Death, Member, NodeSeen, NodeState, NodeWord
from protocols.wire.ids import NodeId

MAX_NODES: Final = 64
"""All are told to each process in one message (`codec.MAX_BODY`), at 3 kB for a node with 16 media processes."""

log = logs.get(__name__)


@dataclass(slots=True)
class Other:
    """Another node: its last word, and how it is. `ahead_s`: how far its wall clock was before ours."""

    word: NodeWord
    ahead_s: float = 0.0
    state: NodeState = NodeState.ALIVE
    is_proven: bool = False
    stop_watching: Callable[[], object] | None = None

    @property
    def member(self) -> Member:
        """It, as others are told of it."""
        return Member(self.word, self.state, self.is_proven)


class Others:
    """All of them. `told`: what is known to begin with; `is_server_elsewhere`: NATS is not on this machine."""

    def __init__(self, told: ClusterTold, is_server_elsewhere: bool, tasks: Tasks, changed: Callable[[], None]) -> None:
        self._clock = asyncio.get_running_loop().time
        self._tasks, self._changed = tasks, changed
        self._membership = Membership(is_server_elsewhere, self._clock() + LOOK_S)
        self._membership.go_on(told, self._clock())
        self._nodes = {one.word.node: Other(one.word, 0.0, one.state, one.is_proven) for one in told.nodes}
        for other in self._nodes.values():
            self._watch(other)

    @property
    def deadline(self) -> float:
        """When to `look`."""
        return self._membership.deadline

    @property
    def hears(self) -> tuple[NodeId, ...]:
        """Who is alive."""
        return self._membership.hears

    @property
    def dead(self) -> tuple[Death, ...]:
        """Who was declared dead lately."""
        return self._membership.dead

    def words(self) -> list[NodeWord]:
        """Return the words of all who are not proven dead: they may hear us."""
        return [other.word for other in self._nodes.values() if not other.is_proven]

    def members(self) -> tuple[Member, ...]:
        """Return all of them, without those who have been dead for long."""
        for node in [node for node in self._nodes if not self._membership.knows(node)]:
            self._forget(node)
        return tuple(
            replace(other.member, word=replace(other.word, hears=(), dead=())) for other in self._nodes.values()
        )

    def seen(self) -> tuple[NodeSeen, ...]:
        """Return all of them for an operator."""
        now = self._clock()
        return tuple(
            NodeSeen(other.member, now - self._membership.heard_s(node), other.ahead_s)
            for node, other in self._nodes.items()
        )

    def epoch(self, node: NodeId) -> int:
        """Return which launcher of a node is heard; 0: none."""
        return self._membership.epoch(node)

    def hear(self, word: NodeWord) -> bool:
        """Take a node's word; False when it is not heard, because another launcher speaks for that node."""
        before = self._nodes.get(word.node)
        if before is None and len(self._nodes) >= MAX_NODES:
            return False
        self._step(Heard(word.node, word.epoch, frozenset(word.hears)), word)
        if self.epoch(word.node) != word.epoch:
            return False
        other = self._nodes.get(word.node)
        if other is not None and other is before and is_later(word, other.word):
            is_new = lasting(word) != lasting(other.word)
            other.word, other.ahead_s = word, word.wall - time.time()
            if is_new:
                self._changed()
        return True

    def answered(self) -> None:
        """NATS hears us."""
        self._step(Answered())

    def look(self) -> None:
        """Judge who is silent."""
        self._step(Expired())

    def wants_witness(self) -> bool:
        """Return whether it matters now that NATS answers."""
        return self._membership.wants_witness(self._clock())

    def close(self) -> None:
        """Watch no door any more."""
        for node in list(self._nodes):
            self._forget(node)

    def _step(self, given: Given, word: NodeWord | None = None) -> None:
        """Have it judged, and say at once what is new. `word`: what the node has said that is heard just now."""
        for one in self._membership.step(given, self._clock()):
            if not isinstance(one.event, Changed):
                continue  # a clash, of which `hear` tells
            node, epoch, state = one.event.node, one.event.epoch, one.event.state
            if word is not None and (node, epoch) == (word.node, word.epoch):
                self._meet(word)
            if other := self._nodes.get(node):
                other.state, other.is_proven = state, one.event.is_proven
                log.info("cluster.node", node=node, state=state.value, epoch=epoch, is_proven=other.is_proven)
                self._changed()

    def _meet(self, word: NodeWord) -> None:
        """A launcher speaks for its node: one that we did not know, or one that we know."""
        if (known := self._nodes.get(word.node)) and known.word.epoch == word.epoch and not known.is_proven:
            return
        self._forget(word.node)
        other = self._nodes[word.node] = Other(word, word.wall - time.time())
        self._watch(other)

    def _watch(self, other: Other) -> None:
        word = other.word
        if is_address(word.door) and not other.is_proven:
            door = Door(word.door, lambda: self._step(Proved(word.node, word.epoch)))
            other.stop_watching = self._tasks.spawn_stoppable(door.watch())

    def _forget(self, node: NodeId) -> None:
        other = self._nodes.pop(node, None)
        if other and other.stop_watching:
            other.stop_watching()


def is_later(word: NodeWord, known: NodeWord) -> bool:
    """Return whether a word is not older than the one that is known: they come by two ways."""
    return (word.epoch, word.revision, word.wall) >= (known.epoch, known.revision, known.wall)


__all__ = ["Others"]
