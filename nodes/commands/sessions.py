"""What has become of a bench's sessions, by their events: who was up, who was lost, what nobody has stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from nodes.reading import read_json
from nodes.recorder.store import Store
from protocols.wire.events import CallEvent, Kind, from_body
from protocols.wire.ids import CallId


class Moment(NamedTuple):
    """When something happened at a node. `n_calls`: how many calls it was about."""

    node: str
    wall: datetime
    n_calls: int = 1


@dataclass
class Seen:
    """What the events have told, as they came: `take` gets each."""

    answered: dict[CallId, datetime] = field(default_factory=dict)
    ended: dict[CallId, tuple[datetime, str]] = field(default_factory=dict)
    turns: Counter[CallId] = field(default_factory=Counter)
    recovered: list[Moment] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    n_up: int = 0
    most_up: int = 0

    def take(self, event: CallEvent) -> None:
        """Note one; told again, it is known."""
        if event.event_id in self.ids:
            return
        self.ids.add(event.event_id)
        call = event.call_id
        if event.kind is Kind.ANSWERED and call not in self.answered:
            self.answered[call] = event.wall
            self.n_up += 1
            self.most_up = max(self.most_up, self.n_up)
        elif event.kind is Kind.ENDED and call not in self.ended:
            self.ended[call] = event.wall, str(event.fields.get("disposition", ""))
            self.n_up -= call in self.answered
        elif event.kind is Kind.HEARD:
            self.turns[call] += 1
        elif event.kind is Kind.RECOVERED and event.fields.get("what") == "call":
            self.recovered.append(Moment(event.node_id, event.wall))

    def lived_s(self, call: CallId) -> float:
        """Return how long an answered call was up; 0.0 for one that has not ended."""
        return (self.ended[call][0] - self.answered[call]).total_seconds() if call in self.ended else 0.0

    def lost(self) -> list[CallId]:
        """Return the answered calls that did not come to their script's end."""
        return [call for call in self.answered if self.ended.get(call, (None, ""))[1] != "completed"]


def takeovers(log: Iterable[str]) -> list[Moment]:
    """Return when an edge became active after the first of its name, by the nodes' log, and how many calls it had."""
    lines = [read_json(line.encode(), dict[str, Any]) for line in log if '"edge.active"' in line]
    first = {(line["node_id"], line["process"]): n for n, line in reversed([*enumerate(lines)])}
    later = [line for n, line in enumerate(lines) if n != first[line["node_id"], line["process"]]]
    return [Moment(line["node_id"], datetime.fromisoformat(line["wall"]), line["calls"]) for line in later]


def after_ms(moments: Iterable[Moment], killed: Iterable[Moment]) -> list[tuple[float, int]]:
    """Return how long after the last kill at its node each was, and how many calls it was about.

    None for one before all kills.
    """
    kills = sorted(killed, key=lambda kill: kill.wall)
    took = [
        (min((one.wall - kill.wall for kill in kills if kill.node == one.node and kill.wall <= one.wall), default=None),
         one.n_calls)
        for one in moments
    ]  # fmt: skip
    return [(round(after.total_seconds() * 1000, 1), n) for after, n in took if after is not None]


class Recorded(NamedTuple):
    """What the recorder has. `unheard`: the events that a listener has missed, by their time."""

    ids: set[str]
    unheard: list[CallEvent]
    n_missing: int


def recorded(database: Path, heard: Set[str]) -> Recorded:
    """Return what is in the recorder's file, which nobody has open. `heard`: the ids that a listener has had.

    A call numbers its events from one on, whoever has it: so a number that no event bears was an event that is lost.
    """
    with closing(Store(database)) as store:
        rows: Sequence[Mapping[str, Any]] = store.records("SELECT * FROM events ORDER BY wall, seq")
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        numbers[str(row["call_id"])].add(int(row["seq"]))
    unheard = [_event(row) for row in rows if row["event_id"] not in heard]
    return Recorded({str(row["event_id"]) for row in rows}, unheard, sum(map(_n_missing, numbers.values())))


def _event(row: Mapping[str, Any]) -> CallEvent:
    """Return the event that a row of the recorder's is."""
    return from_body(dict(row) | {"fields": read_json(str(row["fields"]).encode(), dict[str, Any])})


def _n_missing(numbers: Set[int]) -> int:
    return max(numbers) - len(numbers)


__all__ = ["Moment", "Recorded", "Seen", "after_ms", "recorded", "takeovers"]
