"""The next dial, decided: which campaign, which contact, and whether they may be called.

Decides on what is known and returns what to write down; writing and dialling are the leader's. The order of the
questions is that of the way of a call: pacing and due contacts say who is a candidate, the scheduler whose turn it is,
`may_call` about the contact, admission about the moment.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from nodes.central.admission import Admission
from nodes.central.agenda import LOOK_AGAIN_S, Agenda
from nodes.central.campaign import Campaign, Campaigns
from nodes.central.may_call import Pass, may_call
from nodes.central.scheduler import Scheduler, weight
from nodes.central.spend import FREE, Fares
from nodes.dial_plan import Barred, nothing_barred
from protocols.wire.campaigns import ContactId, Plan, attempt_id
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Attempted, CampaignPhase, Contact, Ended, Refused, Returned

LOOKS = 200
"""Contacts asked about in one turn of the loop: 5 ms of work."""
MORE_EDGES = ("", "concurrency", "no_edge", "edges_full", "tokens")
"""Why a campaign is held where more machines would have it go on, or where it goes on."""
MOST_COUNTED = 2_000
"""Contacts of a campaign who are due again: no more are counted, which takes a millisecond, once a second."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When, and with what at hand, a dial is decided. `wall`: aware; `now`: seconds of the journal.

    `room`: how many more calls the edges take, as they say.
    """

    wall: datetime
    now: float
    n_edges: int
    do_not_call: Collection[ContactId]
    room: float = math.inf


class Dialler:
    """Chooses dial after dial from a fold that its leader keeps up to date."""

    def __init__(
        self, campaigns: Campaigns, admission: Admission, trunks: Collection[str], barred: Barred = nothing_barred,
        fares: Fares = FREE, n_streams: int = 1,
    ) -> None:  # fmt: skip
        """`trunks`: by name, the first is the one of campaigns that name none; with their dial plans and `fares`.

        `n_streams`: of events, among which new calls are dealt out.
        """
        self._n_streams = n_streams
        self._fold = campaigns
        self._admission, self._barred, self._fares = admission, barred, fares
        self._first_trunk = next(iter(trunks), "none")
        self._agendas: dict[CampaignId, Agenda] = {}
        self._scheduler = Scheduler[CampaignId]()
        self.complexity: dict[CampaignId, float] = {}
        self.held: dict[CampaignId, str] = {}
        """Why a campaign dialled nobody when it was last looked at."""

    def change(self, barred: Barred, fares: Fares) -> None:
        """Go on with other dial plans and fares of the same trunks."""
        self._barred, self._fares = barred, fares

    def next(self, moment: Moment) -> Attempted | Refused | None:
        """Return the next thing to write down, or None when there is nothing to do at this moment."""
        for _ in range(LOOKS):
            campaign = self._whose_turn(moment)
            if campaign is None:
                return None
            if decided := self._decide(campaign, moment):
                return decided
        return None

    def ended(self, entry: Ended | Returned) -> None:
        """Take note of an attempt's end, after the fold has."""
        campaign = self._fold.campaigns[entry.campaign_id]
        row = campaign.row_of(entry)
        if row is None:
            return  # they are forgotten
        due = campaign.progress(row).due
        if due is not None:
            self._agenda(campaign).put(row, due)

    def queue(self, now: float) -> tuple[int, int]:
        """Return how many calls campaigns would begin now if machines took them, and how many contacts are due."""
        begun = waiting = 0
        for name, campaign in self._fold.campaigns.items():
            if campaign.phase is CampaignPhase.RUNNING and self.held.get(name, "") in MORE_EDGES:
                n_due = self._agenda(campaign).n_due(now, MOST_COUNTED)
                begun += min(n_due, calls_to_place(campaign.plan, campaign.n_in_flight))
                waiting += n_due
        return begun, waiting

    def _whose_turn(self, moment: Moment) -> Campaign | None:
        weights = {
            name: weight(campaign.plan.share, self.complexity.get(name, 0.0))
            for name, campaign in self._fold.campaigns.items()
            if campaign.phase is CampaignPhase.RUNNING and self._is_candidate(campaign, moment)
        }
        chosen = self._scheduler.choose(weights)
        return self._fold.campaigns[chosen] if chosen is not None else None

    def _is_candidate(self, campaign: Campaign, moment: Moment) -> bool:
        row = self._agenda(campaign).peek(moment.now)
        if row is None:
            return False  # `held` stays: it says why those who were due are not any more
        self.held[campaign.campaign_id] = self._objection(campaign, campaign.roll.contact(row), moment)
        return not self.held[campaign.campaign_id]

    def _objection(self, campaign: Campaign, contact: Contact, moment: Moment) -> str:
        if not calls_to_place(campaign.plan, campaign.n_in_flight):
            return "concurrency"
        trunk, in_flight = self._trunk(campaign, contact), self._fold.in_flight
        if reason := self._admission.objection(trunk, len(in_flight), moment.n_edges, moment.room, moment.now):
            return reason
        is_paid = self._fares.allows(contact.target, trunk, self._fold.spent, in_flight.values(), moment.now)
        return "" if is_paid else "spend"

    def _decide(self, campaign: Campaign, moment: Moment) -> Attempted | Refused | None:
        """Return what becomes of the campaign's next contact; None when that is nothing for now."""
        at = campaign.at(moment.wall)
        row = self._agenda(campaign).take(moment.now)
        if row is None:
            return None
        contact = campaign.roll.contact(row)
        name = contact.contact_id
        callee = self._fold.callee(contact, name in moment.do_not_call, moment.now)
        barred = self._barred(contact.target, self._trunk(campaign, contact))
        verdict = may_call(replace(callee, barred=barred), campaign.plan, at)
        if isinstance(verdict, Pass):
            return self._attempt(campaign, row, contact, verdict, at, moment.now)
        self.held[campaign.campaign_id] = verdict.rule_id
        if verdict.for_good:
            return Refused(campaign.campaign_id, name, verdict.rule_id, at, row)
        self._agenda(campaign).put(row, moment.now + LOOK_AGAIN_S)
        return None

    def _attempt(
        self, campaign: Campaign, row: int, contact: Contact, passed: Pass, at: datetime, now: float
    ) -> Attempted:
        n = campaign.progress(row).n_attempts + 1
        trunk = self._trunk(campaign, contact)
        self._admission.begin(trunk, now)
        return Attempted(
            campaign_id=campaign.campaign_id,
            contact_id=contact.contact_id,
            attempt_id=attempt_id(campaign.campaign_id, contact.contact_id, n, self._n_streams),
            n=n,
            at=at,
            trunk=trunk,
            consent=contact.consent,
            passed=passed.rules,
            journal_s=now,
            row=row,
            price=self._fares.price(contact.target, trunk),
        )

    def _trunk(self, campaign: Campaign, contact: Contact) -> str:
        """Return through which trunk a contact is called; empty for a SIP URI, which says itself where to go."""
        return campaign.plan.trunk or self._first_trunk if contact.target.startswith("+") else ""

    def _agenda(self, campaign: Campaign) -> Agenda:
        if campaign.campaign_id not in self._agendas:
            self._agendas[campaign.campaign_id] = Agenda(campaign)
        return self._agendas[campaign.campaign_id]


def calls_to_place(plan: Plan, n_in_flight: int) -> int:
    """Return how many calls a campaign may begin now, with `n_in_flight` attempts between dial and end.

    Progressive and predictive pacing would look at free agents and at how long people take to answer; this is the plain
    rule, a campaign's own number of calls at one time.

    >>> calls_to_place(Plan(concurrency=10), 7), calls_to_place(Plan(concurrency=10), 12)
    (3, 0)
    """
    return max(0, plan.concurrency - n_in_flight)


__all__ = ["Dialler", "Moment", "calls_to_place"]
