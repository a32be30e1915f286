"""What the recorder answers: reports and the ledger as SQL, the rows as typed figures, and all of it as Parquet.

Runs in the reader's thread. The SQL is over the tables of `store.TABLES`, and of `archive.Archive.tables`.
`$campaign`: empty means all. `$since`, `$until`: moments, or `-infinity` and `infinity`.

An attempt is what its events tell, or, when it never came to an edge, its line in the ledger.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from nodes.recorder.store import LONGEST, TABLES, Store, StoreError
from protocols.wire.events import WANTED_BY, WANTED_CAUSES
from protocols.wire.ids import CallId, CampaignId, NodeId
from protocols.wire.reports import (
    LEDGER_PAGE,
    Figures,
    GetFigures,
    GetPage,
    GetPartsOf,
    Ledger,
    LedgerRow,
    PartsTold,
)

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Of an export."""

ENDED_BY_SOMEBODY = f"(ended_by IN {WANTED_BY} OR cause IN {WANTED_CAUSES})"
"""What makes the end of an answered call an end that somebody wanted; without it the call is lost."""

LONGEST_CALL = f"INTERVAL {LONGEST.days} DAY"

_NEAR = f"""
    ($campaign = '' OR campaign_id = $campaign)
    AND wall >= CAST($since AS TIMESTAMPTZ) - {LONGEST_CALL} AND wall < CAST($until AS TIMESTAMPTZ) + {LONGEST_CALL}
"""

ATTEMPTS = f"""
(
WITH calls AS (
    SELECT coalesce(nullif(attempt_id, ''), call_id) AS attempt_id,
           any_value(campaign_id) AS campaign_id,
           any_value(call_id) AS call_id,
           any_value(node_id) AS node_id,
           min(wall) AS began,
           max(wall) AS told,
           bool_or(kind = 'call.answered') AS is_answered,
           bool_or(kind = 'recovered') AS is_recovered,
           any_value(fields) FILTER (kind = 'call.ended') AS ended
    FROM events WHERE {_NEAR}
    GROUP BY 1
),
dialled AS (SELECT * FROM ledger WHERE {_NEAR}),
over AS (
    SELECT attempt_id, disposition, cause FROM outcomes
    WHERE ($campaign = '' OR campaign_id = $campaign) AND wall >= CAST($since AS TIMESTAMPTZ) - {LONGEST_CALL}
)
SELECT *, is_answered AND disposition <> 'open' AND NOT {ENDED_BY_SOMEBODY} AS is_lost
FROM (
    SELECT attempt_id,
           coalesce(calls.began, dialled.wall) AS began,
           call_id,
           node_id,
           told,
           coalesce(is_answered, false) AS is_answered,
           coalesce(is_recovered, false) AS is_recovered,
           coalesce(ended->>'disposition', over.disposition, 'open') AS disposition,
           coalesce(ended->>'cause', over.cause, '') AS cause,
           coalesce(ended->>'by', '') AS ended_by,
           CAST(ended->>'duration_s' AS DOUBLE) AS duration_s
    FROM calls FULL JOIN dialled USING (attempt_id) LEFT JOIN over USING (attempt_id)
)
WHERE began >= CAST($since AS TIMESTAMPTZ) AND began < CAST($until AS TIMESTAMPTZ)
)
"""
"""The attempts of a campaign that began in a time. What cannot be theirs is left out before anything is grouped: DuckDB
skips the blocks of other days by their smallest and largest `wall`, so other days cost nothing."""

PARTS = """
SELECT CAST(fields->>'part' AS INTEGER) AS part, fields->>'node' AS node
FROM events WHERE call_id = $call AND kind = 'recording.left'
UNION ALL
SELECT coalesce(CAST(fields->>'part' AS INTEGER), 0), node_id
FROM events WHERE call_id = $call AND kind = 'call.ended' AND fields->>'recording' IS NOT NULL
"""

OPEN = f"""
SELECT call_id FROM {ATTEMPTS}
WHERE disposition = 'open' AND ($node = '' OR node_id = $node) AND told < now() - INTERVAL 10 SECOND
"""
"""Calls of a node, or of all, that have no end, and of which nothing was told just now: edges know whether they are up.

Ten seconds: what an edge's successor may take, and an event's way into the table.
"""

_SETTLED = f"""
(
    SELECT * REPLACE (
        CASE WHEN NOT is_gone THEN disposition WHEN is_answered THEN 'lost' ELSE 'failed' END AS disposition,
        is_lost OR (is_answered AND is_gone) AS is_lost
    ) FROM (
        SELECT *, coalesce(list_contains(CAST($gone AS VARCHAR[]), call_id), false) AS is_gone FROM {ATTEMPTS}
    )
)
"""
"""The attempts, with the ends of those calls that are gone without one. `$gone`: their ids."""

CALLS = f"""
SELECT disposition,
       count(*) AS attempts,
       count(*) FILTER (is_answered) AS answered,
       count(*) FILTER (is_lost) AS lost,
       count(*) FILTER (is_recovered) AS recovered,
       coalesce(sum(duration_s) FILTER (is_answered), 0) AS duration_s,
       count(duration_s) FILTER (is_answered) AS timed
FROM {_SETTLED} WHERE disposition <> 'returned' GROUP BY 1
"""
"""By disposition, without the attempts that no edge has taken: nobody was dialled."""


def _ms(field: str, kind: str) -> str:
    """Return how often each number of milliseconds is in a field of one kind, as a map; from 10 s on, of seconds.

    So it has some 10,000 entries at most, which a message can hold (`codec.MAX_BODY`).
    """
    ms = f"CAST(fields->>'{field}' AS BIGINT)"
    return f"histogram(CASE WHEN kind = '{kind}' THEN if({ms} < 10000, {ms}, {ms} // 1000 * 1000) END)"


TURNS = f"""
SELECT count(*) FILTER (kind = 'turn.heard') AS understood,
       count(*) FILTER (kind = 'turn.nomatch') AS not_understood,
       count(*) FILTER (kind = 'turn.noinput') AS silent,
       count(*) FILTER (kind = 'handover.done') AS handovers,
       count(*) FILTER (kind = 'handover.failed') AS handovers_failed,
       {_ms("answer_ms", "prompt.started")} AS turn_ms,
       {_ms("first_word_ms", "prompt.started")} AS first_word_ms,
       {_ms("ms", "handover.done")} AS handover_ms
FROM events WHERE ($campaign = '' OR campaign_id = $campaign)
    AND wall >= CAST($since AS TIMESTAMPTZ) AND wall < CAST($until AS TIMESTAMPTZ)
"""

TOTALS = """
SELECT (SELECT count(*) FROM recent) + n AS events, n AS archived, first AS archived_from, last AS archived_to,
       (SELECT count(*) FROM dead_letters) AS dead_letters
FROM archived
"""

_DECISIONS = """
(
SELECT campaign_id, wall, contact_id, attempt_id, n, trunk, consent, passed, '' AS refused FROM ledger
UNION ALL
SELECT campaign_id, wall, contact_id, '', 0, '', '', [], rule_id FROM refusals
)
"""

LEDGER_TOTAL = f"SELECT count(*) AS total FROM {_DECISIONS} WHERE campaign_id = $campaign"

LEDGER_ROWS = f"""
SELECT * FROM (
    SELECT * EXCLUDE (campaign_id) REPLACE (strftime(wall, '%Y-%m-%dT%H:%M:%S.%fZ') AS wall)
    FROM {_DECISIONS} WHERE campaign_id = $campaign
)
WHERE (wall, attempt_id, contact_id) > ($wall, $attempt, $contact)
ORDER BY wall, attempt_id, contact_id LIMIT $limit
"""

ENDS = f"""
SELECT attempt_id, disposition, cause FROM {ATTEMPTS} WHERE list_contains(CAST($attempts AS VARCHAR[]), attempt_id)
"""
"""How the attempts of a page ended."""


class BadTime(ValueError):
    """A bound is no ISO 8601 moment with offset."""


def open_calls(store: Store, asked: GetFigures, node: NodeId) -> list[CallId]:
    """Return the calls of a node, or of all without one, that are asked about and have no end yet. Raises BadTime."""
    rows = store.records(OPEN, {**_range(asked), "node": node})
    return [CallId(str(row["call_id"])) for row in rows]


def figures(store: Store, asked: GetFigures, gone: Collection[CallId] = ()) -> Figures:
    """Return the figures of the attempts of a campaign and a time. Raises BadTime.

    What turns and handovers took is of events in that time, whenever their call began. `gone`: calls without an end
    that nobody has any more; who had answered was lost.
    """
    given = _range(asked)
    calls = {row.pop("disposition"): row for row in store.records(CALLS, {**given, "gone": list(gone)})}
    turns, totals = store.records(TURNS, given)[0], store.records(TOTALS)[0]
    seen = {name: found or {} for name, found in turns.items() if name.endswith("_ms")}
    return msgspec.convert({**turns, **seen, **totals, "calls": calls, "note": store.note}, Figures)


def parts(store: Store, asked: GetPartsOf) -> PartsTold:
    """Return which parts a call's recording has: what stayed on machines that it has left, and what it ended with."""
    rows = store.records(PARTS, {"call": asked.call_id})
    return PartsTold({int(str(row["part"])): NodeId(str(row["node"])) for row in rows})


def page(store: Store, asked: GetPage) -> Ledger:
    """Return a page of a campaign's ledger."""
    given: dict[str, str | int] = {"campaign": asked.campaign_id}
    total = store.records(LEDGER_TOTAL, given)[0]["total"]
    after = dict(zip(("wall", "attempt", "contact"), asked.after, strict=True))
    rows = store.records(LEDGER_ROWS, given | after | {"limit": LEDGER_PAGE})
    if dialled := [row for row in rows if row["attempt_id"]]:
        _add_ends(store, asked.campaign_id, dialled)
    return Ledger(msgspec.convert(total, int), msgspec.convert(rows, tuple[LedgerRow, ...]))


def _add_ends(store: Store, campaign: CampaignId, dialled: Sequence[dict[str, object]]) -> None:
    attempts = [str(row["attempt_id"]) for row in dialled]
    first, last = (datetime.fromisoformat(str(dialled[at]["wall"])) for at in (0, -1))
    between = {"since": (first - LONGEST).isoformat(), "until": (last + LONGEST).isoformat()}
    rows = store.records(ENDS, {"campaign": campaign, "attempts": attempts, **between})
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


class NotExported(StoreError):
    """`reason` is one word: `bad_name` or `exists`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def export(store: Store, name: str) -> tuple[Path, dict[str, int]]:
    """Write all tables to `exports/<name>` beside the database; return where, and how many rows each table has.

    The directory appears when it is complete. Raises NotExported, StoreUnwritable.
    """
    if not NAME.fullmatch(name):
        raise NotExported("bad_name")
    target = store.directory / "exports" / name
    if target.exists():
        raise NotExported("exists")
    unfinished = target.with_name(f".{name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    rows = {table: store.copy_out(table, unfinished) for table in TABLES}
    unfinished.rename(target)
    return target, rows


__all__ = ["BadTime", "NotExported", "export", "figures", "open_calls", "page"]
