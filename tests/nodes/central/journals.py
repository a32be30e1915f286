"""Journals for tests without a bus: the entry that imports a list, and the fold of entries whose lists are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256

from nodes.central.campaign import Campaigns
from nodes.central.roll import Roll
from protocols.wire.campaigns import Plan
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Contact, Entry, Imported, RollRef

ROLLS: dict[str, Roll] = {}


def imported(
    campaign: CampaignId, contacts: Sequence[Contact], at: datetime, plan: Plan | None = None, shift_s: float = 0.0
) -> Imported:
    name = f"roll.{campaign}.{sha256(repr(contacts).encode()).hexdigest()}"
    ROLLS[name] = Roll.of(contacts)
    stored = RollRef(name, "SHA-256=x", len(contacts))
    return Imported(campaign, "i", plan or Plan(), "flow: x", at, stored, shift_s)


def folded(entries: Iterable[Entry]) -> Campaigns:
    told = list(entries)
    campaigns = Campaigns(rolls=dict(ROLLS))
    for entry in told:
        campaigns.apply(entry)
    return campaigns
