"""Questions to the recorder, answered: SQL in, typed rows out. Runs in the reader's thread."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from nodes.recorder import queries
from nodes.recorder.store import Store
from protocols.wire.ids import CallId, CampaignId, NodeId
from protocols.wire.reports import LEDGER_PAGE, Figures, GetFigures, GetPage, Ledger, LedgerRow


class BadTime(ValueError):
    """A bound is no ISO 8601 moment with offset."""


def open_calls(store: Store, asked: GetFigures, node: NodeId) -> list[CallId]:
    """Return the calls of a node, or of all without one, that are asked about and have no end yet. Raises BadTime."""
    rows = store.records(queries.OPEN, {**_range(asked), "node": node})
    return [CallId(str(row["call_id"])) for row in rows]


def figures(store: Store, asked: GetFigures, gone: Collection[CallId] = ()) -> Figures:
    """Return the figures of the attempts of a campaign and a time. Raises BadTime.

    What turns and handovers took is of events in that time, whenever their call began. `gone`: calls without an end
    that nobody has any more; who had answered was lost.
    """
    given = _range(asked)
    calls = {row.pop("disposition"): row for row in store.records(queries.CALLS, {**given, "gone": list(gone)})}
    turns, totals = store.records(queries.TURNS, given)[0], store.records(queries.TOTALS)[0]
    seen = {name: found or {} for name, found in turns.items() if name.endswith("_ms")}
    return msgspec.convert({**turns, **seen, **totals, "calls": calls, "note": store.note}, Figures)


def page(store: Store, asked: GetPage) -> Ledger:
    """Return a page of a campaign's ledger."""
    given: dict[str, str | int] = {"campaign": asked.campaign_id}
    total = store.records(queries.LEDGER_TOTAL, given)[0]["total"]
    after = dict(zip(("wall", "attempt", "contact"), asked.after, strict=True))
    rows = store.records(queries.LEDGER_PAGE, given | after | {"limit": LEDGER_PAGE})
    if dialled := [row for row in rows if row["attempt_id"]]:
        _add_ends(store, asked.campaign_id, dialled)
    return Ledger(msgspec.convert(total, int), msgspec.convert(rows, tuple[LedgerRow, ...]))


def _add_ends(store: Store, campaign: CampaignId, dialled: Sequence[dict[str, object]]) -> None:
    attempts = [str(row["attempt_id"]) for row in dialled]
    first, last = (datetime.fromisoformat(str(dialled[at]["wall"])) for at in (0, -1))
    between = {"since": (first - queries.LONGEST).isoformat(), "until": (last + queries.LONGEST).isoformat()}
    rows = store.records(queries.ENDS, {"campaign": campaign, "attempts": attempts, **between})
    ends = {row.pop("attempt_id"): row for row in rows}
    for row in dialled:
        row |= ends.get(row["attempt_id"], {"disposition": "open"})


def _range(asked: GetFigures) -> dict[str, str]:
    since, until = _moment(asked.since) or "-infinity", _moment(asked.until) or "infinity"
    return {"campaign": asked.campaign_id, "since": since, "until": until}


def _moment(text: str) -> str:
    try:
        if not text or datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    raise BadTime(text)


__all__ = ["BadTime", "figures", "open_calls", "page"]
