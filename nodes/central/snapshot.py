"""The fold as an object: what central knows as of one message of the journal, as a stream of MessagePack items.

A new leader reads it and then the rest of the journal, so that what a failover costs does not grow with history. It is
taken from shallow copies, in one turn of the loop, and packed batch by batch while the fold goes on changing: the
values in them never change. Rolls are objects of their own, which a snapshot names.

    {snapshot, ignored, sequence, clock, ...}           what it is, and the fields of `Mark`
    {campaign, ...}                                     one for each campaign, the oldest first
    ["touched", campaign, [[row, due, n, attempt, n_returned]...]]  those who were dialled
    ["done", campaign, [row...]]
    ["dialled", [[contact, [[journal_s, wall_s]...]]...]]
    {in_flight, talking, spent, forgotten}, {end: number of items}

What is not exactly that is refused (`BadSnapshot`), and the journal read from its beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import msgspec

from nodes.central.campaign import DONE, Campaign, Campaigns, Dial, Progress
from nodes.central.clock import Stamp
from nodes.central.roll import Roll
from nodes.central.spend import Spent
from nodes.errors import NodeError
from nodes.unpacking import BadItem, Items
from protocols.errors import RemoteProtocolError
from protocols.wire.campaigns import ContactId, Plan
from protocols.wire.forgetting import Person
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Attempted, CampaignPhase, RollRef, from_body, to_body

VERSION: Final = 1
BATCH: Final = 1000

_pack = msgspec.msgpack.encode


class BadSnapshot(NodeError):
    """These bytes are no snapshot, or not a whole one, or of a version that we do not know."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Of which message of which journal a snapshot is. `forgotten`: the last `Forgotten` before it; 0: none.

    `created`: when that stream was made. `unsure`: the campaigns that an operator must say something of (`Memory`).
    """

    sequence: int
    clock: Stamp
    forgotten: int = 0
    created: str = ""
    unsure: tuple[CampaignId, ...] = ()


class _Head(msgspec.Struct, frozen=True):
    campaign: CampaignId
    plan: Plan
    script: bytes
    shift_s: float
    phase: CampaignPhase
    stored: RollRef
    dispositions: dict[str, int]
    refused: dict[str, int]
    n_in_flight: int
    n_done: int


class Taken:
    """A fold as it was at one moment. Every campaign's roll must be stored."""

    def __init__(self, fold: Campaigns, mark: Mark) -> None:
        self._mark, self._n_ignored = mark, fold.n_ignored
        self._heads = [_head(campaign) for campaign in fold.campaigns.values()]
        self._touched = [dict(campaign.touched) for campaign in fold.campaigns.values()]
        self._dialled, self._in_flight = dict(fold.dialled), list(fold.in_flight.values())
        self._talking, self._spent = list(fold.talking), dict(fold.spent)
        self._forgotten = list(fold.forgotten.values())

    def items(self) -> Iterator[bytes]:
        """Yield the stream; each item is a few milliseconds of work."""
        n = 0
        for told in self._items():
            yield _pack(told)
            n += 1
        yield _pack({"end": n})

    def _items(self) -> Iterator[object]:
        yield {"snapshot": VERSION, "ignored": self._n_ignored, **msgspec.to_builtins(self._mark)}
        yield from self._heads
        for head, touched in zip(self._heads, self._touched, strict=True):
            for some in _batches(touched.items()):
                yield "touched", head.campaign, [(row, *progress) for row, progress in some if progress != DONE]
                yield "done", head.campaign, [row for row, progress in some if progress == DONE]
        for dialled in _batches(self._dialled.items()):
            yield "dialled", [(who, [(at, wall.timestamp()) for at, wall in dials]) for who, dials in dialled]
        in_flight = [to_body(attempt) for attempt in self._in_flight]
        forgotten = msgspec.to_builtins(self._forgotten)
        yield {"in_flight": in_flight, "talking": self._talking, "spent": self._spent, "forgotten": forgotten}


class Reading:
    """Makes a fold of a snapshot, chunk by chunk."""

    def __init__(self) -> None:
        self._items = Items()
        self._fold = Campaigns()
        self._mark: Mark | None = None
        self._n = 0
        self._is_over = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises: BadSnapshot."""
        try:
            for told in self._items.feed(chunk):
                self._take(told)
        except (BadItem, RemoteProtocolError, LookupError, TypeError, ValueError, OSError, OverflowError) as error:
            raise BadSnapshot(f"{type(error).__name__}: {error}") from error

    def whole(self) -> tuple[Campaigns, Mark]:
        """Return the fold, with empty rolls, and of which message it is. Raises: BadSnapshot."""
        if self._mark is None or not self._is_over:
            raise BadSnapshot("it ends before its end")
        return self._fold, self._mark

    def _take(self, told: Any) -> None:
        if self._is_over:
            raise ValueError("something comes after the end")
        if self._mark is None:
            self._begin(told)
        elif isinstance(told, dict):
            self._tell(told)
        else:
            kind, *rest = told
            takers: dict[str, Callable[..., None]] = {
                "touched": self._touched, "done": self._done, "dialled": self._dialled,
            }  # fmt: skip
            takers[kind](*rest)
        self._n += 1

    def _begin(self, told: Mapping[str, Any]) -> None:
        if told["snapshot"] != VERSION:
            raise ValueError(f"it is of version {told['snapshot']}")
        self._mark = msgspec.convert(told, Mark)
        self._fold.n_ignored = told["ignored"]

    def _tell(self, told: dict[str, Any]) -> None:
        if "end" in told:
            if told["end"] != self._n:
                raise ValueError(f"{told['end']} items were written, and {self._n} are here")
            self._is_over = True
        elif "in_flight" in told:
            attempts = [from_body(body) for body in told["in_flight"]]
            self._fold.in_flight = {one.contact_id: one for one in attempts if isinstance(one, Attempted)}
            self._fold.talking = {ContactId(name) for name in told["talking"]}
            for name in self._fold.talking:
                self._fold.campaigns[self._fold.in_flight[name].campaign_id].n_talking += 1
            self._fold.spent = msgspec.convert(told.get("spent", {}), Spent)
            people = msgspec.convert(told.get("forgotten", []), list[Person])
            self._fold.forgotten = {one.contact_id: one for one in people}
        else:
            campaign = _campaign(msgspec.convert(told, _Head))
            self._fold.campaigns[campaign.campaign_id] = campaign

    def _touched(self, name: CampaignId, rows: Iterable[Any]) -> None:
        self._fold.campaigns[name].touched.update((row, Progress(*progress)) for row, *progress in rows)

    def _done(self, name: CampaignId, rows: Iterable[int]) -> None:
        self._fold.campaigns[name].touched.update(dict.fromkeys(rows, DONE))

    def _dialled(self, some: Iterable[Any]) -> None:
        self._fold.dialled.update((who, tuple(_dial(*dial) for dial in dials)) for who, dials in some)


def _head(campaign: Campaign) -> _Head:
    assert campaign.stored is not None
    return _Head(
        campaign.campaign_id, campaign.plan, campaign.script, campaign.shift.total_seconds(), campaign.phase,
        campaign.stored, dict(campaign.dispositions), dict(campaign.refused), campaign.n_in_flight, campaign.n_done,
    )  # fmt: skip


def _campaign(head: _Head) -> Campaign:
    return Campaign(
        head.campaign, head.plan, head.script, timedelta(seconds=head.shift_s), head.phase, Roll(), head.stored, {},
        Counter(head.dispositions), Counter(head.refused), head.n_in_flight, n_done=head.n_done,
    )  # fmt: skip


def _dial(journal_s: float, wall_s: float) -> Dial:
    return journal_s, datetime.fromtimestamp(wall_s, UTC)


def _batches(some: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(some)
    while batch := list(islice(rest, BATCH)):
        yield batch


__all__ = ["BadSnapshot", "Mark", "Reading", "Taken"]
