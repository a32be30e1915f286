"""A small world for `protocols.takeover`: three machines, one NATS server, and callees, in virtual time.

Real are the two machines of the protocol. Everything around them is a model: the mesh (messages are lost, late and
overtaken), who is taken for dead (a word every half second, a judge of silence that needs a witness, and doors that
prove a death), records that are told until they are acknowledged, and callees who send their audio to whoever has
invited them last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from protocols.heir import LEASE_S, Alive, Asked, Dead, Heir, Kept, Order, Take, Tell
from protocols.machine import Expired
from protocols.takeover import (
    AWAY_S,
    QUIET_S,
    Answered,
    Ask,
    CalleeHeard,
    CalleeQuiet,
    Gone,
    Known,
    LetGo,
    Named,
    Overruled,
    Owner,
    Retell,
    Stand,
    Standing,
)
from protocols.testing import Weather
from protocols.wire.ids import CallId, NodeId

TICK_S = 0.05
WORD_S = 0.5
PUBLISHED_S = 2.0
SILENT_S = 3.0
WITNESS_S = 2.5
"""So long is a witness one; NATS carries a word every two seconds."""
LOST_S = 3.0
"""So long does a media process wait that has not been told to be wary."""
INVITE_S = 0.1
NATS = NodeId("nats")
SERVER = "server"


@dataclass
class Call:
    """One call as an edge has it."""

    epoch: int
    revision: int = 0
    n_moves: int = 0
    is_up: bool = True
    heir: NodeId = NodeId("")
    is_told: bool = False
    """Its heir has the last record."""
    heard_s: float = 0.0
    is_quiet: bool = False

    @property
    def order(self) -> Order:
        return self.n_moves, self.epoch, self.revision


@dataclass
class Callee:
    """Whom the callee sends to, and whether they send at all."""

    sends_to: NodeId
    is_sending: bool = True
    is_hung_up: bool = False


@dataclass
class Node:
    """One machine: its edge, and what its judge has heard."""

    name: NodeId
    owner: Owner
    heir: Heir = field(default_factory=Heir)
    calls: dict[CallId, Call] = field(default_factory=dict)
    disk: dict[CallId, Call] = field(default_factory=dict)
    pending: dict[CallId, float] = field(default_factory=dict)
    """Found on the disk: until when we wait for the word of their heirs."""
    incarnation: int = 1
    edge: int = 1
    is_up: bool = True
    paused_until: float = 0.0
    woke_s: float = 0.0
    ticked_s: float = 0.0
    inbox: list[tuple[NodeId, Any]] = field(default_factory=list)
    words: dict[NodeId, float] = field(default_factory=dict)
    """When each other was last heard, the server too."""
    seen: dict[NodeId, tuple[int, int]] = field(default_factory=dict)
    """The last incarnations of launcher and edge of each other."""
    silent: dict[NodeId, float] = field(default_factory=dict)
    """How long each other has been silent while there was a witness."""
    dead: set[NodeId] = field(default_factory=set)
    kept: dict[CallId, Order] = field(default_factory=dict)
    """The orders of the records that it has been told."""
    orders: dict[CallId, Order] = field(default_factory=dict)
    """Of calls that are its no longer."""
    said_s: float = -9.0
    published_s: float = -9.0


class World:
    """`weather`: the delays of each message of the mesh."""

    def __init__(self, names: tuple[str, ...], weather: Weather, n_calls: int) -> None:
        self.now = 1000.0
        self._weather = weather
        self._serial = count()
        self._flying: list[tuple[float, int, NodeId, NodeId, Any]] = []
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.is_nats_up = True
        self.nodes = {NodeId(name): self._node(NodeId(name)) for name in names}
        self.callees: dict[CallId, Callee] = {}
        self._invites: list[tuple[float, CallId, NodeId]] = []
        self.both_s: dict[CallId, float] = {}
        """How long two have been speaking to each callee without a break."""
        self.nobody_s: dict[CallId, float] = {}
        self.worst_both_s = self.worst_nobody_s = 0.0
        self.log: list[str] = []
        for k, name in zip(range(n_calls), names * n_calls, strict=False):
            self.place(CallId(f"c{k}"), NodeId(name))

    def _node(self, name: NodeId) -> Node:
        return Node(name, Owner(self.now), woke_s=self.now, ticked_s=self.now)

    # ---- what a test does ---------------------------------------------------------------------------------------

    def place(self, call_id: CallId, name: NodeId) -> None:
        self.nodes[name].calls[call_id] = Call(1, heard_s=self.now)
        self.callees[call_id] = Callee(name)

    def crash(self, name: NodeId, *, is_proven: bool) -> None:
        """Everything of a machine dies; proven: whoever has a way to it sees its door slam."""
        node = self.nodes[name]
        node.is_up = False
        node.disk = dict(node.calls)
        node.calls = {}
        for other in self.nodes.values():
            if is_proven and other is not node and not self._is_cut(name, other.name):
                self._later(0.002, name, other.name, ("dead", node.incarnation))

    def come_back(self, name: NodeId, *, with_disk: bool) -> None:
        """The launcher is started again; it asks about every call that it finds."""
        old = self.nodes[name]
        node = self.nodes[name] = self._node(name)
        node.incarnation, node.edge = old.incarnation + 1, old.edge + 1
        if with_disk:
            for call_id, call in old.disk.items():
                node.disk[call_id] = call
                node.pending[call_id] = self.now + 3.0 if call.heir else self.now

    def replace_edge(self, name: NodeId) -> None:
        """The edge process dies, its spare goes on: it has the records, and knows nothing of anybody."""
        node = self.nodes[name]
        node.edge += 1
        node.owner, node.heir = Owner(self.now), Heir()
        for call_id, call in node.calls.items():
            call.epoch, call.revision, call.is_told = call.epoch + 1, call.revision + 1, False
            call.is_quiet = False  # media tells a new life again
            self._own(node, Named({call_id: call.heir}))

    def pause(self, name: NodeId, seconds: float) -> None:
        self.nodes[name].paused_until = self.now + seconds

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._tick()

    def is_settled(self) -> bool:
        """Every call has an owner that is sure, and one heir, that lives and has its last record."""
        owners = [(node, call_id, call) for node in self.nodes.values() for call_id, call in node.calls.items()]
        return len(owners) == len(self.callees) and all(
            node.owner.standing(call_id, self.now) is Standing.SURE
            and call.is_told
            and node.owner.claimants(call_id) == {call.heir}
            and (heir := self.nodes.get(call.heir)) is not None
            and heir.is_up
            and heir.heir.keeps(node.name, call_id)
            for node, call_id, call in owners
        )

    # ---- a tick -------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.now += TICK_S
        while self._flying and self._flying[0][0] <= self.now:
            _, _, source, to, message = heapq.heappop(self._flying)
            self.nodes[to].inbox.append((source, message))
        for at, call_id, name in [one for one in self._invites if one[0] <= self.now]:
            self._invites.remove((at, call_id, name))
            self.callees[call_id].sends_to = name
        for node in list(self.nodes.values()):
            if node.is_up and node.paused_until <= self.now:
                self._live(node)
        self._measure()

    def _live(self, node: Node) -> None:
        if self.now - node.ticked_s > 2 * TICK_S:  # it was away: nobody is judged by that
            node.woke_s = self.now
            node.words = dict.fromkeys(node.words, self.now)
            node.silent.clear()
            for call in node.calls.values():
                call.heard_s, call.is_quiet = self.now, False
        node.ticked_s = self.now
        self._hear(node)
        inbox, node.inbox = node.inbox, []
        for source, message in inbox:
            self._receive(node, source, message)
        self._judge(node)
        if node.owner.deadline is not None and node.owner.deadline <= self.now:
            self._own(node, Expired())
        if node.heir.deadline is not None and node.heir.deadline <= self.now:
            self._inherit(node, Expired())
        self._go_on(node)
        self._name_heirs(node)
        self._say(node)

    def _hear(self, node: Node) -> None:
        for call_id, call in list(node.calls.items()):
            callee = self.callees[call_id]
            if callee.sends_to == node.name and callee.is_sending:
                call.heard_s = self.now
            is_sure = node.owner.standing(call_id, self.now) is Standing.SURE
            is_quiet = self.now - call.heard_s > (LOST_S if is_sure else QUIET_S)
            if is_quiet is not call.is_quiet:
                call.is_quiet = is_quiet
                self._own(node, CalleeQuiet(call_id) if is_quiet else CalleeHeard(call_id))

    def _receive(self, node: Node, source: NodeId, message: Any) -> None:
        match message:
            case ("dead", incarnation):
                if node.seen.get(source, (0, 0))[0] <= incarnation:
                    self._dies(node, source, is_proven=True)
            case ("word", incarnation, edge, sent_s) | ("published", incarnation, edge, sent_s):
                self._word(node, source, (incarnation, edge), sent_s)
            case ("ask", asked_s, orders, theirs):
                self._inherit(node, Asked(source, orders, theirs), asked_s)
            case ("has", asked_s, edge, incarnation, tell, theirs):
                if (edge, incarnation) == (node.edge, node.incarnation):
                    self._answered(node, source, asked_s, tell, theirs)
            case ("keep", call_id, order, is_up, edge):
                self._keep(node, source, call_id, order, is_up=is_up, edge=edge)
            case ("kept", call_id, order):
                call = node.calls.get(call_id)
                if call and call.heir == source and order == call.order:
                    call.is_told = True
            case _:
                raise AssertionError(message)

    def _word(self, node: Node, source: NodeId, seen: tuple[int, int], sent_s: float) -> None:
        before = node.seen.get(source, (0, 0))
        if seen < before:
            return
        if before[0] and seen[0] > before[0]:
            self._dies(node, source, is_proven=True)
        if seen != before:
            for call in node.calls.values():
                call.is_told = call.is_told and call.heir != source
        node.seen[source] = seen
        node.words[source] = self.now
        if source in node.dead:
            node.dead.discard(source)
            self._inherit(node, Alive(source))
        self._own(node, Known(frozenset(node.seen) - node.dead))

    def _judge(self, node: Node) -> None:
        """Silence counts while somebody else is heard, so that it is not us who are cut off."""
        for other in [name for name in node.seen if name not in node.dead]:
            is_heard = {name for name, at in node.words.items() if self.now - at < WITNESS_S and name != other}
            if is_heard:
                node.silent[other] = node.silent.get(other, 0.0) + TICK_S
            if self.now - node.words[other] < TICK_S:
                node.silent[other] = 0.0
            if node.silent.get(other, 0.0) >= SILENT_S:
                self._dies(node, other, is_proven=False)

    def _dies(self, node: Node, other: NodeId, *, is_proven: bool) -> None:
        if other not in node.dead:
            self.log.append(f"{self.now:.2f} {node.name}: {other} is dead, proven={is_proven}")
        node.dead.add(other)
        if is_proven:
            self._own(node, Gone(other))
        self._own(node, Known(frozenset(node.seen) - node.dead))
        self._inherit(node, Dead(other, is_proven))

    def _say(self, node: Node) -> None:
        others = [name for name in self.nodes if name != node.name]
        word = ("word", node.incarnation, node.edge, self.now)
        if self.now - node.said_s >= WORD_S:
            node.said_s = self.now
            for other in others:
                self._send(node.name, other, word)
            for call_id, call in node.calls.items():
                if call.heir and not call.is_told:
                    order = call.order
                    self._send(node.name, call.heir, ("keep", call_id, order, call.is_up, node.edge))
        if self.is_nats_up and not self._is_cut(node.name, NATS) and not self._is_cut(NATS, node.name):
            node.words[NATS] = self.now
            if self.now - node.published_s >= PUBLISHED_S:
                node.published_s = self.now
                for other in others:
                    if not self._is_cut(NATS, other) and not self._is_cut(other, NATS):
                        self._later(0.01, node.name, other, ("published", *word[1:]))

    # ---- the two machines ---------------------------------------------------------------------------------------

    def _own(self, node: Node, given: Any) -> None:
        for notice in node.owner.step(given, self.now):
            match notice.event:
                case Ask(node=to, calls=calls):
                    orders = {one: self._order(node, one) for one in calls}
                    theirs = frozenset(one for one in calls if one in node.calls and node.calls[one].heir == to)
                    self._send(node.name, to, ("ask", self.now, orders, theirs))
                case Stand(call_id=call_id, standing=standing):
                    self.log.append(f"{self.now:.2f} {node.name}: {call_id} is {standing.value}")
                case LetGo(call_id=call_id, was_closed=was_closed):
                    self.log.append(f"{self.now:.2f} {node.name}: lets {call_id} go")
                    call = self._lose(node, call_id)
                    self.callees[call_id].is_hung_up |= was_closed and call.is_up
                case Retell(calls=calls):
                    for call_id in calls:
                        node.calls[call_id].is_told = False

    def _order(self, node: Node, call_id: CallId) -> Order:
        if (call := node.calls.get(call_id)) is not None:
            return call.order
        return node.orders[call_id]

    def _lose(self, node: Node, call_id: CallId) -> Call:
        node.orders[call_id] = self._order(node, call_id)
        return node.calls.pop(call_id)

    def _inherit(self, node: Node, given: Any, asked_s: float = 0.0) -> None:
        for notice in node.heir.step(given, self.now):
            match notice.event:
                case Take(owner=owner, calls=calls):
                    for call_id in calls:
                        self.log.append(f"{self.now:.2f} {node.name}: takes {call_id} of {owner}")
                        node.calls[call_id] = self._later_life(node.kept[call_id], 1)
                        self._invites.append((self.now + INVITE_S, call_id, node.name))
                case Tell(to=to) as tell:
                    other = self.nodes[to]
                    self._send(node.name, to, ("has", asked_s, other.edge, other.incarnation, tell, given.ours or ()))

    def _keep(self, node: Node, source: NodeId, call_id: CallId, order: Any, *, is_up: bool, edge: int) -> None:
        if node.seen.get(source, (0, 0))[1] > edge or source in node.dead:
            return
        if (ours := node.calls.get(call_id)) is not None:
            if ours.order >= order:
                return
            self._own(node, Overruled(call_id))
            if call_id in node.calls:
                self._lose(node, call_id)
        node.kept[call_id] = max(order, node.kept.get(call_id, order))
        self._inherit(node, Kept(source, call_id, order, is_up))
        if node.heir.keeps(source, call_id):
            self._send(node.name, source, ("kept", call_id, order))

    def _answered(self, node: Node, source: NodeId, asked_s: float, tell: Tell, theirs: Iterable[CallId]) -> None:
        for call_id in tell.about:
            if call_id in node.pending:
                del node.pending[call_id]
                if call_id not in (*tell.taken, *tell.closed):
                    self._take_up(node, call_id)
        self._own(node, Answered(source, asked_s, tell.about, tell.taken, tell.closed, tell.kept, tuple(theirs)))

    def _go_on(self, node: Node) -> None:
        """Ask about what was found on the disk; nobody who could be asked is there: go on."""
        for call_id, until in list(node.pending.items()):
            call = node.disk[call_id]
            if self.now >= until:
                del node.pending[call_id]
                self._take_up(node, call_id)
            elif int(self.now / TICK_S) % 10 == 0:
                order = call.order
                self._send(node.name, call.heir, ("ask", self.now, {call_id: order}, None))

    def _take_up(self, node: Node, call_id: CallId) -> None:
        self.log.append(f"{self.now:.2f} {node.name}: goes on with {call_id} from the disk")
        call = node.disk[call_id]
        node.calls[call_id] = self._later_life(call.order, 0)

    def _later_life(self, order: Order, n_moves: int) -> Call:
        """Whoever goes on counts the epoch by the clock: it says nothing of who may."""
        return Call(max(order[1] + 1, round(self.now * 1000)), n_moves=order[0] + n_moves, heard_s=self.now)

    def _name_heirs(self, node: Node) -> None:
        living = [
            name for name in sorted(node.seen) if name not in node.dead and node.owner.vouches(name, self.now)
        ]  # fmt: skip
        for call_id, call in node.calls.items():
            if call.heir in living or not living:
                continue
            call.heir = min(living, key=lambda name: hash((call_id, name)) % 97)
            call.revision, call.is_told = call.revision + 1, False
            self._own(node, Named({call_id: call.heir}))

    # ---- the wires, and what is measured ------------------------------------------------------------------------

    def _is_cut(self, source: NodeId, to: NodeId) -> bool:
        return (source, to) in self.cuts

    def _send(self, source: NodeId, to: NodeId, message: Any) -> None:
        delays = next(self._weather)
        if not self._is_cut(source, to):
            for delay_s in delays:
                self._later(delay_s, source, to, message)

    def _later(self, delay_s: float, source: NodeId, to: NodeId, message: Any) -> None:
        heapq.heappush(self._flying, (self.now + delay_s, next(self._serial), source, to, message))

    def _measure(self) -> None:
        for call_id, callee in self.callees.items():
            living = [node for node in self.nodes.values() if node.is_up and node.paused_until <= self.now]
            owners = [node for node in living if call_id in node.calls]
            speaking = [
                node for node in owners if node.owner.standing(call_id, self.now) is not Standing.SILENT
            ]  # fmt: skip
            self.both_s[call_id] = self.both_s.get(call_id, 0.0) + TICK_S if len(speaking) > 1 else 0.0
            self.nobody_s[call_id] = 0.0 if owners else self.nobody_s.get(call_id, 0.0) + TICK_S
            self.worst_both_s = max(self.worst_both_s, self.both_s[call_id])
            self.worst_nobody_s = max(self.worst_nobody_s, self.nobody_s[call_id])
            assert not callee.is_hung_up, f"{call_id} is hung up on\n" + "\n".join(self.log[-30:])
            assert self.both_s[call_id] <= LEASE_S, f"two speak to {call_id}\n" + "\n".join(self.log[-30:])
            assert self.nobody_s[call_id] <= LEASE_S + 1.0, f"nobody has {call_id}\n" + "\n".join(self.log[-30:])


__all__ = ["AWAY_S", "NATS", "World"]
