"""What central writes down: the events of the stream `RM_CAMPAIGN`, whose fold is all that central knows.

Each is one JSON object with its `kind`. Central reads them back when it takes over; the recorder reads them for the
ledger. A moment (`at`) is campaign time: the wall clock, or in a rehearsal the rehearsed one; it is for calling hours
and for people. How long ago something was is told by `journal_s`, seconds of the journal's own clock, which nobody sets
(`nodes/central/clock.py`).

An import is one entry: the contacts are an object of the bucket `rm_journal`, which is whole before the entry is
written (`nodes/central/roll.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, Plan
from protocols.wire.ids import AttemptId, CallId, CampaignId


class CampaignPhase(Enum):
    """What a campaign is doing."""

    IMPORTED = "imported"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Contact:
    """A person to call, as their list says."""

    contact_id: ContactId
    target: str
    """An E.164 number with `+`, or a SIP URI."""
    zones: tuple[str, ...] = ()
    """Every IANA zone they may be living in; empty: nobody knows."""
    consent: str = ""
    """The record of their consent, or empty."""
    slots: dict[str, str] = field(default_factory=dict)
    """What the script may say of them: the list's further columns, and the name."""


@dataclass(frozen=True, slots=True)
class RollRef:
    """Where the contacts of a campaign are: an object, and the hash of its bytes (`SHA-256=...`)."""

    name: str
    digest: str
    contacts: int


@dataclass(frozen=True, slots=True)
class Imported:
    """The list is complete: from here on the campaign exists."""

    campaign_id: CampaignId
    import_id: str
    plan: Plan
    script: str
    """The script's text, for those who look."""
    at: datetime
    roll: RollRef
    shift_s: float = 0.0
    """Campaign time less wall time: not 0 in a rehearsal."""
    packed: bytes = b""
    """The script as it was checked (`grammars.script_pack`), for those who dial; base64 in JSON."""


@dataclass(frozen=True, slots=True)
class Steered:
    """Somebody has started, paused or stopped the campaign."""

    campaign_id: CampaignId
    phase: CampaignPhase
    at: datetime


@dataclass(frozen=True, slots=True)
class Attempted:
    """A contact is about to be dialled. Acknowledged by the stream before any edge hears of it."""

    campaign_id: CampaignId
    contact_id: ContactId
    attempt_id: AttemptId
    n: int
    """The how-manieth dial of this contact in this campaign, from 1."""
    at: datetime
    trunk: str
    consent: str
    passed: tuple[str, ...]
    """The rules of `may_call` that were asked and had no objection."""
    journal_s: float = 0.0
    row: int = -1
    """Where in the campaign's list the contact is."""
    price: float = 0.0
    """What a minute costs, by the trunk's prices at that moment."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody has taken the call."""

    campaign_id: CampaignId
    contact_id: ContactId
    attempt_id: AttemptId
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over."""

    campaign_id: CampaignId
    contact_id: ContactId
    attempt_id: AttemptId
    disposition: str
    cause: str
    at: datetime
    journal_s: float = 0.0
    row: int = -1
    cost: float = 0.0
    """What the call has cost, as far as the trunk's prices say."""


@dataclass(frozen=True, slots=True)
class Returned:
    """No edge takes calls just now: the attempt was none, nobody was dialled, and the contact is due again."""

    campaign_id: CampaignId
    contact_id: ContactId
    attempt_id: AttemptId
    reason: str
    at: datetime
    journal_s: float = 0.0
    row: int = -1


@dataclass(frozen=True, slots=True)
class Refused:
    """A rule that will not change its mind: the contact is never dialled in this campaign."""

    campaign_id: CampaignId
    contact_id: ContactId
    rule_id: str
    at: datetime
    row: int = -1


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Somebody is to be forgotten, in all campaigns: nothing of them stays but their name, which is a hash.

    `at`: the wall clock, also in a rehearsal. `calls`: those with them that no campaign has made.
    """

    contact_id: ContactId
    at: datetime
    calls: tuple[CallId, ...] = ()


Entry: TypeAlias = Imported | Steered | Attempted | Answered | Ended | Returned | Refused | Forgotten

ENTRIES: dict[str, type[Entry]] = {
    "imported": Imported, "steered": Steered,
    "attempt": Attempted, "answered": Answered, "outcome": Ended, "returned": Returned, "refused": Refused,
    "forgotten": Forgotten,
}  # fmt: skip
"""Kind on the wire to entry."""
KINDS = {entry: kind for kind, entry in ENTRIES.items()}
VERSION: Final = 1
"""Of this page, in each entry; it rises when an entry of before must be read in another way. Fields and kinds that are
new need no new one: a field has a default, and whoever does not know a kind passes over it, and counts it."""


def to_body(entry: Entry) -> dict[str, object]:
    """Return the entry as a JSON-able dict.

    >>> at = datetime.fromisoformat("2026-03-03T10:00:00+01:00")
    >>> to_body(Steered(CampaignId("spring"), CampaignPhase.RUNNING, at))
    {'kind': 'steered', 'version': 1, 'campaign_id': 'spring', 'phase': 'running', 'at': '2026-03-03T10:00:00+01:00'}
    """
    return {"kind": KINDS[type(entry)], "version": VERSION, **msgspec.to_builtins(entry)}


def from_body(body: object) -> Entry:
    """Return the entry that a body tells. Raises RemoteProtocolError, naming the field, when it tells none."""
    kind = body.get("kind") if isinstance(body, dict) else None
    entry = ENTRIES.get(str(kind))
    if entry is None or not isinstance(body, dict):
        raise RemoteProtocolError("entry_kind", str(kind)[:40])
    try:
        told = msgspec.convert({key: value for key, value in body.items() if key not in ("kind", "version")}, entry)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("entry_field", str(error)) from error
    moment = getattr(told, "at", None)
    if moment is not None and moment.tzinfo is None:
        raise RemoteProtocolError("entry_field", "`at` has no offset")
    return told


__all__ = [
    "Answered", "Attempted", "Contact", "Ended", "Entry", "Forgotten", "Imported", "CampaignPhase", "Refused",
    "Returned", "RollRef", "Steered",
    "ENTRIES", "VERSION", "from_body", "to_body",
]  # fmt: skip
