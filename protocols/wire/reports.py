"""What may be asked of the recorder: no other process can open its files.

Times are ISO 8601 strings with offset; empty means without bound. A figure of something that never happened is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from protocols.wire.campaigns import ContactId
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId


@dataclass(frozen=True, slots=True)
class Report:
    """What came of the attempts. `_ms`: p50 and p95 or p99 of what was measured, in milliseconds."""

    attempts: int
    answered: int
    answer_seizure_ratio: float | None
    """Answered of all attempts that are over (ITU-T E.411)."""
    mean_call_duration_s: float | None
    """Of answered calls that are over, from answer to end."""
    dispositions: dict[str, int]
    """How attempts ended; `open` for those that have not, `lost` and `failed` for those of which nobody will say so."""
    lost: int
    """Answered calls that ended although neither callee, agent nor script ended them, or that nobody has any more."""
    recovered: int
    """Calls that outlived the death of something that carried them."""
    turns_understood: int
    turns_not_understood: int
    turns_silent: int
    turn_ms_p50: float | None
    """From the callee's last speech to our first answer."""
    turn_ms_p95: float | None
    first_word_ms_p50: float | None
    """From the end of a person's greeting to our first word."""
    first_word_ms_p95: float | None
    first_word_late: float | None
    """The share of those who waited longer than 2 s (16 CFR 310.4(b)(4)(iii))."""
    handovers: int
    handovers_failed: int
    handover_ms_p50: float | None
    handover_ms_p99: float | None
    events: int
    """Everything that calls have told, each event once; of all campaigns and times."""
    dead_letters: int
    """Messages that could not be read; they are kept, and not counted above."""
    note: str = ""
    """What is to be known of the database itself: that it was begun anew, since when, and why."""
    archived: int = 0
    """Of the events those that are only in files of days any more, from `archived_from` to `archived_to`."""
    archived_from: str = ""
    archived_to: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Attempts that ended in one way. `timed`: of how many calls `duration_s` is the sum."""

    attempts: int = 0
    answered: int = 0
    lost: int = 0
    recovered: int = 0
    duration_s: float = 0.0
    timed: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a report is made of, so that those of several databases can be added. `_ms`: milliseconds -> how often."""

    calls: dict[str, Tally] = field(default_factory=dict)
    """By disposition."""
    understood: int = 0
    not_understood: int = 0
    silent: int = 0
    handovers: int = 0
    handovers_failed: int = 0
    turn_ms: dict[int, int] = field(default_factory=dict)
    first_word_ms: dict[int, int] = field(default_factory=dict)
    handover_ms: dict[int, int] = field(default_factory=dict)
    events: int = 0
    dead_letters: int = 0
    note: str = ""
    archived: int = 0
    archived_from: str = ""
    archived_to: str = ""


@dataclass(frozen=True, slots=True)
class GetReport:
    """Report on the attempts that began from `since` up to `until`; without a campaign, on all. Refused: `bad_time`."""

    Reply: ClassVar[type[Report]] = Report
    campaign_id: CampaignId = CampaignId("")
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class GetFigures:
    """What goes into a report on the same, from one recorder: of what it alone has. Refused: `bad_time`."""

    Reply: ClassVar[type[Figures]] = Figures
    campaign_id: CampaignId = CampaignId("")
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One attempt with the rules it passed before it was dialled, or a contact whom a rule refused for good.

    An attempt has `passed`, a refusal has `refused`. `wall`: the moment of the decision.
    """

    wall: str
    contact_id: ContactId
    attempt_id: AttemptId = AttemptId("")
    n: int = 0
    trunk: str = ""
    consent: str = ""
    passed: tuple[str, ...] = ()
    refused: str = ""
    disposition: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A page of a campaign's ledger, in the order of decision; `total` rows are there in all."""

    total: int
    rows: tuple[LedgerRow, ...] = field(default_factory=tuple)


Place: TypeAlias = tuple[str, str, str]
"""Where a row is in a ledger: moment, attempt, contact."""


def place_of(row: LedgerRow) -> Place:
    """Return what to ask for the page after."""
    return row.wall, row.attempt_id, row.contact_id


LEDGER_PAGE = 400
"""Rows of one page: within what one message may hold."""


@dataclass(frozen=True, slots=True)
class GetLedger:
    """The ledger of a campaign, a page at a time: the rows behind the last one of the page before (`place_of`)."""

    Reply: ClassVar[type[Ledger]] = Ledger
    campaign_id: CampaignId
    after: Place = ("", "", "")


@dataclass(frozen=True, slots=True)
class GetPage:
    """The same of one recorder, of what it alone has."""

    Reply: ClassVar[type[Ledger]] = Ledger
    campaign_id: CampaignId
    after: Place = ("", "", "")


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the files are, on the recorder's machine, and how many rows they hold."""

    directory: str
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Export:
    """Write every table as Parquet into a new directory `<state>/exports/<name>`, events by day.

    Of several recorders each writes its own, `<name>`, `<name>_1`, `<name>_2`, and `rows` are of all.

    Refused: `bad_name` (letters, digits, `-` and `_`), `exists`, `disk`.
    """

    Reply: ClassVar[type[Exported]] = Exported
    name: str


@dataclass(frozen=True, slots=True)
class ExportPart:
    """The same of one recorder, of what it alone has. Refused as `Export`."""

    Reply: ClassVar[type[Exported]] = Exported
    name: str


@dataclass(frozen=True, slots=True)
class PartsTold:
    """Which parts a call's recording has, as its events tell: number -> the node that made it."""

    parts: dict[int, NodeId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GetParts:
    """Say which parts a call's recording has, wherever they lie; `protocols.wire.recordings` fetches them."""

    Reply: ClassVar[type[PartsTold]] = PartsTold
    call_id: CallId


@dataclass(frozen=True, slots=True)
class GetPartsOf:
    """The same of one recorder, of what it alone has."""

    Reply: ClassVar[type[PartsTold]] = PartsTold
    call_id: CallId


REPORT_MESSAGES: tuple[type, ...] = (
    Report, GetReport, Figures, GetFigures, Ledger, GetLedger, GetPage, Exported, Export, ExportPart, PartsTold,
    GetParts, GetPartsOf,
)  # fmt: skip
"""The kinds of this page that an envelope may carry."""

__all__ = [
    "Export",
    "ExportPart",
    "Exported",
    "Figures",
    "GetFigures",
    "GetLedger",
    "GetPage",
    "GetParts",
    "GetPartsOf",
    "GetReport",
    "LEDGER_PAGE",
    "Place",
    "place_of",
    "Ledger",
    "LedgerRow",
    "PartsTold",
    "REPORT_MESSAGES",
    "Report",
    "Tally",
]
