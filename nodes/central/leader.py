"""The central that holds the lease: dials, and learns what comes of it.

Its loops share one fold. One asks the dialler what to do next, writes it down, and only then, if the lease is still
held, gives the call to an edge. Two read events, and only those of how calls go and of opt-outs, and write down how
attempts went. All end when the lease is lost; whoever takes it next reads the journal and goes on.

An attempt that is written down and reaches no edge is dialled by nobody: it ends as lost, and the retry rule decides.
That may cost a contact ten seconds, and never a second ring: whether an edge has it is asked of all of them (`search`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from nodes import dial_plan
from nodes.bus.bus import Bus
from nodes.bus.consumer import Received
from nodes.bus.lease import Lease
from nodes.central.admission import Admission
from nodes.central.campaign import Campaign
from nodes.central.dialler import Dialler, Moment
from nodes.central.edges import Edges
from nodes.central.forgetting import Forgetting
from nodes.central.memory import Memory
from nodes.central.memory_store import JOURNAL_LOST, MemoryStore
from nodes.central.outcomes import ended, entry_of, lost, returned, trunk_works
from nodes.central.places import Places
from nodes.central.scale import Advising, Seen
from nodes.central.scheduler import Mean
from nodes.central.search import Search
from nodes.central.spend import Fares
from nodes.config import Config, Trunk
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import AskTimeout, BusAway, ObjectBroken, PeerGone, Refused, StreamBroken
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs, spans
from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import CampaignStatus, contact_of
from protocols.wire.do_not_call import Listing
from protocols.wire.events import CallEvent, Kind, from_body
from protocols.wire.ids import CallId, CampaignId, Identity, NodeId
from protocols.wire.journal import Attempted, CampaignPhase, Contact, Ended, Entry, Forgotten, Returned
from protocols.wire.load import NOT_NOW, GivesUp
from protocols.wire.messages import PlaceCall
from protocols.wire.roles import CALLS, CENTRAL_READS
from protocols.wire.subjects import EVENT_STREAMS, Bucket, events_of, state, stream_of

NEVER: Final = ("bad_name", "bad_target", "bad_caller_id", "bad_ring", dial_plan.REFUSED)
"""How an edge's refusals begin that would be the same tomorrow."""
CLUSTER: Final = "cluster"
"""In the place of a node's name: all of them."""
TICK_S: Final = 0.25
"""How soon a freed place, a new token or an opened window is noticed."""
LISTEN_S: Final = 1.0
"""How long to wait for an event; one that comes is told at once."""
UNSURE: Final = frozenset(("internal_error", "bad_reply", "cancelled", "not_leading"))
"""Refusals that do not say whether the order was carried out, or may be by whoever leads now."""
NOBODYS: Final = -1
"""A token that every edge refuses: the lease was lost in this moment."""

log = logs.get(__name__)


class Leader:
    """The work of one term. Which `places` there are, and `memory`, are kept up to date by its owner."""

    def __init__(
        self, config: Config, bus: Bus, mesh: Mesh, lease: Lease, memory: Memory, do_not_call: DoNotCall,
        n_streams: int = 1,
    ) -> None:  # fmt: skip
        """`n_streams`: of events that there are, which may be more than new calls are dealt out among."""
        self._config, self._bus, self._mesh, self._lease = config, bus, mesh, lease
        self._memory, self._do_not_call, self._clock = memory, do_not_call, memory.clock
        self._fold, self._n_streams = memory.campaigns, n_streams
        self._trunks, rates = _trunks(config)
        limits = config.central
        self._admission = Admission(rates, self._clock.now(), limits.base, limits.max_concurrent)
        self.dialler = Dialler(
            self._fold, self._admission, rates, dial_plan.barred_by(config.sip), Fares(self._trunks),
            config.recorder.streams,
        )  # fmt: skip
        self.places = Places()
        self.advising, self._n_ended = Advising(config.scale), 0
        self.edges = Edges(mesh, self.places, self._look)
        self.memory_store = MemoryStore(bus, memory)
        self.forgetting = Forgetting(bus, memory, self.memory_store.is_clean, n_streams)
        self.search = Search(mesh, self.places, self._fold, lambda: lease.token)
        self._given_up: dict[str, GivesUp] = {}
        self._talk: dict[CampaignId, Mean] = {}
        self._told_held: dict[CampaignId, str] = {}
        self._changed: set[CampaignId] = set()
        """Campaigns of which the journal has said something since they were last published."""

    def follow(self, config: Config) -> None:
        """Have the next dial go by these limits and trunks."""
        self._trunks, rates = _trunks(config)
        limits = config.central
        self._admission.change(rates, self._clock.now(), limits.base, limits.max_concurrent)
        self.dialler.change(dial_plan.barred_by(config.sip), Fares(self._trunks))

    @property
    def is_on(self) -> bool:
        """Whether the term goes on: the lease is held, and the memory still has the fold that it began with."""
        return self._lease.token is not None and self._memory.campaigns is self._fold

    async def dial(self, tasks: Tasks) -> None:
        """Dial whoever may be dialled, until the term is over. Placing a call is a task of `tasks`."""
        while self.is_on:
            self._degrade()
            now, places = self._clock.now(), self.places
            self._admission.follow(places.cores, now)
            moment = Moment(self._clock.wall(), now, places.n_open, self._do_not_call.contacts, places.room)
            entry = None if self._held() else self.dialler.next(moment)
            if entry is None:
                self._tell()
                await asyncio.sleep(TICK_S)
                continue
            await self._memory.write(entry)
            if isinstance(entry, Attempted):
                self._place(entry, tasks)

    def _held(self) -> str:
        """Return why nobody is dialled, whoever it is: one word, or nothing."""
        # fail closed: whoever does not know the list might dial somebody on it
        if not self._do_not_call.is_known:
            return "do_not_call_unknown"
        return JOURNAL_LOST if self._memory.unsure else ""

    async def listen(self, number: int, durable: str) -> None:
        """Read one of `CENTRAL_READS` of a stream, and write down what its events mean, until the term is over."""
        consumer = self._bus.consume(
            EVENT_STREAMS[number], durable, events_of(CENTRAL_READS[durable], number, self._n_streams)
        )
        while self.is_on:
            try:
                received = await consumer.fetch(LISTEN_S)
                for one in received:
                    await self._learn(one)
                await consumer.ack(received)
                if durable == CALLS and (not received or not received[-1].n_behind):
                    await self._give_up_lost(number)  # all that it has of calls has been read
            except BusAway:
                await asyncio.sleep(TICK_S)

    def figures(self) -> dict[str, float]:
        """What an operator sees of the term."""
        return self._admission.breakers.figures() | {
            "room": float(self.places.room),
            "edges": float(self.places.n_open),
            "moved": float(self.edges.n_moved),
            **self.advising.figures(),
        }

    def status(self, campaign: Campaign) -> CampaignStatus:
        """Return a campaign as an operator sees it."""
        return campaign.status(self._why_held(campaign))

    def _why_held(self, campaign: Campaign) -> str:
        if campaign.phase is not CampaignPhase.RUNNING:
            return ""
        return self._held() or self.dialler.held.get(campaign.campaign_id, "")

    # ---- placing ---------------------------------------------------------------------------------------------------

    def _place(self, attempt: Attempted, tasks: Tasks) -> None:
        """Have an attempt dialled, if it is ours: written by us, and we still are who may."""
        is_ours = (
            self._fold.in_flight.get(attempt.contact_id) == attempt
            and self._campaign(attempt).row_of(attempt) is not None
        )
        if not is_ours or not self.is_on:
            return
        trunk = self._trunks.get(attempt.trunk)
        edge = self.places.next(trunk.zone if trunk else "")
        tasks.spawn(until_lost(self._ask(edge, attempt) if edge else self._return(attempt, "no_edge")))

    async def _return(self, attempt: Attempted, reason: str) -> None:
        """Nobody takes calls just now: the contact is due again, and not one attempt poorer."""
        at = self._campaign(attempt).at(self._clock.wall())
        await self._memory.write(returned(attempt, reason, at, self._clock.now()))

    async def _ask(self, edge: Identity, attempt: Attempted) -> None:
        try:
            with spans.stage("dispatch", spans.begun(CallId(attempt.attempt_id)), n=attempt.n):
                await self._mesh.ask(edge, self._order(attempt))
        except Refused as refused:
            if refused.reason in UNSURE:
                log.warning(
                    "attempt.unknown", campaign_id=attempt.campaign_id, call_id=attempt.attempt_id, error=refused.reason
                )
                return
            self.places.refused(edge, refused.reason)
            log.warning(
                "attempt.refused", campaign_id=attempt.campaign_id, call_id=attempt.attempt_id, reason=refused.reason
            )
            if refused.reason in NOT_NOW:
                return await self._return(attempt, refused.reason)
            at = self._campaign(attempt).at(self._clock.wall())
            disposition = "invalid" if refused.reason.startswith(NEVER) else "failed"
            await self._memory.write(ended(attempt, disposition, refused.reason, at, self._clock.now(), 0.0))
        except (PeerGone, AskTimeout) as error:  # it may have been dialled: its events will tell, or the search
            log.warning(
                "attempt.unknown", campaign_id=attempt.campaign_id, call_id=attempt.attempt_id, error=str(error)
            )

    def _order(self, attempt: Attempted) -> PlaceCall:
        campaign = self._campaign(attempt)
        contact = campaign.roll.contact(attempt.row)
        return PlaceCall(
            attempt_id=attempt.attempt_id,
            call_id=CallId(attempt.attempt_id),
            target=target_of(contact, self._trunks.get(attempt.trunk)),
            script=campaign.script,
            slots=dict(contact.slots),
            campaign_id=attempt.campaign_id,
            caller_id=campaign.plan.caller_id,
            ring_s=campaign.plan.ring_s,
            is_recorded=campaign.plan.recording != "none",
            owner=campaign.plan.owner,
            token=self._lease.token or NOBODYS,
        )

    # ---- learning --------------------------------------------------------------------------------------------------

    async def _learn(self, received: Received) -> None:
        try:
            event = from_body(received.body)
        except RemoteProtocolError as error:  # the recorder keeps it
            log.warning("event.unreadable", sequence=received.sequence, error=str(error))
            return
        if event.kind is Kind.ENDED:
            self._count(event)
            attempt, works = self._fold.in_flight.get(contact_of(event.attempt_id)), trunk_works(event)
            if attempt is not None and attempt.attempt_id == event.attempt_id and works is not None:
                self._admission.told(attempt.trunk, works, self._clock.now())
        if event.kind is Kind.OPT_OUT and (contact := contact_of(event.attempt_id)):
            said = Listing(contact, True, "callee", str(event.fields["by"]), event.wall.isoformat())
            try:
                await self._do_not_call.take([said])
            except OSError as error:  # everybody else has it, and the disk's trouble is told elsewhere
                log.error("do_not_call.file", error=str(error))
        if entry := entry_of(event, self._fold, self._clock.now()):
            await self._memory.write(entry)

    async def _give_up_lost(self, number: int) -> None:
        for attempt in self.search.lost():
            stream = stream_of(attempt.attempt_id)
            if number != (stream if stream < self._n_streams else 0):  # else somebody has deleted it
                continue
            if await self._is_elsewhere(attempt):
                self.search.found(attempt)
                continue
            at = self._campaign(attempt).at(self._clock.wall())
            entry = lost(attempt, self._fold, at, self._clock.now())
            log.warning(
                "attempt.lost",
                campaign_id=attempt.campaign_id,
                call_id=attempt.attempt_id,
                disposition=entry.disposition,
            )
            await self._memory.write(entry)

    async def _is_elsewhere(self, attempt: Attempted) -> bool:
        """Say whether a node shows the call as one of its own whose edges could not be asked."""
        shown = await self._bus.kv(Bucket.CALLS).get(attempt.attempt_id)
        if shown is None or shown.value is None:
            return False
        return self.places.is_elsewhere(NodeId(str(shown.value.get("node"))))

    def heard(self, entry: Entry) -> None:
        """Take note of what is now known, whoever wrote it down."""
        self._changed |= self._fold.campaigns.keys() if isinstance(entry, Forgotten) else {entry.campaign_id}
        if isinstance(entry, Ended | Returned):
            self.dialler.ended(entry)
        self._n_ended += isinstance(entry, Ended)

    def _look(self, now: float) -> None:
        """Work out anew how many machines there should be."""
        begun, waiting = (0, 0) if self._held() else self.dialler.queue(self._clock.now())
        peak = self._config.scale.peak(self._clock.wall())
        self.advising.step(Seen(self.places.machines(), begun, waiting, self._n_ended, peak), now)

    def _count(self, event: CallEvent) -> None:
        """Learn how much conversation calls of this campaign, and of this node, are."""
        if not event.fields["duration_s"]:
            return  # nobody has answered
        turns, recognition_ms = (
            told if isinstance(told := event.fields.get(word), int) else 0 for word in ("turns", "recognition_ms")
        )
        complexity = turns + recognition_ms / 1000
        talk = self._talk.setdefault(event.campaign_id, Mean())
        talk.learn(complexity)
        self.dialler.complexity[event.campaign_id] = talk.value
        self.places.ended(event.node_id, complexity)

    def _campaign(self, attempt: Attempted) -> Campaign:
        return self._fold.campaigns[attempt.campaign_id]

    def _tell(self) -> None:
        """Publish what has changed of the campaigns, for whoever keeps a view; what was not sent is changed still."""
        for name, campaign in self._fold.campaigns.items():
            held = self._why_held(campaign)
            if name in self._changed or self._told_held.get(name) != held:
                status = msgspec.to_builtins(campaign.status(held))
                if self._bus.publish(state("campaigns", name), {"rev": self._memory.last, **status}):
                    self._told_held[name] = held
                    self._changed.discard(name)

    def _degrade(self) -> None:
        """Publish what each node has given up, and what all of them have, when that has changed."""
        for name, gives_up in (*self.places.given_up.items(), (CLUSTER, self.places.gives_up)):
            if gives_up is not self._given_up.get(name, GivesUp.NOTHING):
                self._given_up[name] = gives_up
                log.warning("load.gives_up", what=gives_up.name.lower(), of=name)
                self._bus.publish(state("load", name), {"gives_up": gives_up.name.lower(), "rev": self._lease.token})


def _trunks(config: Config) -> tuple[dict[str, Trunk], dict[str, float]]:
    """Return the trunks and their calls per second, by name."""
    trunks = {trunk.name: trunk for trunk in config.sip.trunks}
    return trunks, {name: trunk.cps for name, trunk in trunks.items()}


async def until_lost(work: Coroutine[Any, Any, None]) -> None:
    """Do the work of a term. That NATS or its journal has gone is the end of the term, and not of the process."""
    try:
        await work
    except (BusAway, StreamBroken, ObjectBroken) as error:
        log.warning("central.stopped_writing", error=str(error))


def target_of(contact: Contact, trunk: Trunk | None) -> str:
    """Return the SIP URI to dial: the contact's own, or their number at the trunk (RFC 3261 s.19.1.6).

    >>> target_of(Contact("c", "+4930123456"), Trunk("carrier", "sip.example.net"))
    'sip:+4930123456@sip.example.net:5060;user=phone'
    """
    if trunk is None:
        return contact.target
    return dial_plan.uri_at(contact.target, trunk)


__all__ = ["Leader", "target_of", "until_lost"]
