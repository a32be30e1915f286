"""All that central knows of its campaigns: a fold over the journal, and nothing else.

`Campaigns.apply(entry)` looks at the entry and at what was applied before: no clock, no chance, no configuration. So a
central that takes over reads the journal and knows what its predecessor knew, and an entry that comes twice, or that
contradicts what is known (an outcome of an attempt that is over), changes nothing and is counted. The one thing beside
the journal is a roll, whose hash is in the entry that names it: it is put into `rolls` before that entry is applied.

Beside the roll something is kept only of those who were dialled or refused, and of those who are done it is the same
for all: a million contacts are their roll and little more.

The retry rules are applied here: when a contact may be dialled next follows from how the last dial ended, and from the
plan. What may hold it back at that moment is the business of `may_call`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias, assert_never

from nodes.central import spend
from nodes.central.may_call import Callee
from nodes.central.roll import Roll
from nodes.central.spend import Spent
from protocols.wire.campaigns import CampaignStatus, ContactId, Plan
from protocols.wire.forgetting import Person
from protocols.wire.ids import AttemptId, CampaignId
from protocols.wire.journal import (
    Answered,
    Attempted,
    CampaignPhase,
    Contact,
    Ended,
    Entry,
    Forgotten,
    Imported,
    Refused,
    Returned,
    RollRef,
    Steered,
)

DAYS_S = 3 * 86400.0
"""A dial that is older counts for no cap: a callee's day is less than 26 hours away from ours anywhere."""

Dial: TypeAlias = tuple[float, datetime]
"""When somebody was dialled: in seconds of the journal, and by the campaign's wall clock."""


class Progress(NamedTuple):
    """How far one contact is. Waiting: `due` and not `attempt`; in flight: `attempt`; done: neither.

    `due`: when they may be dialled, in seconds of the journal.
    """

    due: float | None
    n_attempts: int = 0
    attempt: AttemptId | None = None
    n_returned: int = 0
    """Of `n_attempts`, those that no edge has taken: they have an id, and do not count."""


WAITING = Progress(due=0.0)
DONE = Progress(due=None)


@dataclass(slots=True)
class Campaign:
    """One campaign: what was imported, and how far it is."""

    campaign_id: CampaignId
    plan: Plan
    script: bytes
    """Checked and packed, as it was imported."""
    shift: timedelta
    phase: CampaignPhase
    roll: Roll
    stored: RollRef | None = field(default=None, compare=False)
    """The object that the roll is; None: it has been changed."""
    touched: dict[int, Progress] = field(default_factory=dict)
    """How far those are who were dialled or refused, by row; all others wait."""
    dispositions: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    n_in_flight: int = 0
    n_talking: int = 0
    """Of those in flight, who have answered."""
    n_done: int = 0

    def at(self, wall: datetime) -> datetime:
        """Return the campaign's time: the wall clock, shifted in a rehearsal."""
        return wall + self.shift

    def progress(self, row: int) -> Progress:
        """Return how far the contact of a row is."""
        return self.touched.get(row, WAITING)

    def row_of(self, entry: Attempted | Ended | Returned | Refused) -> int | None:
        """Return the row of an entry's contact; None when they are not in this campaign, or forgotten."""
        is_there = 0 <= entry.row < len(self.roll) and self.roll.id_of(entry.row) == entry.contact_id
        return entry.row if is_there else None

    def status(self, held: str = "") -> CampaignStatus:
        """Return what an operator sees of it."""
        return CampaignStatus(
            campaign_id=self.campaign_id,
            phase=self.phase.value,
            contacts=len(self.roll),
            waiting=len(self.roll) - self.n_in_flight - self.n_done,
            in_flight=self.n_in_flight,
            talking=self.n_talking,
            done=self.n_done,
            dispositions=dict(self.dispositions),
            refused=dict(self.refused),
            held=held,
            retention_days=self.plan.retention_days,
            owner=self.plan.owner,
        )


@dataclass(slots=True)
class Campaigns:
    """The fold. Change it through `apply` only."""

    campaigns: dict[CampaignId, Campaign] = field(default_factory=dict)
    in_flight: dict[ContactId, Attempted] = field(default_factory=dict)
    """Whom we are calling: one attempt a contact, whatever the campaign."""
    talking: set[ContactId] = field(default_factory=set)
    """Those of them who have answered."""
    dialled: dict[ContactId, tuple[Dial, ...]] = field(default_factory=dict)
    """Dials of a contact in all campaigns, in the order of the journal, without those `DAYS_S` before the last."""
    rolls: dict[str, Roll] = field(default_factory=dict, repr=False, compare=False)
    """Rolls by the name of their object, of campaigns that are about to be imported."""
    forgotten: dict[ContactId, Person] = field(default_factory=dict)
    """Who is to be forgotten, and up to which moment: for good, for a backup may know them."""
    spent: Spent = field(default_factory=dict)
    """What the trunks' calls have cost in the last day."""
    n_ignored: int = 0
    """Entries that said nothing new, or something impossible."""

    def apply(self, entry: Entry) -> bool:
        """Take the journal's next entry; False, and counted, when it changes nothing."""
        has_changed = self._applied(entry)
        self.n_ignored += not has_changed
        return has_changed

    def callee(self, contact: Contact, do_not_call: bool, now: float) -> Callee:
        """Return the contact as `may_call` wants to see them, `now` seconds after the journal's beginning."""
        name = contact.contact_id
        dials = self.dialled.get(name, ())
        since_s = now - dials[-1][0] if dials else math.inf
        return Callee(contact, do_not_call, name in self.in_flight, tuple(at for _, at in dials), since_s)

    def _applied(self, entry: Entry) -> bool:
        match entry:
            case Imported():
                return self._import(entry)
            case Steered():
                return self._steer(entry)
            case Attempted():
                return self._attempt(entry)
            case Answered():
                return self._answer(entry)
            case Ended():
                return self._end(entry)
            case Returned():
                return self._return(entry)
            case Refused():
                return self._refuse(entry)
            case Forgotten():
                return self._forget(entry)
            case _:
                assert_never(entry)

    def _import(self, entry: Imported) -> bool:
        if entry.campaign_id in self.campaigns:
            return False
        roll = self.rolls.pop(entry.roll.name)
        self.campaigns[entry.campaign_id] = Campaign(
            campaign_id=entry.campaign_id,
            plan=entry.plan,
            script=entry.packed,
            shift=timedelta(seconds=entry.shift_s),
            phase=CampaignPhase.IMPORTED,
            roll=roll,
            stored=entry.roll,
        )
        return True

    def _steer(self, entry: Steered) -> bool:
        campaign = self.campaigns.get(entry.campaign_id)
        if campaign is None or campaign.phase is CampaignPhase.STOPPED:
            return False
        campaign.phase = entry.phase
        return True

    def _attempt(self, entry: Attempted) -> bool:
        campaign, row = self._find(entry)
        if campaign is None or row is None or entry.contact_id in self.in_flight:
            return False
        progress = campaign.progress(row)
        if progress.due is None or entry.n != progress.n_attempts + 1:
            return False
        campaign.touched[row] = Progress(progress.due, entry.n, entry.attempt_id, progress.n_returned)
        campaign.n_in_flight += 1
        self.in_flight[entry.contact_id] = entry
        recent = (dial for dial in self.dialled.get(entry.contact_id, ()) if entry.journal_s - dial[0] <= DAYS_S)
        self.dialled[entry.contact_id] = (*recent, (entry.journal_s, entry.at))
        return True

    def _answer(self, entry: Answered) -> bool:
        attempt = self.in_flight.get(entry.contact_id)
        if attempt is None or attempt.attempt_id != entry.attempt_id or entry.contact_id in self.talking:
            return False
        self.talking.add(entry.contact_id)
        self.campaigns[attempt.campaign_id].n_talking += 1
        return True

    def _end(self, entry: Ended) -> bool:
        attempt, campaign = self.in_flight.get(entry.contact_id), self.campaigns.get(entry.campaign_id)
        if attempt is None or campaign is None or attempt.attempt_id != entry.attempt_id:
            return False
        del self.in_flight[entry.contact_id]
        spend.add(self.spent, attempt.trunk, entry.cost, entry.journal_s)
        if entry.contact_id in self.talking:
            self.talking.remove(entry.contact_id)
            self.campaigns[attempt.campaign_id].n_talking -= 1
        row = campaign.row_of(attempt)
        campaign.n_in_flight -= 1
        campaign.dispositions[entry.disposition] += 1
        due = None
        if row is not None:  # else they are forgotten, and were counted then
            n_returned = campaign.progress(row).n_returned
            due = next_due(campaign.plan, entry.disposition, attempt.n - n_returned, entry.journal_s)
            campaign.touched[row] = DONE if due is None else Progress(due, attempt.n, None, n_returned)
        campaign.n_done += due is None
        return True

    def _return(self, entry: Returned) -> bool:
        """Have it as if it had not been, but for the id, which is used up: an edge may still know it."""
        attempt, campaign = self.in_flight.get(entry.contact_id), self.campaigns.get(entry.campaign_id)
        if attempt is None or campaign is None or attempt.attempt_id != entry.attempt_id:
            return False
        if entry.contact_id in self.talking:
            return False
        del self.in_flight[entry.contact_id]
        if dials := self.dialled.pop(entry.contact_id, ())[:-1]:
            self.dialled[entry.contact_id] = dials
        campaign.n_in_flight -= 1
        if (row := campaign.row_of(attempt)) is None:
            campaign.n_done += 1
        else:
            n_returned = campaign.progress(row).n_returned + 1
            campaign.touched[row] = Progress(entry.journal_s, attempt.n, n_returned=n_returned)
        return True

    def _refuse(self, entry: Refused) -> bool:
        campaign, row = self._find(entry)
        if campaign is None or row is None:
            return False
        progress = campaign.progress(row)
        if progress.attempt or progress.due is None:
            return False
        campaign.touched[row] = DONE
        campaign.n_done += 1
        campaign.refused[entry.rule_id] += 1
        return True

    def _forget(self, entry: Forgotten) -> bool:
        """Leave a contact out of every roll. A call that is up goes on, and its end is counted."""
        wanted, before = Person(entry.contact_id, entry.at, entry.calls), self.forgotten.get(entry.contact_id)
        self.forgotten[entry.contact_id] = wanted.over(before) if before else wanted
        rows = [(campaign, campaign.roll.find(entry.contact_id)) for campaign in self.campaigns.values()]
        self.dialled.pop(entry.contact_id, None)
        if attempt := self.in_flight.get(entry.contact_id):
            self.in_flight[entry.contact_id] = replace(attempt, consent="")
        for campaign, row in rows:
            if row is None:
                continue
            progress = campaign.progress(row)
            campaign.roll, campaign.stored = campaign.roll.without(row), None
            campaign.touched[row] = DONE
            if progress.attempt is None and progress.due is not None:
                campaign.n_done += 1
                campaign.refused["forgotten"] += 1
        return self.forgotten[entry.contact_id] != before or any(row is not None for _, row in rows)

    def _find(self, entry: Attempted | Refused) -> tuple[Campaign | None, int | None]:
        campaign = self.campaigns.get(entry.campaign_id)
        return campaign, campaign.row_of(entry) if campaign else None


def next_due(plan: Plan, disposition: str, n_attempts: int, now: float) -> float | None:
    """Return when to dial again after the `n_attempts`th dial ended so at `now`; None: the contact is done.

    >>> next_due(Plan(), "busy", 2, 100.0), next_due(Plan(), "busy", 4, 100.0)
    (1000.0, None)
    """
    waits = plan.retries.get(disposition, ())
    return now + waits[n_attempts - 1] if n_attempts <= len(waits) else None


__all__ = ["DONE", "Campaign", "Campaigns", "Progress", "next_due"]
