"""Questions to the recorder, answered: SQL in, typed rows out. Runs in the reader's thread."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from nodes.recorder import queries
from nodes.recorder.store import Store
from protocols.wire.ids import CallId, NodeId
from protocols.wire.reports import LEDGER_PAGE, GetLedger, GetReport, Ledger, LedgerRow, Report


class BadTime(ValueError):
    """A bound is no ISO 8601 moment with offset."""


def open_calls(store: Store, asked: GetReport, node: NodeId) -> list[CallId]:
    """Return the calls of a node, among those that are asked about, that have no end yet. Raises BadTime."""
    rows = store.records(queries.OPEN, {**_range(asked), "node": node})
    return [CallId(str(row["call_id"])) for row in rows]


def report(store: Store, asked: GetReport, gone: Collection[CallId] = ()) -> Report:
    """Return the report on the attempts of a campaign and a time. Raises BadTime.

    What turns and handovers took is of events in that time, whenever their call began. `gone`: calls without an end
    that nobody has any more; who had answered was lost.
    """
    given = _range(asked)
    figures: dict[str, object] = {}
    figures |= store.records(queries.CALLS, {**given, "gone": list(gone)})[0]
    figures |= store.records(queries.TURNS, given)[0]
    figures |= store.records(queries.TOTALS)[0]
    rows = store.records(queries.DISPOSITIONS, {**given, "gone": list(gone)})
    dispositions = {row["disposition"]: row["n"] for row in rows}
    return msgspec.convert({**figures, "dispositions": dispositions, "note": store.note}, Report)


def ledger(store: Store, asked: GetLedger) -> Ledger:
    """Return a page of a campaign's ledger."""
    given: dict[str, str | int] = {"campaign": asked.campaign_id}
    total = store.records(queries.LEDGER_TOTAL, given)[0]["total"]
    given |= {"limit": LEDGER_PAGE, "offset": max(0, asked.offset)}
    rows = msgspec.convert(store.records(queries.LEDGER_PAGE, given), tuple[LedgerRow, ...])
    return Ledger(msgspec.convert(total, int), rows)


def _range(asked: GetReport) -> dict[str, str]:
    return {"campaign": asked.campaign_id, "since": _moment(asked.since), "until": _moment(asked.until)}


def _moment(text: str) -> str:
    try:
        if not text or datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    raise BadTime(text)


__all__ = ["BadTime", "ledger", "open_calls", "report"]
