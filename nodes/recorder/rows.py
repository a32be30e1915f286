"""What a message of the streams becomes: a row of a table, or a dead letter when it cannot be read.

From `RM_EVENTS` every event is kept. From `RM_CAMPAIGN` what the ledger needs: attempts, how they ended, and refusals;
contacts and plans are central's memory, and their numbers have no business in the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from nodes.reading import read_json
from nodes.recorder.store import Row, dead_letter
from protocols.errors import RemoteProtocolError
from protocols.wire import events, journal
from protocols.wire.events import CallEvent
from protocols.wire.subjects import Stream

TABLE_OF: Mapping[type, str] = {
    journal.Attempted: "ledger",
    journal.Ended: "outcomes",
    journal.Returned: "outcomes",
    journal.Refused: "refusals",
}
RETURNED: Final = "returned"
"""The disposition of an attempt that no edge has taken: nobody was dialled."""


def row_of(stream: Stream, seq: int, data: bytes) -> Row | None:
    """Return the row for message `seq` of `stream`; None when it is read and not kept. Never raises."""
    try:
        body = read_json(data)
        if stream is Stream.EVENTS:
            return _event(events.from_body(body))
        return _entry(journal.from_body(body))
    except (ValueError, RecursionError, RemoteProtocolError) as error:
        return dead_letter(f"{stream}/{seq}", str(error), data.decode(errors="backslashreplace"))


def _event(event: CallEvent) -> Row:
    return Row("events", {**msgspec.to_builtins(event), "wall": event.wall.isoformat()})


def _entry(entry: journal.Entry) -> Row | None:
    if isinstance(entry, journal.Attempted | journal.Ended | journal.Returned | journal.Refused):
        values = msgspec.to_builtins(entry)
        if isinstance(entry, journal.Returned):
            values |= {"disposition": RETURNED, "cause": entry.reason}
        values |= {"wall": entry.at.isoformat(), "refusal_id": f"{entry.campaign_id}/{entry.contact_id}"}
        return Row(TABLE_OF[type(entry)], values)
    return None


__all__ = ["row_of"]
