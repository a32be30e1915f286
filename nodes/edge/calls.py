"""The calls of one edge: begun once each, gone on with after a death, and told of what comes for them.

What it does: knows every call by its record store, has heirs and the disk know each record as it is written, and keeps
what an active edge tells its spares. Becoming active is: read what is left, and the socket. Its calls are *asleep*
then: one is gone on with when something comes for it, the others one after the other, the next due first; so that a
thousand calls do not wait for each other. What it does not: answer for them (`requests`), or decide what becomes of one
(`call`), or what other machines have to do with it (`elsewhere`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, TypeVar

from nodes.call.inputs import HangUpOrdered, Input, Moved, RosterChanged
from nodes.call.record import GONE, CallPhase, CallRecord
from nodes.edge import line
from nodes.edge.disk import Disk
from nodes.edge.elsewhere import Elsewhere
from nodes.edge.heirs import Heirs, Received
from nodes.edge.hold_back import HoldBack
from nodes.edge.load import of_edge
from nodes.edge.recent import Noted, Recent, events_of
from nodes.edge.record_store import RecordStore
from nodes.edge.services import AnyCall, EdgeServices
from nodes.edge.standby_records import StandbyRecords
from nodes.edge.succession import Here, due_s, epoch_after, taken_up
from nodes.edge.views import Views
from nodes.edge.will import Will
from nodes.edge_names import abandoned
from nodes.errors import NodeError
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks
from nodes.telemetry import logs
from protocols.machine import Address
from protocols.sip import Disposition, Request, Response
from protocols.wire.campaigns import ContactId
from protocols.wire.heirs import (
    AskKept,
    ForgetRecord,
    ForgetScript,
    KeepEvents,
    KeepOnly,
    KeepRecord,
    KeepScript,
    Kept,
    KeptOnly,
)
from protocols.wire.ids import CallId, Identity, process_of
from protocols.wire.messages import PlaceCall
from supervisors import DynamicRef, StartFailed, Supervisor, TooManyChildren

log = logs.get(__name__)
SLICE: Final = 50
"""Events said in one turn of the loop: a few milliseconds."""
M = TypeVar("M")


class Calls:
    """The calls of this process. `trees`: where each call's supervision tree is started."""

    def __init__(
        self,
        services: EdgeServices,
        trees: DynamicRef[[RecordStore], Supervisor],
        views: Views,
        launcher: str,
        tasks: Tasks,
    ) -> None:
        self._services, self._trees, self._views, self._tasks = services, trees, views, tasks
        self.stores: dict[CallId, RecordStore] = {}
        """Of the calls that there are."""
        self._heirs = Heirs(services.mesh, self.stores)
        self._standby = StandbyRecords()
        self._heirs.unused, self._heirs.tell = self._standby.forget, self.tell
        self.recents: Callable[[], tuple[Recent, Recent]] = lambda: (self._standby.recent, self._heirs.recent)
        self.disk = Disk(
            services.config.paths.checkpoint_of(process_of(services.mesh.identity)),
            launcher,
            self.stores,
            self._standby.last_over,
            lambda: chain(*self.recents()),
            abandoned(process_of(services.mesh.identity), services.config),
        )
        self.load = of_edge(services.mesh, self.records, services.config)
        self._hold_back = HoldBack(self._heirs, self.disk)
        services.until_kept = self._hold_back.until_kept
        self._received = Received()
        services.given_up = lambda: self.load.gives_up
        self.is_active = self.is_draining = False
        self.elsewhere = Elsewhere(services, self, tasks.spawn)
        self.elsewhere.ownership.retell = self._heirs.retell
        self._asleep: dict[CallId, RecordStore] = {}
        self._waiting: dict[CallId, list[Callable[[], object]]] = {}
        """What has come for calls that are asleep, or just waking."""
        self._arriving: set[CallId] = set()
        """Those that sleep because what they need here is not ready: nobody wakes them before that."""
        self._by_dialog: dict[str, CallId] = {}
        """Of the calls that were ever asleep here, by SIP Call-ID."""
        self._desks: object = None
        services.members.on_change(lambda _: self._meet_others())

    def serve(self) -> None:
        """Keep, from now on, what an active edge tells its spares; and stop whoever must not be called any more."""
        mesh = self._services.mesh
        self._services.refusals.watch(self._forbidden)
        self._serve(KeepScript, self._learn)
        self._serve(ForgetScript, self._learn)
        self._serve(KeepEvents, self._learn)
        self._serve(KeepRecord, self._inherit)
        self._serve(ForgetRecord, self._forget)
        self._serve(KeepOnly, self._give_back)
        mesh.serve(AskKept, lambda given, owner: mesh.tell(owner, Kept(given.number, self._received.of(owner))))
        mesh.serve(Kept, self._heirs.acknowledged)
        mesh.serve(KeptOnly, lambda _, heir: self._heirs.settled(heir))
        self.elsewhere.serve()

    def _serve(self, kind: type[M], keep: Callable[[M, Identity], object]) -> None:
        """Keep what comes of this kind, and count it for whoever tells it."""

        def count(given: M, owner: Identity) -> object:
            self._received.count(owner)
            return keep(given, owner)

        self._services.mesh.serve(kind, count)

    def activate(self) -> None:
        """Be the edge: every call that any heir has a record of is ours, and so is what the socket has for them."""
        opened, found = self.disk.opened, [*filter(None, [self.disk.read()]), *self.disk.abandoned()]
        for one in found:
            self._standby.inherit(one.standby)
        left = {call_id: one for one in reversed(found) for call_id in one.standby.calls}
        records, is_back = self._standby.take(), any(one.opened.launcher != opened.launcher for one in found)
        self._services.epoch = epoch_after(records, time.time())

        def up(record: CallRecord) -> CallRecord:
            here = Here(opened.launcher, opened.boot, self._services.trunk.port, time.monotonic())
            return taken_up(record, left.get(record.order.call_id), here)

        if records and is_back and self._services.config.cluster.is_joined:
            self.elsewhere.is_back = True
            self._tasks.spawn(self._come_back(records, up))
        else:
            for store in self.keep_all(map(up, records)):
                self._sleep(store)
            self._tasks.spawn(self.disk.run())
        self.is_active = True
        self._heirs.begin(self._services.roster)
        self.elsewhere.ownership.begin()
        self._meet_others()
        self._services.trunk.nobody = self._has_dialog
        self._services.trunk.open()
        log.info("edge.active", calls=len(records))

    async def _come_back(self, records: Sequence[CallRecord], up: Callable[[CallRecord], CallRecord]) -> None:
        """Ask whose these are. Until that is known they are on the disk only, so nothing is written there."""
        await self.elsewhere.come_back(records, up)
        await self.disk.run()

    async def wake_all(self) -> None:
        """Go on with all calls, the next due first; then say again what may not have been heard of them."""
        for call_id in sorted(self._asleep, key=lambda call_id: due_s(self._asleep[call_id].record)):
            await self._wake(call_id)
        for n, event in enumerate(events_of(list(self._standby.recent))):
            self._services.post(event)
            if not n % SLICE:
                await asyncio.sleep(0)
        log.info("edge.awake")

    async def stop(self) -> None:
        """This edge has been told to stop: calls that still sleep have nobody else who would hang up."""
        self.elsewhere.stop()
        for store in list(self._asleep.values()):
            await Will(store, self._services).carry_out()

    def later(self, call_id: CallId, what: Callable[[], object]) -> bool:
        """Wake a call that is asleep, and do this once it is awake; False when it is not asleep."""
        if (waiting := self._waiting.get(call_id)) is None:
            return False
        if not waiting:
            self._tasks.spawn(self._wake(call_id))
        waiting.append(what)
        return True

    def _sleep(self, store: RecordStore) -> None:
        call_id = store.record.order.call_id
        self._asleep[call_id], self._waiting[call_id] = store, []
        if leg := store.record.leg:
            self._by_dialog[leg.dialog.sip_call_id] = call_id

    def is_asleep(self, call_id: CallId) -> bool:
        """Say whether a call of ours does not live here yet."""
        return call_id in self._waiting

    def arrives(self, store: RecordStore) -> None:
        """A call of ours is not ready to live here yet: what comes for it waits until it has `arrived`."""
        self._arriving.add(store.record.order.call_id)
        self._sleep(store)

    async def arrived(self, store: RecordStore) -> None:
        """Have it live here, unless it is over meanwhile."""
        self._arriving.discard(store.record.order.call_id)
        await self._wake(store.record.order.call_id)

    async def _wake(self, call_id: CallId) -> None:
        if call_id in self._arriving:
            return
        if store := self._asleep.pop(call_id, None):
            await self.go_on(store)
            if store.record.leg:
                self._by_dialog.pop(store.record.leg.dialog.sip_call_id, None)
            for what in self._waiting.pop(call_id, ()):
                what()

    def _has_dialog(self, message: Request | Response, source: Address) -> bool:
        """Say whether a message of nobody's is that of a call which sleeps, and gets it when it is awake."""
        call_id = self._by_dialog.get(message.sip_call_id)
        return call_id is not None and self.later(call_id, partial(self._services.trunk.take, message, source))

    async def go_on(self, store: RecordStore) -> None:
        """Have a call live here."""
        try:
            await self.elsewhere.get_ready(store)
            await self._start(store)
        except (StartFailed, TooManyChildren, NodeError) as error:  # what one record cannot have is one call, not all
            log.error("call.lost", call_id=store.record.order.call_id, reason=str(error))
            await Will(store, self._services).carry_out()

    def _meet_others(self) -> None:
        """Something is new of another node: it may keep our calls, or have the desk of one."""
        if self.is_active:
            self._heirs.follow_afar(self.elsewhere.ownership.edges)
        self._meet_desks()

    def _learn(self, given: KeepScript | ForgetScript | KeepEvents, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        else:
            self._standby.told(given, time.monotonic())

    def _forget(self, given: ForgetRecord, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        else:
            self._standby.drop(given.call_id)

    def _inherit(self, given: KeepRecord, sender: Identity) -> Coroutine[object, object, None] | None:
        """Keep a record; once we are active, one of our spares' is of a call that it alone knew of: go on with it."""
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
            return None
        if self.is_active and given.call_id in self.stores:
            return None
        self._standby.keep(given)
        return self._go_on_late() if self.is_active else None

    async def _go_on_late(self) -> None:
        for record in self._standby.take():
            log.warning("call.inherited_late", call_id=record.order.call_id)
            await self.go_on(self.keep(record))

    def _give_back(self, given: KeepOnly, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        elif (strays := self._standby.only(given, sender)) is not None:
            for message in (*strays, KeptOnly()):
                self._services.mesh.tell(sender, message)

    @property
    def is_settled(self) -> bool:
        """Whether no heir may know of a call that we do not have."""
        return self._heirs.is_settled and not self.elsewhere.is_back

    @property
    def n_unkept_afar(self) -> int:
        """How many calls no other machine could go on with at this moment."""
        return self._heirs.n_unkept_afar

    def has_been(self, call_id: CallId) -> bool:
        """Say whether this call is over."""
        return self._standby.has_been(call_id)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        without = {"calls_without_heir": float(self.elsewhere.ownership.n_without_heir)}
        parts = self.load.figures() | self._views.figures() | self._heirs.figures() | self._hold_back.figures()
        return parts | without | self.elsewhere.mover.figures() | self.elsewhere.turns.figures()

    async def begin(self, order: PlaceCall) -> None:
        """Begin a call. Raises: `StartFailed`, `TooManyChildren`."""
        await self._start(self.keep(CallRecord(order, heir=self.elsewhere.ownership.heir_for(order.call_id))))

    def noted(self, event: Noted) -> None:
        """An event has been handed to the bus."""
        self._heirs.noted(event)
        self.disk.noted(event)

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who lives."""
        before, self._services.roster = self._services.roster, roster
        self._services.mesh.roster(roster)
        self._services.members.follow(roster)
        self._services.engines.follow(roster)
        if self.is_active:  # a spare that tells the others which calls it has takes theirs from them
            self._heirs.follow(roster)
        self.load.roster = roster
        self._tell_of(before, self.stores)

    def _meet_desks(self) -> None:
        """Who wants an agent, or has one, hears which desks there are now."""
        desks = (self._services.desks_alive(), [peer.identity for peer in self._services.desks()])
        if desks != self._desks:
            self._desks = desks
            handed = {call_id: store for call_id, store in self.stores.items() if store.record.handover}
            self._tell_of(self._services.roster, handed)

    def _tell_of(self, before: Roster, stores: Mapping[CallId, RecordStore]) -> None:
        """Tell calls who lives now; `before`: who did."""
        desks = self._services.desks_alive()
        news: dict[str, RosterChanged] = {}
        for call_id, store in stores.items():
            if call_id in self._waiting:
                continue  # it looks at what there is when it wakes
            if (media := store.record.media) not in news:
                news[media] = line.changed(before, self._services.roster, media, desks)
            self.tell(call_id, news[media])

    def _forbidden(self, contact: ContactId) -> None:
        """Somebody must not be called any more: whoever still rings stops."""
        for store in self.stores.values():
            order, is_early = store.record.order, store.record.phase in (CallPhase.PLACING, CallPhase.RINGING)
            if is_early and contact in self._services.refusals.contacts(order):
                self.tell(order.call_id, HangUpOrdered(Disposition.REJECTED, "do_not_call"))

    def tell(self, call_id: CallId, given: Input) -> None:
        """Tell a call that something has happened; one that is over needs no word."""
        if self.later(call_id, partial(self.tell, call_id, given)):
            return
        if call := self._services.calls.get(call_id):
            call.tell(AnyCall.take, given)

    def records(self) -> list[CallRecord]:
        """Return the last record of each call that there is."""
        return [store.record for store in self.stores.values()]

    def keep(self, record: CallRecord, moved: Moved | None = None) -> RecordStore:
        """Have a call, from this moment on. `moved`: it comes from another machine."""
        (store,) = self.keep_all([record], moved)
        return store

    def keep_all(self, records: Iterable[CallRecord], moved: Moved | None = None) -> list[RecordStore]:
        """Have these calls, from this moment on."""
        stores = [RecordStore(record, self._wrote) for record in records]
        for store in stores:
            store.moved = moved
        self.stores |= {store.record.order.call_id: store for store in stores}
        self.elsewhere.kept(stores)
        return stores

    def let_go(self, store: RecordStore) -> None:
        """End what is left of a call that goes on at another machine."""
        self._awake(store.record.order.call_id)
        if store.tree is not None:
            self._tasks.spawn(self._trees.stop(store.tree))

    def _awake(self, call_id: CallId) -> None:
        """Keep nothing for a call any more that is not to be woken."""
        self._asleep.pop(call_id, None)
        self._waiting.pop(call_id, None)
        self._arriving.discard(call_id)

    async def _start(self, store: RecordStore) -> None:
        try:
            store.tree = await self._trees.start(store)
        except BaseException as error:
            self.stores.pop(store.record.order.call_id, None)
            is_over = store.record.phase in GONE  # so soon when the callee must not be called
            if not (isinstance(error, StartFailed) and is_over):
                raise

    def _wrote(self, store: RecordStore) -> None:
        self._heirs.wrote(store)
        self.disk.wrote(store)
        if not store.record.is_waiting:  # its owner shows it
            self._views.wrote(store)
        self.elsewhere.wrote(store)
        if store.record.phase is CallPhase.MOVED:
            self.stores.pop(store.record.order.call_id, None)
        if store.record.phase is CallPhase.DONE:
            self._awake(store.record.order.call_id)
            if self.stores.pop(store.record.order.call_id, None):  # it is written again after its end
                self.load.n_over += 1
            self._standby.ended(store.record.order.call_id)


__all__ = ["Calls"]
