"""The calls of one edge: begun once each, gone on with after a death, and told of what comes for them.

What it does: knows every call by its keeper, has heirs and the disk know each record as it is written, and keeps what
an active edge tells its spares. Becoming active is: read what is left, and the socket. Its calls are *asleep* then: one
is gone on with when something comes for it, the others one after the other, the next due first; so that a thousand
calls do not wait for each other. What it does not: answer for them (`requests`), or decide what becomes of one
(`call`), or what other machines have to do with it (`elsewhere`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, TypeVar

from nodes.call.call import Call
from nodes.call.inputs import HangUpOrdered, Input, Moved, RosterChanged
from nodes.call.record import GONE, CallPhase, CallRecord
from nodes.edge import line
from nodes.edge.disk import Disk
from nodes.edge.elsewhere import Elsewhere
from nodes.edge.heirs import Heirs, Legacy, Received
from nodes.edge.hold_back import HoldBack
from nodes.edge.keeper import Keeper
from nodes.edge.load import Load
from nodes.edge.means import AnyCall, Means
from nodes.edge.succession import Here, epoch_after, taken_up
from nodes.edge.views import Views
from nodes.edge.will import Will
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks
from nodes.machine import Machine, cores
from nodes.telemetry import logs
from protocols.machine import Address
from protocols.sip import Disposition, Request, Response
from protocols.wire.campaigns import ContactId
from protocols.wire.events import CallEvent
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
from protocols.wire.ids import CallId, Identity
from protocols.wire.messages import PlaceCall
from supervisors import DynamicRef, StartFailed, Supervisor, TooManyChildren

log = logs.get(__name__)
SLICE: Final = 50
"""Events said in one turn of the loop: a few milliseconds."""
M = TypeVar("M")


class Calls:
    """The calls of this process. `trees`: where each call's supervision tree is started."""

    def __init__(
        self, means: Means, trees: DynamicRef[[Keeper], Supervisor], views: Views, launcher: str, tasks: Tasks
    ) -> None:
        self._means, self._trees, self._views, self._tasks = means, trees, views, tasks
        self.keepers: dict[CallId, Keeper] = {}
        """Of the calls that there are."""
        self._heirs = Heirs(means.mesh, self.keepers)
        self._legacy = Legacy()
        self._heirs.unused = self._legacy.forget
        self.disk = Disk(
            means.config.paths.checkpoint,
            launcher,
            self.keepers,
            self._legacy.last_over,
            lambda: chain(self._legacy.recent, self._heirs.recent),
        )
        self.load = Load(means.mesh, self.records, cores(), Machine(), fixed=means.config.edge.capacity)
        self._hold_back = HoldBack(self._heirs, self.disk)
        means.until_kept = self._hold_back.until_kept
        self._received = Received()
        means.given_up = lambda: self.load.gives_up
        self.is_active = self.is_draining = False
        self.elsewhere = Elsewhere(means, self, tasks.spawn)
        self.elsewhere.ownership.retell = self._heirs.retell
        self._asleep: dict[CallId, Keeper] = {}
        self._waiting: dict[CallId, list[Callable[[], object]]] = {}
        """What has come for calls that are asleep, or just waking."""
        self._by_dialog: dict[str, CallId] = {}
        """Of the calls that were ever asleep here, by SIP Call-ID."""
        self._desks: object = None
        means.members.on_change(lambda _: self._meet_others())

    def serve(self) -> None:
        """Keep, from now on, what an active edge tells its spares; and stop whoever must not be called any more."""
        mesh = self._means.mesh
        self._means.refusals.watch(self._forbidden)
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

        self._means.mesh.serve(kind, count)

    def activate(self) -> None:
        """Be the edge: every call that any heir has a record of is ours, and so is what the socket has for them."""
        if found := self.disk.read():
            self._legacy.inherit(found.legacy)
        records, is_back = self._legacy.take(), found is not None and found.opened.launcher != self.disk.opened.launcher
        self._means.epoch = epoch_after(records, time.time())

        def up(record: CallRecord) -> CallRecord:
            opened, port = self.disk.opened, self._means.trunk.port
            return taken_up(record, found, Here(opened.launcher, opened.boot, port, time.monotonic()))

        if records and is_back and self._means.config.cluster.is_joined:
            self.elsewhere.is_back = True
            self._tasks.spawn(self._come_back(records, up))
        else:
            for record in records:
                self._sleep(self.keep(up(record)))
            self._tasks.spawn(self.disk.run())
        self.is_active = True
        self._heirs.begin(self._means.roster)
        self.elsewhere.ownership.begin()
        self._meet_others()
        self._means.trunk.nobody = self._has_dialog
        self._means.trunk.open()
        log.info("edge.active", calls=len(records))

    async def _come_back(self, records: Sequence[CallRecord], up: Callable[[CallRecord], CallRecord]) -> None:
        """Ask whose these are. Until that is known they are on the disk only, so nothing is written there."""
        await self.elsewhere.come_back(records, up)
        await self.disk.run()

    async def wake_all(self) -> None:
        """Go on with all calls, the next due first; then say again what may not have been heard of them."""
        for call_id in sorted(self._asleep, key=lambda call_id: _due_s(self._asleep[call_id].record)):
            await self._wake(call_id)
        for n, event in enumerate(list(self._legacy.recent)):
            self._means.post(event)
            if not n % SLICE:
                await asyncio.sleep(0)
        log.info("edge.awake")

    async def stop(self) -> None:
        """This edge has been told to stop: calls that still sleep have nobody else who would hang up."""
        self.elsewhere.stop()
        for keeper in list(self._asleep.values()):
            await Will(keeper, self._means).carry_out()

    def later(self, call_id: CallId, what: Callable[[], object]) -> bool:
        """Wake a call that is asleep, and do this once it is awake; False when it is not asleep."""
        if (waiting := self._waiting.get(call_id)) is None:
            return False
        if not waiting:
            self._tasks.spawn(self._wake(call_id))
        waiting.append(what)
        return True

    def _sleep(self, keeper: Keeper) -> None:
        call_id = keeper.record.order.call_id
        self._asleep[call_id], self._waiting[call_id] = keeper, []
        if leg := keeper.record.leg:
            self._by_dialog[leg.dialog.sip_call_id] = call_id

    async def _wake(self, call_id: CallId) -> None:
        if keeper := self._asleep.pop(call_id, None):
            await self.go_on(keeper)
            if keeper.record.leg:
                self._by_dialog.pop(keeper.record.leg.dialog.sip_call_id, None)
            for what in self._waiting.pop(call_id, ()):
                what()

    def _has_dialog(self, message: Request | Response, source: Address) -> bool:
        """Say whether a message of nobody's is that of a call which sleeps, and gets it when it is awake."""
        call_id = self._by_dialog.get(message.sip_call_id)
        return call_id is not None and self.later(call_id, partial(self._means.trunk.take, message, source))

    async def go_on(self, keeper: Keeper) -> None:
        """Have a call live here."""
        try:
            await self._start(keeper)
        except (StartFailed, TooManyChildren) as error:  # one record that cannot be gone on with is one call, not all
            log.error("call.lost", call_id=keeper.record.order.call_id, reason=str(error))
            await Will(keeper, self._means).carry_out()

    def _meet_others(self) -> None:
        """Something is new of another node: it may keep our calls, or have the desk of one."""
        if self.is_active:
            self._heirs.follow_afar(self.elsewhere.ownership.edges)
        self._meet_desks()

    def _learn(self, given: KeepScript | ForgetScript | KeepEvents, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        else:
            self._legacy.told(given, time.monotonic())

    def _forget(self, given: ForgetRecord, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        else:
            self._legacy.drop(given.call_id)

    def _inherit(self, given: KeepRecord, sender: Identity) -> Coroutine[object, object, None] | None:
        """Keep a record; once we are active, one of our spares' is of a call that it alone knew of: go on with it."""
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
            return None
        if self.is_active and given.call_id in self.keepers:
            return None
        self._legacy.keep(given)
        return self._go_on_late() if self.is_active else None

    async def _go_on_late(self) -> None:
        for record in self._legacy.take():
            log.warning("call.inherited_late", call_id=record.order.call_id)
            await self.go_on(self.keep(record))

    def _give_back(self, given: KeepOnly, sender: Identity) -> None:
        if self.elsewhere.is_of(sender):
            self.elsewhere.take(given, sender)
        elif (strays := self._legacy.only(given, sender)) is not None:
            for message in (*strays, KeptOnly()):
                self._means.mesh.tell(sender, message)

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
        return self._legacy.has_been(call_id)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it."""
        without = {"calls_without_heir": float(self.elsewhere.ownership.n_without_heir)}
        parts = self.load.figures() | self._views.figures() | self._heirs.figures() | self._hold_back.figures()
        return parts | without | self.elsewhere.mover.figures()

    async def begin(self, order: PlaceCall) -> None:
        """Begin a call. Raises: `StartFailed`, `TooManyChildren`."""
        await self._start(self.keep(CallRecord(order, heir=self.elsewhere.ownership.heir_for(order.call_id))))

    def noted(self, event: CallEvent) -> None:
        """An event has been handed to the bus."""
        self._heirs.noted(event)
        self.disk.noted(event)

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who lives."""
        before, self._means.roster = self._means.roster, roster
        self._means.mesh.roster(roster)
        self._means.members.follow(roster)
        self._means.engines.follow(roster)
        if self.is_active:  # a spare that tells the others which calls it has takes theirs from them
            self._heirs.follow(roster)
        self.load.roster = roster
        self._tell_of(before, self.keepers)

    def _meet_desks(self) -> None:
        """Who wants an agent, or has one, hears which desks there are now."""
        desks = (self._means.desks_alive(), [peer.identity for peer in self._means.desks()])
        if desks != self._desks:
            self._desks = desks
            handed = {call_id: keeper for call_id, keeper in self.keepers.items() if keeper.record.handover}
            self._tell_of(self._means.roster, handed)

    def _tell_of(self, before: Roster, keepers: Mapping[CallId, Keeper]) -> None:
        """Tell calls who lives now; `before`: who did."""
        desks = self._means.desks_alive()
        news: dict[str, RosterChanged] = {}
        for call_id, keeper in keepers.items():
            if call_id in self._waiting:
                continue  # it looks at what there is when it wakes
            if (media := keeper.record.media) not in news:
                news[media] = line.changed(before, self._means.roster, media, desks)
            self.tell(call_id, news[media])

    def _forbidden(self, contact: ContactId) -> None:
        """Somebody must not be called any more: whoever still rings stops."""
        for keeper in self.keepers.values():
            order, is_early = keeper.record.order, keeper.record.phase in (CallPhase.PLACING, CallPhase.RINGING)
            if is_early and contact in self._means.refusals.contacts(order):
                self.tell(order.call_id, HangUpOrdered(Disposition.REJECTED, "do_not_call"))

    def tell(self, call_id: CallId, given: Input) -> None:
        """Tell a call that something has happened; one that is over needs no word."""
        if self.later(call_id, partial(self.tell, call_id, given)):
            return
        if call := self._means.calls.get(call_id):
            call.tell(AnyCall.take, given)

    def records(self) -> list[CallRecord]:
        """Return the last record of each call that there is."""
        return [keeper.record for keeper in self.keepers.values()]

    def keep(self, record: CallRecord, moved: Moved | None = None) -> Keeper:
        """Have a call, from this moment on. `moved`: it comes from another machine."""
        keeper = self.keepers[record.order.call_id] = Keeper(record, self._wrote)
        keeper.moved = moved
        self.elsewhere.kept(keeper)
        return keeper

    def let_go(self, keeper: Keeper) -> None:
        """End what is left of a call that goes on at another machine."""
        call_id = keeper.record.order.call_id
        self._asleep.pop(call_id, None)
        self._waiting.pop(call_id, None)
        if keeper.tree is not None:
            self._tasks.spawn(self._trees.stop(keeper.tree))

    async def _start(self, keeper: Keeper) -> None:
        try:
            keeper.tree = await self._trees.start(keeper)
        except BaseException as error:
            self.keepers.pop(keeper.record.order.call_id, None)
            is_over = keeper.record.phase in GONE  # so soon when the callee must not be called
            if not (isinstance(error, StartFailed) and is_over):
                raise

    def _wrote(self, keeper: Keeper) -> None:
        self._heirs.wrote(keeper)
        self.disk.wrote(keeper)
        if not keeper.record.is_waiting:  # its owner shows it
            self._views.wrote(keeper)
        self.elsewhere.wrote(keeper)
        if keeper.record.phase is CallPhase.MOVED:
            self.keepers.pop(keeper.record.order.call_id, None)
        if keeper.record.phase is CallPhase.DONE:
            if self.keepers.pop(keeper.record.order.call_id, None):  # it is written again after its end
                self.load.n_over += 1
            self._legacy.ended(keeper.record.order.call_id)


def _due_s(record: CallRecord) -> float:
    """Return when a call wants to be stepped next, by itself; calls that wait for others only are the last."""
    due_s = Call(record, None).deadline
    return math.inf if due_s is None else due_s


__all__ = ["Calls"]
