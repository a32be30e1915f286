"""What a cluster's soak came to: heard from callees, telephones and agents, and read from all nodes' databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from nodes.commands.takeover import ECHO_S, Hit, lost
from nodes.rehearsal.faults import FaultKind
from protocols.wire.events import is_wanted
from tests.soak.havoc import Havoc

HARMLESS: Final = frozenset({FaultKind.PAUSE.value, FaultKind.CUT.value})
"""Nothing of the callee's dies in these, so an end beside one is no loss."""
TOLD: Final = "SELECT call_id, seq, kind, event_id, fields->>'cause', fields->>'by' FROM events"
Told = tuple[str, int, str, str, str, str]
FOREVER: Final = float("inf")
"""Nobody is hung up on by us."""


@dataclass
class Findings:
    """The fields of the last line, and why."""

    calls: int = 0
    answered: int = 0
    lost: int = 0
    """Of the answered, by the callees: silent, never hung up on, or hung up on where a fault was."""
    lost_told: int = 0
    """By the events: an end that neither callee, agent nor script wanted."""
    lost_open: int = 0
    """By the events: no end."""
    events: int = 0
    events_missing: int = 0
    events_twice: int = 0
    ended_twice: int = 0
    """Calls of which an end was told more than once, by several who took them for theirs."""
    rung_twice: int = 0
    at_once_ms: float = 0.0
    """The longest time in which one callee heard two machines."""
    worst_gap_ms: float = 0.0
    handed_over: int = 0
    agents_not_free: list[str] = field(default_factory=list)
    unreplicated_ms_p99: float | None = None
    unhealed: int = 0
    """Faults after which a call had still no heir when the next one came."""
    faults: dict[str, int] = field(default_factory=dict)
    calls_up: float = 0.0
    notes: list[str] = field(default_factory=list)
    _meant: set[str] = field(default_factory=set)
    """Calls whose end the script, the callee or an agent wanted, as the events tell it."""

    def callees(self, reports: Sequence[Mapping[str, Any]], havoc: Havoc) -> None:
        """Hear what those with voices say; after `databases`, which tell who was hung up on by a script."""
        hits = [Hit(one.fault.kind.value, one.fault.host, one.began_s) for one in havoc.done if one.hit]
        fatal = [hit for hit in hits if hit.kind not in HARMLESS]
        self.calls, self.answered = len(reports), sum(report["answered"] for report in reports)
        told = {report["call_id"]: report for report in reports}
        meant = {call for call, report in told.items() if report["ended_by"] == "us" or call in self._meant}
        gone = [*lost(reports, fatal, told.keys() - meant, FOREVER), *lost(reports, [], meant, FOREVER)]
        self.lost = len(gone)
        self.notes += [f"lost: {call} ended {_after(told[call]['ended_s'], hits)}" for call in gone]
        rung = Counter(report["user"] for report in reports)
        self.rung_twice = sum(times > 1 for times in rung.values())
        self.notes += [f"rung {times} times: {user}" for user, times in rung.items() if times > 1]
        self.at_once_ms = max((report["at_once_ms"] for report in reports), default=0.0)
        self.worst_gap_ms = max((report["worst_gap_ms"] for report in reports), default=0.0)

    def telephones(self, counted: Mapping[str, Any]) -> None:
        """Take what scripted telephones have counted; a call that is still up is one that nobody has."""
        self.calls = self.answered = int(counted["rung"])
        self.rung_twice, self.lost = int(counted["rung_twice"]), int(counted["up"])

    def databases(self, files: Iterable[Path]) -> None:
        """Read what was written down: who was lost, what is missing, and what is there twice.

        Each machine's recorder writes all that is told; what one of them missed while its machine was off, others have.
        """
        rows: dict[str, Told] = {}
        for file in files:
            with duckdb.connect(str(file), read_only=True) as store:
                told: list[Told] = store.execute(TOLD).fetchall()
            self.events_twice += sum(n > 1 for n in Counter(event_id for _, _, _, event_id, _, _ in told).values())
            rows |= {row[3]: row for row in told}
        self.events = len(rows)
        by_call: dict[str, list[Told]] = {}
        for row in rows.values():
            by_call.setdefault(row[0], []).append(row)
        for call_id, events in by_call.items():
            self._call(call_id, events)

    def _call(self, call_id: str, events: Sequence[Told]) -> None:
        seqs = {seq for _, seq, *_ in events}
        missing = set(range(1, max(seqs) + 1)) - seqs
        self.events_missing += len(missing)
        self.notes += [f"missing of {call_id}: {sorted(missing)} of {max(seqs)}"] if missing else []
        ends = [(cause, by) for _, _, kind, _, cause, by in events if kind == "call.ended"]
        if len(ends) > 1:
            self.ended_twice += 1
            self.notes.append(f"ended {len(ends)} times: {call_id} {ends}")
        if not ends:
            self.lost_open += 1
            self.notes.append(f"open: {call_id}")
        elif all(is_wanted({"cause": cause, "by": by}) for cause, by in ends):
            self._meant.add(call_id)
        elif any(kind == "call.answered" for _, _, kind, *_ in events):
            self.lost_told += 1
            self.notes.append(f"told as lost: {call_id} {ends}")

    def line(self) -> dict[str, Any]:
        """Return the last line."""
        return {name: value for name, value in vars(self).items() if name != "notes" and not name.startswith("_")}


def _after(at_s: float, hits: Sequence[Hit]) -> str:
    """Return which faults came shortly before a moment, and how long before."""
    before = [f"{hit.kind} {hit.node} -{at_s - hit.at_s:.1f} s" for hit in hits if 0 <= at_s - hit.at_s <= ECHO_S]
    return ", ".join(before) or "where no fault was"


__all__ = ["Findings"]
