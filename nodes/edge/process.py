"""One edge process: active, or a spare that keeps the active one's records and has its sockets.

Becoming active is: read the socket, go on with every call of the legacy. It is all that a takeover needs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import get_args

from grammars.errors import GrammarError
from grammars.script_pack import unpack
from nodes import watch
from nodes.call import handing
from nodes.call.inputs import ChannelNews, HangUpOrdered, Input, MediaLacks, RosterChanged, SeatTold
from nodes.call.line import channels_of, is_known
from nodes.call.placing import seat_of
from nodes.call.record import CallPhase, CallRecord
from nodes.config import Config
from nodes.edge import line, orders
from nodes.edge.browser import BrowserLeg
from nodes.edge.call import CallActor
from nodes.edge.disk import Disk
from nodes.edge.ears import Engines
from nodes.edge.fetch import Fetcher
from nodes.edge.heirs import Heirs, Legacy
from nodes.edge.keeper import Keeper
from nodes.edge.leg import Leg, SipLeg
from nodes.edge.load import Load
from nodes.edge.means import AnyCall, Means
from nodes.edge.refusals import Refusals
from nodes.edge.registration import TrunkRegistration
from nodes.edge.succession import Here, taken_up
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.edge.will import Will
from nodes.links import incarnation, trees
from nodes.links.bus import Bus
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.far import Far
from nodes.links.kept_list import FILE, KeptList
from nodes.links.login import login
from nodes.links.mesh import Mesh
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks, closing, failing_at_once
from nodes.machine import Machine, cores
from nodes.telemetry import logs
from protocols.sip import Disposition
from protocols.wire import messages as wire
from protocols.wire.campaigns import ContactId
from protocols.wire.desk import SEAT_NEWS, Drain, SeatNews
from protocols.wire.events import CallEvent, to_body
from protocols.wire.heirs import ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript, KeptOnly
from protocols.wire.ids import CallId, ChannelId, Identity
from protocols.wire.reconcile import CallsFound, ChannelsOwned, FindCalls, FindChannels
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket, call_event
from supervisors import (
    AutoShutdown,
    Backoff,
    Child,
    Dynamic,
    DynamicRef,
    Event,
    Restart,
    StartFailed,
    Supervisor,
    TooManyChildren,
    running,
)
from supervisors.parent import Activate, Parent, Stop, Told

log = logs.get(__name__)
MAX_CALLS = 500
"""Calls of one edge: the plan of DESIGN 10 for its media, with room."""
REGISTERS_AGAIN = Backoff(first_s=1.0, top_s=60.0, reset_after_s=120.0)


class Edge:
    """The calls of this process, and what comes for them from other processes."""

    def __init__(self, means: Means, calls: DynamicRef[[Keeper], Supervisor], views: Views, launcher: str) -> None:
        self._means, self._calls, self._views = means, calls, views
        self._keepers: dict[CallId, Keeper] = {}
        self._heirs = Heirs(means.mesh, self._keepers)
        self._legacy = Legacy()
        self._heirs.unused = self._legacy.forget
        self.disk = Disk(
            means.config.paths.checkpoint, launcher, self._keepers, self._legacy.last_over, self._heirs.recent
        )
        self.load = Load(means.mesh, self._records, cores(), Machine())
        means.gives_up = lambda: self.load.gives_up
        self._is_active = self._is_draining = False

    def serve(self) -> None:
        """Answer the mesh from now on."""
        mesh = self._means.mesh
        mesh.serve(wire.PlaceCall, self.place)
        self._means.refusals.watch(self._forbidden)
        mesh.serve(wire.EndCall, self.end)
        mesh.serve(KeepScript, lambda given, _: self._legacy.learn(given))
        mesh.serve(ForgetScript, lambda given, _: self._legacy.forget(given.script))
        mesh.serve(KeepRecord, self._inherit)
        mesh.serve(KeepOnly, self._give_back)
        mesh.serve(KeptOnly, lambda _, heir: self._heirs.settled(heir))
        mesh.serve(KeepEvents, lambda given, _: self._legacy.recent.learn(given, time.monotonic()))
        mesh.serve(FindCalls, self.find_calls)
        mesh.serve(FindChannels, self.find_channels)
        mesh.serve(wire.GetStatus, self.status)
        mesh.serve(Drain, self.drain)
        for message in get_args(ChannelNews):  # each goes to the call whose channel it names
            mesh.serve(message, self._told)
        for news in SEAT_NEWS:
            mesh.serve(news, self._seat_told)

    async def activate(self) -> None:
        """Be the edge: go on with every call that any heir has a record of, then take what the socket has for them."""
        if found := self.disk.read():
            self._legacy.inherit(found.legacy)
        here = Here(self.disk.opened.launcher, self.disk.opened.boot, self._means.trunk.port, time.monotonic())
        keepers = [self._keep(taken_up(record, found, here)) for record in self._legacy.take()]
        for keeper in keepers:
            await self._go_on(keeper)
        for event in list(self._legacy.recent):
            self._means.post(event)
        self._is_active = True
        self._means.trunk.open()
        log.info("edge.active", calls=len(keepers))

    async def _go_on(self, keeper: Keeper) -> None:
        try:
            await self._start(keeper)
        except (StartFailed, TooManyChildren) as error:  # one record that cannot be gone on with is one call, not all
            log.error("call.lost", call_id=keeper.record.order.call_id, reason=str(error))
            await Will(keeper, self._means).carry_out()

    def _inherit(self, given: KeepRecord, sender: Identity) -> Coroutine[object, object, None] | None:
        """Keep a record; once we are active, it is of a call that a fellow heir alone knew of: go on with it."""
        if self._is_active and given.call_id in self._keepers:
            return None
        self._legacy.keep(given)
        return self._go_on_late() if self._is_active else None

    async def _go_on_late(self) -> None:
        for record in self._legacy.take():
            log.warning("call.inherited_late", call_id=record.order.call_id)
            await self._go_on(self._keep(record))

    def _give_back(self, given: KeepOnly, sender: Identity) -> None:
        for message in (*self._legacy.only(given), KeptOnly()):
            self._means.mesh.tell(sender, message)

    def noted(self, event: CallEvent) -> None:
        """An event has been handed to the bus."""
        self._heirs.noted(event)
        self.disk.noted(event)

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who lives."""
        before, self._means.roster = self._means.roster, roster
        self._means.mesh.roster(roster)
        self._means.engines.follow(roster)
        self._heirs.follow(roster)
        self.load.roster = roster
        news: dict[str, RosterChanged] = {}
        for call_id, keeper in self._keepers.items():
            if (media := keeper.record.media) not in news:
                news[media] = line.changed(before, roster, media)
            self._tell(call_id, news[media])

    async def place(self, order: wire.PlaceCall, sender: Identity) -> wire.CallAccepted:
        """Take an order, once. Refuses: `not_active draining do_not_call_unknown node_full bad_script:`, `orders`."""
        if not self._is_active:
            raise Refused("not_active")
        if self._is_draining:
            raise Refused("draining")
        if not seat_of(order.target) and not await self._means.refusals.are_known():
            raise Refused("do_not_call_unknown")
        if order.call_id in self._keepers or self._legacy.has_been(order.call_id):
            return wire.CallAccepted(order.call_id, duplicate=True)
        order = orders.with_uri(order, self._means.config.sip)
        if reason := orders.objection(order, self._means.config.sip):
            raise Refused(reason)
        if not self.load.takes():
            raise Refused("node_full")
        try:
            unpack(order.script)
        except GrammarError as error:
            raise Refused(f"bad_script: {error}") from error
        try:
            await self._start(self._keep(CallRecord(order)))
        except TooManyChildren as error:
            raise Refused("node_full") from error
        return wire.CallAccepted(order.call_id)

    def end(self, order: wire.EndCall, sender: Identity) -> wire.Done:
        """Hang up a call; one that is over stays over. Refuses: `bad_disposition`."""
        try:
            disposition = Disposition(order.disposition)
        except ValueError as error:
            raise Refused("bad_disposition") from error
        self._tell(order.call_id, HangUpOrdered(disposition, "ordered"))
        return wire.Done()

    def find_calls(self, asked: FindCalls, sender: Identity) -> CallsFound:
        """Say which of these calls we have, and which have been here. Refuses: `not_active`, `unsettled`."""
        self._know_all()
        held = tuple(call_id for call_id in asked.calls if call_id in self._keepers)
        return CallsFound(held, tuple(call_id for call_id in asked.calls if self._legacy.has_been(call_id)))

    def find_channels(self, asked: FindChannels, sender: Identity) -> ChannelsOwned:
        """Say which of these channels our calls have, and tell what the asker lacks. Refuses as `find_calls`."""
        self._know_all()
        ours = {channel for keeper in self._keepers.values() for channel in channels_of(keeper.record)}
        if asker := self._means.roster.by_identity(sender):
            self._tell_what_is_lacking(asker, asked.channels)
        return ChannelsOwned(tuple(channel_id for channel_id in asked.channels if channel_id in ours))

    def _tell_what_is_lacking(self, media: Peer, has: Mapping[ChannelId, int]) -> None:
        for call_id, keeper in self._keepers.items():
            is_ours = keeper.record.media == media.name
            if is_ours and not is_known(keeper.record, has, media.state is State.SPARE):
                log.info("channel.told_again", call_id=call_id, media=media.identity)
                self._tell(call_id, MediaLacks())

    def _know_all(self) -> None:
        """Refuse to say what we have not, while there may be calls that are ours and have not come to us yet."""
        if not self._is_active:
            raise Refused("not_active")
        if not self._heirs.is_settled:
            raise Refused("unsettled")

    def drain(self, order: Drain, sender: Identity) -> wire.Done:
        """Take no new calls, or take them again."""
        self._is_draining = order.is_draining
        return wire.Done()

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How this edge is: its calls by phase, and what it dropped."""
        phases = [keeper.record.phase.value for keeper in self._keepers.values()]
        figures = {f"calls_{phase}": float(phases.count(phase)) for phase in sorted(set(phases))}
        dropped = {f"sip_{word}": float(count) for word, count in self._means.trunk.drops.items()}
        figures["draining"] = float(self._is_draining)
        figures |= self.load.figures()
        figures["registrations"] = float(len(self._means.trunk.registered))
        figures |= {"calls": float(len(phases)), **dropped, **self._means.fetcher.figures, **self._views.figures()}
        figures |= self._means.refusals.figures
        return wire.Status("edge", os.getpid(), figures)

    def _forbidden(self, contact: ContactId) -> None:
        """Somebody must not be called any more: whoever still rings stops."""
        for keeper in self._keepers.values():
            order, is_early = keeper.record.order, keeper.record.phase in (CallPhase.PLACING, CallPhase.RINGING)
            if is_early and contact in self._means.refusals.contacts(order):
                self._tell(order.call_id, HangUpOrdered(Disposition.REJECTED, "do_not_call"))

    def _told(self, given: ChannelNews, sender: Identity) -> None:
        self._tell(CallId(given.channel_id), given)

    def _seat_told(self, news: SeatNews, desk: Identity) -> None:
        """A desk's word on a seat: for the leg whose seat it is, else for the call that is being handed over."""
        if (keeper := self._keepers.get(news.call_id)) and (leg := keeper.seats.get(news.seat)):
            leg(news)
        else:
            self._tell(news.call_id, SeatTold(handing.input_of(news), desk, news.seat))

    def _tell(self, call_id: CallId, given: Input) -> None:
        if call := self._means.calls.get(call_id):
            call.tell(AnyCall.take, given)

    def _records(self) -> list[CallRecord]:
        return [keeper.record for keeper in self._keepers.values()]

    def _keep(self, record: CallRecord) -> Keeper:
        keeper = self._keepers[record.order.call_id] = Keeper(record, self._wrote)
        return keeper

    async def _start(self, keeper: Keeper) -> None:
        try:
            await self._calls.start(keeper)
        except BaseException as error:
            self._keepers.pop(keeper.record.order.call_id, None)
            is_over = keeper.record.phase is CallPhase.DONE  # so soon when the callee must not be called
            if not (isinstance(error, StartFailed) and is_over):
                raise

    def _wrote(self, keeper: Keeper) -> None:
        self._heirs.wrote(keeper)
        self.disk.wrote(keeper)
        self._views.wrote(keeper)
        if keeper.record.phase is CallPhase.DONE:
            if self._keepers.pop(keeper.record.order.call_id, None):  # it is written again after its end
                self.load.n_over += 1
            self._legacy.ended(keeper.record.order.call_id)


def one_call(means: Means) -> Callable[[Keeper], Supervisor]:
    """Return the tree of one call: the leg keeps the telephone connected, the call talks; both end, then it is over."""

    def tree(keeper: Keeper) -> Supervisor:
        def leg() -> Leg:
            if seat_of(keeper.record.order.target):
                return BrowserLeg(keeper, means.mesh)
            return SipLeg(keeper, means.trunk)

        return Supervisor(
            [
                Child(lambda: Will(keeper, means), id="will"),
                Child(leg, id="leg", restart=Restart.TRANSIENT, significant=True),
                Child(lambda: CallActor(keeper, means), id="call", restart=Restart.TRANSIENT, significant=True),
            ],
            auto_shutdown=AutoShutdown.ALL_SIGNIFICANT,
            intensity=3,
            period_s=10.0,
        )

    return tree


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be an edge process until the launcher says stop."""
    me = login(config, Role.EDGE)
    async with (
        closing(await Mesh.start(identity, config.paths.endpoint(identity))) as mesh,
        closing(await Bus.connect(me, name=identity, node_id=config.node.id, spool=config.paths.spool)) as bus,
        closing(Fetcher(config.fetch.allow, has_examples=config.fetch.examples)) as fetcher,
        Tasks() as tasks,
    ):
        await _run(parent, config, mesh, bus, fetcher, tasks)


async def _run(parent: Parent, config: Config, mesh: Mesh, bus: Bus, fetcher: Fetcher, tasks: Tasks) -> None:
    trunk = Trunk(config, parent.sockets["sip"])

    def post(event: CallEvent) -> None:
        bus.record(call_event(event.call_id, event.kind), event.event_id, to_body(event), event.call_id)
        edge.noted(event)

    key = contact_key(config.paths.state)
    listed = DoNotCall(bus.kv(Bucket.DNC), KeptList(config.paths.state / FILE, fingerprint(key)))
    refusals = Refusals(listed, key, tasks)
    means = Means(config, mesh, trunk, Engines(mesh), post, refusals, fetcher=fetcher)
    start, registers = one_call(means), [account for account in config.sip.trunks if account.register]
    tree = Supervisor(
        [
            Dynamic(start, id="calls", max_children=MAX_CALLS, restart=Restart.TEMPORARY),
            Dynamic(TrunkRegistration, id="registrations", restart=Restart.PERMANENT, backoff=REGISTERS_AGAIN),
        ]
    )
    async with running(tree, hook=_note) as system:
        views = Views(bus, config.node.id)
        edge = Edge(means, system.dynamic("calls", start), views, incarnation.of(os.getppid()))

        async def activate() -> None:
            await edge.activate()
            tasks.spawn(edge.disk.run())
            tasks.spawn(views.run())
            tasks.spawn(edge.load.run())
            for account in registers:
                await system.dynamic("registrations", TrunkRegistration).start(trunk, account)

        edge.serve()
        trees.serve(mesh, system.census)
        Far(mesh, system)  # other processes may watch the calls
        with failing_at_once():  # a tree that is stopped in order hangs up on everybody
            await parent.ready({"identity": mesh.identity, "endpoint": mesh.endpoint})
            if not parent.is_spare:
                await activate()
            async for order in parent.orders:
                match order:
                    case Activate():
                        await activate()
                    case Told(body={"roster": roster}):
                        edge.follow(Roster.of(roster))
                    case Stop():
                        means.is_stopping = True
                        trunk.close()
                    case _:
                        pass
    edge.disk.close()


def _note(event: Event) -> None:
    if not watch.is_told(event):
        log.info("supervision", what=type(event).__name__, detail=str(event))


__all__ = ["Edge", "one_call", "run"]
