"""A central process: one of them leads, the others know what it knows and wait for the lease.

Every process follows the journal, so that who takes the lease next is up to date within one read. Without NATS nobody
leads and nothing is dialled; calls that are up do not need central at all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from nodes.bus.bus import Bus
from nodes.bus.lease import RENEW_S
from nodes.bus.login import login
from nodes.bus.server import room
from nodes.central.clock import Clock
from nodes.central.edges import there_are
from nodes.central.importing import Importer
from nodes.central.imports import keeping_problems
from nodes.central.leader import Leader, until_lost
from nodes.central.listings import Listings
from nodes.central.memory import Memory, nobody
from nodes.central.places import Places
from nodes.central.requests import Requests
from nodes.central.restoring import Restoring
from nodes.config import Config
from nodes.errors import NodeError
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import BusAway, LayoutMismatch, ObjectBroken, StreamBroken
from nodes.links.finding import Finder
from nodes.links.kept_list import FILE, KeptList
from nodes.links.members import Members
from nodes.links.roster import NOBODY, Roster
from nodes.links.settings import Settings
from nodes.links.spokesman import Spokesman
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.telemetry import logs
from protocols.wire.cluster import EdgeWord
from protocols.wire.forgetting import ForgetAgain, Sought
from protocols.wire.ids import Identity
from protocols.wire.messages import GetStatus, Status
from protocols.wire.roles import CENTRAL_READS, Role
from protocols.wire.subjects import Bucket
from supervisors.parent import Parent, Told

LIST_S: Final = 10.0
LOOK_S: Final = 5.0
"""How soon a stream that somebody has deleted is there again."""

log = logs.get(__name__)


class Central:
    """Takes the lease when it is free, and leads as long as it holds it."""

    def __init__(self, config: Config, identity: Identity, bus: Bus, mesh: Mesh, clock: Clock | None = None) -> None:
        self._config, self._bus, self._mesh = config, bus, mesh
        self._lease = bus.lease("central", identity)
        self._fresh: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether there had never been a campaign when this process began."""
        key = contact_key(config.paths.state)
        kept = KeptList(config.paths.state / FILE, fingerprint(key))
        self.do_not_call = DoNotCall(bus.kv(Bucket.DNC), kept, self._is_fresh)
        self._memory = Memory(bus, self._lease, identity, clock)
        self.settings = Settings(config, bus.kv(Bucket.CONFIG), may_write=True)
        self.settings.changed = self._change
        self._restoring = Restoring(config.paths.state, bus)
        self._importer = Importer(
            self._memory,
            bus.objects,
            key,
            self.settings.config.sip,
            lambda plan: keeping_problems(plan, config),
            config.speech.hears,
        )
        self._requests = Requests(self._memory, self._importer, key)
        self._roster: Roster = NOBODY
        self.members = Members(mesh, config)
        self.members.on_change(lambda _: self._place())

    def serve(self) -> None:
        """Answer the mesh from now on."""
        self._requests.serve(self._mesh)
        self.settings.serve(self._mesh)
        self.settings.lead(self._mesh, self.members)
        Listings(self.do_not_call, self._config.paths.state / FILE).serve(self._mesh)
        self._mesh.serve(GetStatus, self.status)
        Finder(self._config, self._find).serve(self._mesh)

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word on who lives."""
        self._roster = roster
        self._mesh.roster(roster)
        self.members.follow(roster)
        self._place()

    def _change(self, config: Config) -> None:
        """Go by other settings from now on."""
        self._importer.follow(config.sip)
        if self._requests.leader:
            self._requests.leader.follow(config)

    def _place(self) -> None:
        """Have the leader know which edges there are: this node's, and those of all nodes that live."""
        if self._requests.leader:
            self._tell(self._requests.leader.places)

    def _tell(self, places: Places) -> None:
        places.follow(*there_are(self._config.node, self._roster, self.members))

    def status(self, _: GetStatus, sender: Identity) -> Status:
        """How this central is. `leading`: it leads; `led`: somebody does, here or on another node."""
        fold, leads = self._memory.campaigns, self._requests.leader is not None
        figures = {
            "leading": float(leads),
            "led": float(leads or self._lease.is_another_s),
            "campaigns": float(len(fold.campaigns)),
            "in_flight": float(len(fold.in_flight)),
            "do_not_call": float(len(self.do_not_call.contacts)),
            "do_not_call_known": float(self.do_not_call.is_known),
            "ignored": float(fold.n_ignored),
            **self._bus.figures(),
            **self.settings.figures(),
            **(self._requests.leader.figures() if self._requests.leader else {}),
        }
        return Status("central", os.getpid(), figures)

    async def _find(self, patterns: Sequence[str]) -> Sequence[Sought]:
        """Look where only who leads can."""
        leader = self._requests.leader
        return await leader.forgetting.find(patterns) if leader else ()

    def of_node(self) -> EdgeWord:
        """Return what this central adds to its node's word, where there is no edge."""
        settings, refused = self.settings.versions
        return EdgeWord(settings=settings, refused=refused)

    async def _is_fresh(self) -> bool:
        return await asyncio.shield(self._fresh)

    async def run(self) -> None:
        """Follow the journal, and lead whenever the lease is ours, until cancelled."""
        await self._prepare()
        try:
            while True:
                await self._term()
                await asyncio.sleep(RENEW_S)
        finally:
            await self._leave()

    async def _prepare(self) -> None:
        while True:
            await self._bus.up()
            try:
                await self._lay()
                if self._restoring.is_waiting and not await self._restoring.write(await self._memory.is_first()):
                    raise NodeError("what was restored here cannot be: this cluster has campaigns")
                if not self._fresh.done():
                    self._fresh.set_result(await self._memory.is_first())
                return await self._wait_for_list()
            except BusAway as error:
                log.warning("central.no_streams", error=str(error))
                await asyncio.sleep(RENEW_S)

    async def _wait_for_list(self) -> None:
        """Lead only once it is decided whether the list is known: after the first campaign it is too late."""
        try:
            async with asyncio.timeout(LIST_S):
                await self.do_not_call.decided.wait()
        except TimeoutError:
            log.warning("do_not_call.not_told", after_s=LIST_S)

    async def _lay(self) -> None:
        nats, leads = self._config.nats, self._memory.leads
        events_bytes = int(room(self._config) * nats.events_share)
        if made := await self._bus.ensure_layout(
            nats.replicas, events_bytes, changes_limits=leads, n_streams=self._config.recorder.streams
        ):
            log.warning("streams.made", names=made)

    async def look_after_streams(self) -> None:
        """Have every stream and bucket there and as it should be, whoever deletes one, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._lay()
            except BusAway:
                pass  # whoever wants to write says so
            except LayoutMismatch as error:
                log.error("streams.mismatch", error=str(error))

    async def _term(self) -> None:
        """Try to take the lease, and lead until it is lost."""
        try:
            await self._memory.catch_up()
            if await self._lease.keep() is not None:
                await self._memory.catch_up()
                await self._lead()
        except BusAway as error:
            log.warning("central.bus_away", error=str(error))
        except (StreamBroken, ObjectBroken) as error:
            log.error("central.journal_broken", error=str(error))
            await self._leave()  # perhaps another node's central knows more

    async def _lead(self) -> None:
        n_streams = max(self._config.recorder.streams, await self._bus.n_event_streams())
        leader = Leader(
            self.settings.config, self._bus, self._mesh, self._lease, self._memory, self.do_not_call, n_streams
        )
        self._tell(leader.places)
        self._requests.leader, self._memory.heard = leader, leader.heard
        log.info("central.leads", fence=self._lease.token, campaigns=len(self._memory.campaigns.campaigns))
        is_over = asyncio.Event()
        try:
            async with Tasks() as tasks:
                self._requests.term = tasks
                tasks.spawn(_to_the_end(leader.dial(tasks), is_over))
                for number in range(n_streams):
                    for durable in CENTRAL_READS:
                        tasks.spawn(_to_the_end(leader.listen(number, durable), is_over))
                tasks.spawn(leader.edges.watch())
                tasks.spawn(leader.search.watch())
                tasks.spawn(leader.memory_store.run())
                tasks.spawn(leader.forgetting.forgotten.run())
                if self._restoring.is_waiting:
                    await self._forget_since()
                await self._hold(leader, is_over)
        finally:
            self._requests.leader = self._requests.term = None
            self._memory.heard = nobody
            log.warning("central.leads_no_more")

    async def _forget_since(self) -> None:
        """Forget whom a backup does not know to be forgotten, and have nothing wait any more."""
        people = await asyncio.to_thread(self._restoring.people)
        await self._requests.forget_again(ForgetAgain(tuple(people)), self._mesh.identity)
        await asyncio.to_thread(self._restoring.finish)

    async def _hold(self, leader: Leader, is_over: asyncio.Event) -> None:
        """Renew the lease until it is lost, or the fold, or until one of the works of the term has ended."""
        while leader.is_on and not is_over.is_set():
            try:
                async with asyncio.timeout(RENEW_S):
                    await is_over.wait()
            except TimeoutError:
                pass
            self._place()  # who was taken for dead may be gone by now
            try:
                await self._lease.keep()
                await self._memory.catch_up()  # a predecessor's last word may come late
            except BusAway as error:
                log.warning("lease.not_renewed", error=str(error))

    async def _leave(self) -> None:
        try:
            await self._lease.give_back()
        except BusAway:
            pass  # it ends by itself


async def _to_the_end(work: Coroutine[Any, Any, None], is_over: asyncio.Event) -> None:
    """Do a work of the term, and say when it has ended."""
    try:
        await until_lost(work)
    finally:
        is_over.set()


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be a central process until the launcher says stop."""
    async with (
        closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
        closing(await Bus.connect(login(config, Role.CENTRAL), name=identity, node_id=config.node.id)) as bus,
        Tasks() as tasks,
    ):
        central = Central(config, identity, bus, mesh)
        central.serve()
        tasks.spawn(central.do_not_call.follow())
        tasks.spawn(central.settings.follow())
        tasks.spawn(central.settings.follow_others())
        tasks.spawn(central.run())
        tasks.spawn(central.look_after_streams())
        speaker = Spokesman(mesh, bus, config, central.members, tasks, central.of_node)
        tasks.spawn(speaker.run())
        await parent.ready(mesh.whereabouts())
        async for order in parent.orders:
            if isinstance(order, Told) and "roster" in order.body:
                roster = Roster.of(order.body["roster"])
                central.follow(roster)
                speaker.follow(roster)


__all__ = ["Central", "run"]
