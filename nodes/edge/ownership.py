"""Whose the calls of this edge are, once its machine may have been away: the performer of `protocols.takeover.Owner`.

What it does: names an heir for each call, asks the others whether they have one of ours, and has nothing said or
decided for a call in doubt. What it does not: tell heirs the records (`heirs`), or go on with other machines' calls
(`inheritance`). On a node that is alone it does nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from nodes.call.line import channels_of
from nodes.call.record import CallRecord
from nodes.edge import line
from nodes.edge.other_edges import OtherEdges, active_edges, edge_for, edges_now, heir_of, who_has
from nodes.edge.record_store import RecordStore
from nodes.edge.services import AnyCall, EdgeServices
from nodes.links.errors import LinkError
from nodes.telemetry import logs
from protocols.heir import Order
from protocols.machine import Expired
from protocols.takeover import (
    ASK_S,
    MAX_ASKED,
    Answered,
    Ask,
    CalleeHeard,
    CalleeQuiet,
    Ended,
    Gone,
    Known,
    LetGo,
    Named,
    Overruled,
    Owner,
    OwnerInput,
    Retell,
    Stand,
    Standing,
)
from protocols.wire.cluster import Member, NodeState, NodeWord, has_all_edges
from protocols.wire.ids import CallId, ChannelId, Identity, NodeId
from protocols.wire.messages import AudioArrived, AudioLost
from protocols.wire.takeover import Beware, WhoHas
from supervisors import Bucket

log = logs.get(__name__)
ABOUT_NODES: Final = (Known, Gone, Answered, Expired)
"""What is said of other nodes, and not of one call: who can be an heir may be another set then."""
MAX_CHANGES: Final = 100
"""Calls that get another heir at once, because theirs has not answered for a second..."""
CHANGES_S: Final = 10.0
"""... and in each second after that. It may be busy, not gone, and to change the heirs of all makes all machines busier
still; when it is gone that is known in three seconds, and then they are changed all at once."""
MAX_PAST: Final = 10_000
"""Calls that are ours no longer whose order is remembered, until those who may have a copy have given it up."""


def choose(call_id: CallId, nodes: Iterable[NodeWord], zone: str) -> NodeId:
    """Return which of these nodes is to be a call's heir: of our own zone, if any is; empty when there is none.

    Each call has an order of its own (rendezvous hashing), so that the calls of a node spread over all others, and one
    that leaves changes nothing for the calls of the rest.
    """

    def rank(word: NodeWord) -> tuple[bool, bytes]:
        score = blake2b(f"{call_id}\n{word.node}".encode(), digest_size=8).digest()
        return word.zone == zone, score

    best = max(nodes, key=rank, default=None)
    return best.node if best else NodeId("")


def order_of(record: CallRecord) -> Order:
    """Return which of a call's records this is."""
    return record.n_moves, record.epoch, record.revision


class Ownership:
    """`stores`: of all calls of this edge. `retell`, `let_go`: what becomes of calls, set by who has them."""

    def __init__(self, services: EdgeServices, stores: Mapping[CallId, RecordStore],
                 spawn: Callable[[Coroutine[object, object, None]], object]) -> None:  # fmt: skip
        self._services, self._stores, self._spawn = services, stores, spawn
        self._loop = asyncio.get_running_loop()
        self._owner = Owner(self._loop.time())
        self._past: OrderedDict[CallId, Order] = OrderedDict()
        self._alarm: asyncio.TimerHandle | None = None
        self.retell: Callable[[Identity, Sequence[CallId]], None] = lambda heir, calls: None
        self.let_go: Callable[[CallId, bool], None] = lambda call_id, was_closed: None
        self._is_active = self._is_stopped = False
        self._stands: dict[CallId, Standing] = {}
        """What has changed in this turn of the loop."""
        self.edges: OtherEdges = {}
        """The edges of all other nodes that can be told something."""
        self._known: frozenset[NodeId] = frozenset()
        self._changes = Bucket(CHANGES_S, MAX_CHANGES, self._loop.time())
        self._named_of: frozenset[NodeId] = frozenset()
        self._named_s = 0.0
        """Who could be an heir, and when it was, when all calls were looked through for one that lacks one."""
        self._launchers: dict[NodeId, int] = {}
        """The launchers of other nodes, by epoch."""
        services.members.on_change(self._changed)

    def begin(self) -> None:
        """We are the active edge: only now is there anything to own."""
        self._is_active = True
        for member in self._services.members.nodes:
            self._changed(member)

    def stop(self) -> None:
        """Ask nobody any more: the process ends."""
        self._is_stopped = True
        if self._alarm:
            self._alarm.cancel()

    def heir_of(self, call_id: CallId) -> Identity | None:
        """Return the edge that keeps a call of ours; None: no other machine does."""
        store = self._stores.get(call_id)
        return heir_of(store.record, self.edges) if store else None

    # ---- what the calls are told ------------------------------------------------------------------------------------

    def is_silent(self, call_id: CallId) -> bool:
        """Say whether a call may be another machine's, with no witness: then nothing of it is said or decided."""
        return self._owner.standing(call_id, self._loop.time()) is Standing.SILENT

    def heir_for(self, call_id: CallId) -> NodeId:
        """Return who is to be the heir of a new call."""
        return choose(call_id, self._candidates(), self._services.config.node.zone)

    def has(self, stores: Iterable[RecordStore]) -> None:
        """These calls are ours from now on; a record may name an heir already, or it is named now."""
        records = {store.record.order.call_id: store for store in stores}
        self._step(Named({call_id: store.record.heir for call_id, store in records.items() if store.record.heir}))
        if self._is_active:
            self._name({call_id: store for call_id, store in records.items() if not store.record.heir})

    def over(self, call_id: CallId, order: Order) -> None:
        """It is not ours any more: it is over, or another's."""
        if self._owner.claimants(call_id):
            self._remember(call_id, order)
        self._step(Ended(call_id))

    def heard(self, call_id: CallId, news: AudioArrived | AudioLost) -> None:
        """The callee is heard, or is not."""
        self._step(CalleeHeard(call_id) if isinstance(news, AudioArrived) else CalleeQuiet(call_id))

    def overruled(self, call_id: CallId) -> None:
        """Another machine has shown a later record of a call of ours."""
        log.warning("call.overruled", call_id=call_id)
        self._step(Overruled(call_id))
        if call_id in self._stores:  # no heir had ever been named: whoever has it, it is not us
            self.let_go(call_id, False)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _candidates(self) -> list[NodeWord]:
        now = self._loop.time()
        able = [word for word in self._living if self._owner.vouches(word.node, now)]
        return [one for one in able if one.load < 1.0] or able

    @property
    def _living(self) -> list[NodeWord]:
        """The nodes that go on with calls, if perhaps not in time."""
        words = [one.word for one in self._services.members.nodes if one.state is NodeState.ALIVE]
        return [word for word in words if active_edges(word) and not word.is_draining]

    @property
    def able(self) -> frozenset[NodeId]:
        """Which nodes may be the heir of a call now."""
        return frozenset(word.node for word in self._candidates())

    @property
    def n_without_heir(self) -> int:
        """How many calls no other machine would go on with; 0 on a node that knows no other."""
        if not self._launchers:
            return 0
        good = self.able
        return sum(one.record.heir not in good for one in self._stores.values() if not one.is_anothers)

    def _changed(self, member: Member) -> None:
        """Take the spokesman's word on another node; all of them say something new every two seconds."""
        self.edges = edges_now(self._services.members.nodes)
        if not self._is_active:
            return
        word, before = member.word, self._launchers.get(member.word.node, member.word.epoch)
        self._launchers[word.node] = word.epoch
        if is_gone := word.epoch > before or (member.state is NodeState.DEAD and member.is_proven):
            self._step(Gone(word.node))
        if is_gone or self._known != self.edges.keys():
            self._known = frozenset(self.edges)
            self._step(Known(self._known))
        else:
            self._name_all()  # it may have become able to be an heir, or stopped being so

    def _name_all(self) -> None:
        """Have each call have an heir that can be one: when others can, and now and then, for each node says a lot."""
        able, now = self.able, self._loop.time()
        if able != self._named_of or now - self._named_s >= ASK_S:
            self._named_of, self._named_s = able, now
            self._name(self._stores)

    def _name(self, stores: Mapping[CallId, RecordStore]) -> None:
        """Give each of these calls an heir that lives, answers and takes calls, if there is any.

        One that lives and is only too busy to answer loses few of them at a time.
        """
        if not (able := self._candidates()):
            return
        good, living, now = {word.node for word in able}, {word.node for word in self._living}, self._loop.time()
        named: dict[CallId, NodeId] = {}
        for call_id, store in list(stores.items()):
            if store.is_anothers or store.record.heir in good:
                continue
            if store.record.heir in living and not self._changes.take(1, now):
                continue
            named[call_id] = choose(call_id, able, self._services.config.node.zone)
            store.write(heir=named[call_id])
        if named:
            self._step(Named(named))

    def _step(self, given: OwnerInput) -> None:
        for notice in self._owner.step(given, self._loop.time()):
            match notice.event:
                case Ask(node=node, calls=calls):
                    self._spawn(self._ask(node, calls))
                case Stand(call_id=call_id, standing=standing):
                    self._stand(call_id, standing)
                case LetGo(call_id=call_id, was_closed=was_closed):
                    log.warning("call.let_go", call_id=call_id, was_closed=was_closed)
                    self.let_go(call_id, was_closed)
                case Retell(heir=heir, calls=calls):
                    self._retell(heir, calls)
        if isinstance(given, ABOUT_NODES):  # all else changes nobody's heir
            self._name_all()
        if self._alarm:
            self._alarm.cancel()
        deadline = None if self._is_stopped else self._owner.deadline
        self._alarm = None if deadline is None else self._loop.call_at(deadline, self._step, Expired())

    def _stand(self, call_id: CallId, standing: Standing) -> None:
        """Say how a call stands now, together with all others that change in this turn of the loop."""
        if not self._stands:
            self._loop.call_soon(self._tell_how_calls_stand)
        self._stands[call_id] = standing

    def _tell_how_calls_stand(self) -> None:
        stands, self._stands = self._stands, {}
        for standing, n in Counter(stands.values()).items():
            log.warning("calls.standing", calls=n, standing=standing.value)
        wary: defaultdict[tuple[str, bool], list[ChannelId]] = defaultdict(list)
        for call_id, standing in stands.items():
            if (store := self._stores.get(call_id)) is None:
                continue
            wary[store.record.media, standing is not Standing.SURE] += channels_of(store.record)
            if standing is not Standing.SILENT and (call := self._services.calls.get(call_id)):
                call.tell(AnyCall.take, Expired())  # what has waited is taken
        for (media, is_wary), channels in wary.items():
            for k in range(0, len(channels), MAX_ASKED):
                line.tell_all(self._services, media, Beware(tuple(channels[k : k + MAX_ASKED]), is_wary))

    async def _ask(self, node: NodeId, calls: tuple[CallId, ...]) -> None:
        """Ask one node: all its edges, for each may have taken a call. What is not answered whole is asked again."""
        member = self._services.members.node(node)
        if not (edges := self.edges.get(node, ())) or member is None or not has_all_edges(member.word):
            return
        asked_s = self._loop.time()
        try:
            question = self._question(node, calls)
            had = await who_has(self._services.mesh, edges, question, 2 * ASK_S)
        except LinkError:
            return
        self._step(Answered(node, asked_s, calls, had.taken, had.closed, had.kept, question.yours or ()))

    def _retell(self, heir: NodeId, calls: Iterable[CallId]) -> None:
        told: defaultdict[Identity, list[CallId]] = defaultdict(list)
        for call_id in calls:
            if edge := edge_for(call_id, self.edges.get(heir, ())):
                told[edge].append(call_id)
        for edge, theirs in told.items():
            self.retell(edge, theirs)

    def _question(self, node: NodeId, calls: Iterable[CallId]) -> WhoHas:
        stores = {call_id: self._stores.get(call_id) for call_id in calls}
        theirs = tuple(call_id for call_id, store in stores.items() if store and store.record.heir == node)
        return WhoHas({call_id: self._order_of(call_id) for call_id in stores}, theirs)

    def _order_of(self, call_id: CallId) -> Order:
        if store := self._stores.get(call_id):
            return order_of(store.record)
        return self._past.get(call_id, (0, 0, 0))

    def _remember(self, call_id: CallId, order: Order) -> None:
        self._past[call_id] = order
        if len(self._past) > MAX_PAST:
            self._past.popitem(last=False)


__all__ = ["Ownership", "choose", "order_of"]
