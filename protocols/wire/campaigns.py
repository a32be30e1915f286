"""Campaigns: what may be asked of central, the plan of a campaign, and the names of contacts and attempts.

The names are made here because three rooms must agree on them: central makes them, an edge compares a target with the
do-not-call list, the recorder knows a stream. A contact's name is a keyed hash of its target, so that neither a key
nor a subject holds a number (a number alone is guessed back from a plain hash in seconds; the key is what hides it).

What it does not: decide anything (`nodes/central`), or hold what central writes down (`journal.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import ClassVar, Final, NewType

from protocols.sip.callee import callee
from protocols.wire.ids import AttemptId, CallId, CampaignId
from protocols.wire.subjects import numbered

ContactId = NewType("ContactId", str)
"""A person to call, the same in every campaign: 32 hexadecimal digits that say nothing without the key."""
_CONTACT_ID: Final = re.compile(r"[0-9a-f]{32}")


def contact_id(target: str, key: bytes) -> ContactId:
    """Return the name of whoever answers at `target` (an E.164 number with `+`, or a SIP URI).

    However it is spelt (`protocols.sip.callee`): a number at some host is the same contact as the number.
    `key`: 16 to 64 secret bytes, the same on all nodes of a cluster. Source: BLAKE2b keyed mode, RFC 7693 s.2.9.

    >>> contact_id("+4930123456", bytes(32))
    'be03fbd7ea1ffcc1141b72da31591300'
    >>> contact_id("sip:+49-30-123456@sip.example.net", bytes(32))
    'be03fbd7ea1ffcc1141b72da31591300'
    """
    return ContactId(blake2b(callee(target).encode(), key=key, digest_size=16).hexdigest())


def is_contact_id(text: str) -> bool:
    """Return whether `contact_id` may have made this, or somebody something else.

    >>> is_contact_id("be03fbd7ea1ffcc1141b72da31591300"), is_contact_id("be03fbd7 a1ffcc1141b72da31591300")
    (True, False)
    """
    return _CONTACT_ID.fullmatch(text) is not None


def attempt_id(campaign: CampaignId, contact: ContactId, n: int, n_streams: int = 1) -> AttemptId:
    """Return the name of the `n`th dial (from 1) of `contact` in `campaign`: the same question, the same name.

    With several streams of events it says in which one its call's are (`subjects.numbered`).

    >>> attempt_id(CampaignId("spring"), ContactId("a4ee2b"), 2)
    'spring-a4ee2b-2'
    """
    return AttemptId(numbered(f"{campaign}-{contact}-{n}", n_streams))


def campaign_of(call_id: CallId) -> CampaignId:
    """Return whose call this is, by its name, which is its attempt's; empty: no campaign's.

    >>> campaign_of(CallId("spring-sale-a4ee2b-2")), campaign_of(CallId("7c1f_s3")), campaign_of(CallId("x-2"))
    ('spring-sale', '', '')
    """
    return CampaignId("".join(call_id.rsplit("-", 2)[:1]) if call_id.count("-") > 1 else "")


def contact_of(attempt: AttemptId) -> ContactId:
    """Return whom an attempt dials; empty for the attempt of a call that belongs to no campaign.

    >>> contact_of(AttemptId("spring-sale-a4ee2b-2")), contact_of(AttemptId("a-b-2_s3")), contact_of(AttemptId("7c1f"))
    ('a4ee2b', 'b', '')
    """
    return ContactId("".join(attempt.rsplit("-", 2)[1:-1]))


LEAST_RING_S: Final = 15.0
"""Or four rings: a call that is given up earlier is abandoned (16 CFR 310.4(b)(4)(ii))."""
RECORDING: Final = ("none", "notice", "asked")
"""Not recorded; the script says that it is; the callee was asked and agreed, with the record of their consent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a campaign calls. What is not said is the careful choice; central checks it before it keeps it."""

    opens_min: int = 8 * 60
    """Minutes after midnight, where the callee lives. 8:00 to 21:00: FCC 47 CFR 64.1200(c)(1)."""
    closes_min: int = 21 * 60
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """Weekdays on which to call, Monday is 0."""
    zone: str = ""
    """IANA zone of contacts who name none and whose number tells none; empty: they cannot be called."""
    needs_consent: bool = True
    """An artificial voice needs a record of consent (FCC 24-17)."""
    per_day: int = 3
    """Dials of one contact within one of their days, all campaigns together."""
    spacing_s: float = 300.0
    """Least time between two dials of one contact, all campaigns together."""
    retries: dict[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "busy": (300.0, 900.0, 3600.0),
            "no_answer": (3600.0, 14400.0),
            "machine": (14400.0,),
            "failed": (300.0, 900.0, 3600.0),
            "abandoned": (259200.0,),  # 72 h without a machine's call (Ofcom's statement on silent calls)
        }
    )
    """Retry rules: after the n-th dial ended with this disposition, wait the n-th number of seconds; past the end of
    the row, or without a row, the contact is done."""
    concurrency: int = 10
    """Calls of this campaign at one time."""
    share: float = 1.0
    """How much of the cluster it gets, against the other running campaigns."""
    trunk: str = ""
    """The trunk of its calls by name; empty: the first one."""
    caller_id: str = ""
    ring_s: float = 30.0
    """At least `LEAST_RING_S`."""
    recording: str = "none"
    """On what basis calls are recorded, one of `RECORDING`."""
    retention_days: int = 0
    """For so many days recordings are kept; 0: as long as `storage.retention_days` of the nodes' files says."""
    owner: str = ""
    """Whose recordings they are: one of `[owners]` of the nodes' files; empty: nobody's in particular."""
    region: str = ""
    """The country (ISO 3166, two letters) of numbers written without `+`; empty: there must be none."""
    clock: str = ""
    """A rehearsal's clock: an ISO 8601 moment with offset that it is when the campaign is imported. It runs on from
    there, so that calling hours can be tried at any hour. Such a campaign dials SIP URIs only, never a number."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file: where and why, in the words of who wrote it."""

    file: str
    line: int
    column: str
    """The column's heading, or empty when the whole line is meant."""
    reason: str


@dataclass(frozen=True, slots=True)
class ImportBegun:
    """The list may come, under this name; or it need not, for this is wrong with plan and script."""

    import_id: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class BeginImport:
    """Make a campaign of a script, a plan, and the list whose parts come next. Nothing exists before `CommitImport`.

    One list is imported at a time; one of which no part comes for half a minute is given up. Refused:
    `campaign_exists`, `importing`: another list is being imported.
    """

    Reply: ClassVar[type[ImportBegun]] = ImportBegun
    campaign_id: CampaignId
    """1 to 64 of `a-z 0-9 - _`, beginning with a letter or digit."""
    file: str
    """The list's name, for messages."""
    script: str
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True, slots=True)
class ListTaken:
    """How much of the list has come, and how many contacts have been read. `is_over`: what follows is useless."""

    n_bytes: int
    n_contacts: int
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class ListPart:
    """The next part of a list's bytes: CSV with a heading, as it lies on the disk. It is answered when it is read.

    Refused: `unknown_import`: given up, or begun at another central; `wrong_offset`.
    """

    Reply: ClassVar[type[ListTaken]] = ListTaken
    import_id: str
    offset: int
    data: bytes


LIST_PART = 128 * 1024
"""Bytes of one part: well within what one message may hold."""


@dataclass(frozen=True, slots=True)
class CampaignImported:
    """Either the number of contacts that are now the campaign's, or what is wrong; never a part of them."""

    contacts: int
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitImport:
    """The list is complete: have the campaign exist.

    Refused: `unknown_import`, `campaign_exists`, `list_incomplete`, `not_read`: central's log says why.
    """

    Reply: ClassVar[type[CampaignImported]] = CampaignImported
    import_id: str
    n_bytes: int
    """The list's length."""


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """A campaign as an operator sees it. `waiting + in_flight + done == contacts`."""

    campaign_id: CampaignId
    phase: str
    contacts: int
    waiting: int
    in_flight: int
    talking: int
    """Those in flight who have answered."""
    done: int
    dispositions: dict[str, int] = field(default_factory=dict)
    """How the attempts so far have ended."""
    refused: dict[str, int] = field(default_factory=dict)
    """Contacts that will never be called, by the rule that said so."""
    held: str = ""
    """Why nothing is dialled at this moment, in one word; empty: calls are going out, or there is nobody left."""
    retention_days: int = 0
    owner: str = ""
    """Both as in its plan."""


@dataclass(frozen=True, slots=True)
class SteerCampaign:
    """Have the campaign `running`, `paused` or `stopped`, whatever it was. Stopped is for good; its calls go on.

    Refused: `unknown_campaign`, `unknown_phase`, `campaign_stopped`.
    """

    Reply: ClassVar[type[CampaignStatus]] = CampaignStatus
    campaign_id: CampaignId
    phase: str


@dataclass(frozen=True, slots=True)
class GetCampaign:
    """How is it going. Refused: `unknown_campaign`."""

    Reply: ClassVar[type[CampaignStatus]] = CampaignStatus
    campaign_id: CampaignId


@dataclass(frozen=True, slots=True)
class CampaignScript:
    """A campaign's script, packed as in `PlaceCall`."""

    script: bytes


@dataclass(frozen=True, slots=True)
class GetScript:
    """What do its calls say. Refused: `unknown_campaign`."""

    Reply: ClassVar[type[CampaignScript]] = CampaignScript
    campaign_id: CampaignId


@dataclass(frozen=True, slots=True)
class ContactForgotten:
    """In how many campaigns the contact was, under which name, and up to which moment all is forgotten."""

    campaigns: int
    contact_id: ContactId = ContactId("")
    """Empty, as `at` is None: a central of the version before answered, which forgets in the campaigns alone."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ForgetContact:
    """Forget a person: they are never dialled again in any campaign there is, and what is known of them is removed.

    From the memory and the objects of central within seconds, from the journal as soon as the recorder has read it,
    from all other places as soon as their processes hear of it (`protocols.wire.forgetting`). Refused: `call_is_up`
    while somebody talks with them or their telephone rings, `too_many_calls`, `bad_call` for what is no call's name,
    `bad_target:` and why it names nobody.
    """

    Reply: ClassVar[type[ContactForgotten]] = ContactForgotten
    target: str
    """As people write it: a number with `+` and the country code, or a SIP URI."""
    calls: tuple[CallId, ...] = ()
    """Calls with them that belong to no campaign: nothing else says whose those were."""


@dataclass(frozen=True, slots=True)
class Campaigns:
    """All campaigns, the oldest first."""

    campaigns: tuple[CampaignStatus, ...]


@dataclass(frozen=True, slots=True)
class ListCampaigns:
    """What campaigns are there. Every request above is refused with `not_leading` by a central without the lease."""

    Reply: ClassVar[type[Campaigns]] = Campaigns


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """There is one; `sequence`: of which message of the journal."""

    sequence: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Have all that central knows in its objects, now: somebody makes a backup. Refused: `not_taken:` and why."""

    Reply: ClassVar[type[SnapshotTaken]] = SnapshotTaken


CAMPAIGN_MESSAGES: tuple[type, ...] = (
    ImportBegun, BeginImport, ListTaken, ListPart, CampaignImported, CommitImport, CampaignStatus, SteerCampaign,
    GetCampaign, CampaignScript, GetScript, ContactForgotten, ForgetContact, Campaigns, ListCampaigns,
    SnapshotTaken, TakeSnapshot,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "ContactId", "contact_id", "is_contact_id", "attempt_id", "campaign_of", "contact_of",
    "LEAST_RING_S", "RECORDING",
    "Plan", "Problem", "BeginImport", "ImportBegun", "ListPart", "ListTaken", "LIST_PART", "CommitImport",
    "CampaignImported", "SteerCampaign", "GetCampaign", "CampaignStatus", "GetScript", "CampaignScript",
    "ListCampaigns", "Campaigns",
    "ForgetContact", "ContactForgotten", "SnapshotTaken", "TakeSnapshot",
    "CAMPAIGN_MESSAGES",
]  # fmt: skip
