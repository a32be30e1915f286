"""One edge process: active, or a spare that keeps the active one's records and has its sockets.

What it does: joins the parts of an edge, and follows the launcher's orders. What it does not: anything for a call
(`calls`), or answer for one (`requests`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from nodes import priority, watch
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.call.placing import seat_of
from nodes.config import Config
from nodes.edge.browser import BrowserLeg
from nodes.edge.call import CallActor
from nodes.edge.calls import Calls
from nodes.edge.capacity import MOST
from nodes.edge.ears import Engines
from nodes.edge.fetch import Fetcher
from nodes.edge.forgetting import Forgetting
from nodes.edge.leg import Leg, SipLeg
from nodes.edge.post import Post
from nodes.edge.record_store import RecordStore
from nodes.edge.refusals import Refusals
from nodes.edge.registration import TrunkRegistration
from nodes.edge.requests import Requests
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Trunk
from nodes.edge.views import Views
from nodes.edge.warm_up import WarmUp
from nodes.edge.will import Will
from nodes.edge_names import edges
from nodes.links import incarnation, trees
from nodes.links.cluster_view import ClusterView
from nodes.links.contact_key import contact_key, fingerprint
from nodes.links.do_not_call import DoNotCall
from nodes.links.finding import Finder
from nodes.links.forgotten import Forgotten
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Roster
from nodes.links.settings import Settings
from nodes.links.spokesman import Spokesman
from nodes.links.tasks import Tasks, closing, failing_at_once
from nodes.mesh.far import Far
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.telemetry import logs
from protocols.wire.ids import Identity, process_of
from protocols.wire.load import GivesUp
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket
from supervisors import (
    AutoShutdown,
    Backoff,
    Child,
    ChildExited,
    ChildStarted,
    Dynamic,
    Event,
    Restart,
    Supervisor,
    is_abnormal,
    running,
)
from supervisors.parent import Activate, Parent, Stop, Told

log = logs.get(__name__)
REGISTERS_AGAIN = Backoff(first_s=1.0, top_s=60.0, reset_after_s=120.0)


def one_call(services: EdgeServices) -> Callable[[RecordStore], Supervisor]:
    """Return the tree of one call: the leg keeps the telephone connected, the call talks; both end, then it is over."""

    def tree(store: RecordStore) -> Supervisor:
        def leg() -> Leg:
            if seat_of(store.record.order.target):
                return BrowserLeg(store, services.mesh, services.until_kept)
            return SipLeg(store, services.trunk, services.until_kept)

        return Supervisor(
            [
                Child(lambda: Will(store, services), id="will"),
                Child(leg, id="leg", restart=Restart.TRANSIENT, significant=True),
                Child(lambda: CallActor(store, services), id="call", restart=Restart.TRANSIENT, significant=True),
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
        closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
        closing(await Bus.connect(me, name=identity, node_id=config.node.id, spool=config.paths.spool)) as bus,
        closing(Fetcher(config.fetch.allow, has_examples=config.fetch.examples)) as fetcher,
        Tasks() as tasks,
    ):
        await _run(parent, config, mesh, bus, fetcher, tasks)


async def _run(parent: Parent, config: Config, mesh: Mesh, bus: Bus, fetcher: Fetcher, tasks: Tasks) -> None:
    trunk = Trunk(config, parent.sockets["sip"])

    post = Post(bus, lambda: services.gives_up(GivesUp.TRANSCRIPTS), lambda event: calls.noted(event))
    key = contact_key(config.paths.state)
    listed = DoNotCall(bus.kv(Bucket.DNC), KeptList(config.paths.state / FILE, fingerprint(key)))
    refusals = Refusals(listed, key, tasks)
    settings = Settings(config, bus.kv(Bucket.CONFIG))
    engines = Engines(mesh, config.paths.prompts, settings.config.speech)
    services = EdgeServices(
        settings.config, mesh, trunk, engines, post.take, refusals, fetcher=fetcher, fills_up=post.fills_up
    )
    settings.changed = services.change
    settings.serve(mesh)
    tasks.spawn(settings.follow())
    start, registers = one_call(services), [account for account in config.sip.trunks if account.register]
    most = 2 * (config.edge.capacity or MOST)  # those that it takes, and as many that it takes over
    tree = Supervisor(
        [
            Dynamic(start, id="calls", max_children=most, restart=Restart.TEMPORARY),
            Dynamic(TrunkRegistration, id="registrations", restart=Restart.PERMANENT, backoff=REGISTERS_AGAIN),
        ]
    )
    async with running(tree, hook=_note) as system:
        views = Views(bus, config.node.id, process_of(mesh.identity), edges(config))
        calls = Calls(services, system.dynamic("calls", start), views, incarnation.of(os.getppid()), tasks)

        paths = config.paths
        forgetting = Forgetting(config.recording_roots, paths.checkpoint.parent, paths.prompts, calls, engines)
        forgotten = Forgotten(forgetting.forget)
        tasks.spawn(forgotten.follow(bus.kv(Bucket.FORGOTTEN)))
        seen = ClusterView(bus, watched=(Bucket.AGENTS,))
        services.agents = lambda: seen.things(Bucket.AGENTS).values()

        async def activate() -> None:
            with priority.first("successor", then="edge"):
                calls.activate()
            seen.open(tasks)
            tasks.spawn(calls.wake_all())
            tasks.spawn(views.run())
            tasks.spawn(calls.load.run())
            tasks.spawn(forgotten.run())
            for account in registers:
                await system.dynamic("registrations", TrunkRegistration).start(trunk, account)

        calls.serve()
        warm_up = WarmUp(services)
        further = lambda: post.figures() | settings.figures() | warm_up.figures()  # noqa: E731
        requests = Requests(services, calls, further, lambda: settings.versions)
        requests.serve()
        forgotten.serve(mesh)
        Finder(config, lambda _: forgetting.find(forgotten.people.values())).serve(mesh)
        speaker = Spokesman(mesh, bus, config, services.members, tasks, requests.of_node)
        tasks.spawn(speaker.run())
        trees.serve(mesh, system.census)
        Far(mesh, system)  # other processes may watch the calls
        with failing_at_once():  # a tree that is stopped in order hangs up on everybody
            if not parent.is_spare:
                warm_up.begin()
            await parent.ready(mesh.whereabouts())
            if not parent.is_spare:
                await activate()
                tasks.spawn(warm_up.run())
            async for order in parent.orders:
                match order:
                    case Activate():
                        await activate()
                    case Told(body={"roster": roster}):
                        calls.follow(Roster.of(roster))
                        requests.follow()
                        speaker.follow(services.roster)
                    case Stop(launcher_died=True):
                        os.kill(os.getpid(), signal.SIGKILL)  # the kernel is about to; a goodbye would end all calls
                    case Stop():
                        services.is_stopping = True
                        await calls.stop()
                        trunk.close()
                    case _:
                        pass
    calls.disk.close()


def _note(event: Event) -> None:
    """Log what is out of the ordinary: that the tree of a call begins and ends is told by the call's own events."""
    is_new = isinstance(event, ChildStarted) and not event.restarts
    is_over = isinstance(event, ChildExited) and not is_abnormal(event.reason)
    if not (is_new or is_over or watch.is_told(event)):
        log.info("supervision", what=type(event).__name__, detail=str(event))


__all__ = ["one_call", "run"]
