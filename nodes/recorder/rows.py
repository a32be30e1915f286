"""What a message of the streams becomes: a row of a table, or a dead letter when it cannot be read.

From `RM_EVENTS` every event is kept. From `RM_CAMPAIGN` what the ledger needs: attempts, how they ended, and refusals;
contacts and plans are central's memory, and their numbers have no business in the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from nodes.links.forgotten import Forgotten
from nodes.reading import read_json
from nodes.recorder.store import Row, dead_letter
from protocols.errors import RemoteProtocolError
from protocols.wire import events, journal
from protocols.wire.campaigns import ContactId
from protocols.wire.events import CallEvent
from protocols.wire.subjects import Stream, stream_of

TABLE_OF: Mapping[type, str] = {
    journal.Attempted: "ledger",
    journal.Ended: "outcomes",
    journal.Returned: "outcomes",
    journal.Refused: "refusals",
}
RETURNED: Final = "returned"
"""The disposition of an attempt that no edge has taken: nobody was dialled."""


Decision: TypeAlias = journal.Attempted | journal.Ended | journal.Returned | journal.Refused
"""What is kept of the journal."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which of several streams of events a recorder reads: its `number`; the node has `n_recorders` of them."""

    number: int = 0
    n_recorders: int = 1

    def has(self, entry: Decision) -> bool:
        """Whether what the journal says is ours: the call's events are in our stream. The first has refusals."""
        return self.number == (0 if isinstance(entry, journal.Refused) else stream_of(entry.attempt_id))


WHOLE: Final = Share()


def row_of(stream: Stream, seq: int, data: bytes, share: Share = WHOLE) -> Row | None:
    """Return the row for message `seq` of `stream`; None when it is read and not kept. Never raises."""
    try:
        body = read_json(data)
        if stream is not Stream.CAMPAIGN:
            return _event(events.from_body(body))
        return _entry(journal.from_body(body), share)
    except (ValueError, RecursionError, RemoteProtocolError) as error:
        if stream is Stream.CAMPAIGN and share.number:
            return None  # the first recorder keeps it
        return dead_letter(f"{stream}/{seq}", str(error), data.decode(errors="backslashreplace"))


def _event(event: CallEvent) -> Row:
    return Row("events", {**msgspec.to_builtins(event), "wall": event.wall.isoformat()})


def _entry(entry: journal.Entry, share: Share) -> Row | None:
    if isinstance(entry, Decision):
        if not share.has(entry):
            return None
        values = msgspec.to_builtins(entry)
        if isinstance(entry, journal.Returned):
            values |= {"disposition": RETURNED, "cause": entry.reason}
        values |= {"wall": entry.at.isoformat(), "refusal_id": f"{entry.campaign_id}/{entry.contact_id}"}
        return Row(TABLE_OF[type(entry)], values)
    return None


def is_forgotten(forgotten: Forgotten, row: Row, taken_s: float) -> bool:
    """Say whether a row came late of what is forgotten. `taken_s`: when its stream took it, seconds since 1970.

    A moment of the journal may be a rehearsal's, but what is in the journal is never late.
    """
    if not forgotten.people or row.table not in (*TABLE_OF.values(), "events"):
        return False
    taken, values = datetime.fromtimestamp(taken_s, UTC), row.values
    attempt = str(values["attempt_id"]) if "attempt_id" in values else ""
    if row.table == "events":
        told = datetime.fromisoformat(str(values["wall"]))
        return forgotten.is_forgotten_call(attempt, str(values["call_id"]), min(told, taken))
    return forgotten.is_forgotten(ContactId(str(values["contact_id"])), attempt, taken)


__all__ = ["Share", "WHOLE", "is_forgotten", "row_of"]
