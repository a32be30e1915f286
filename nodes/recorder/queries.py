"""The reports, as SQL over the tables of `store.TABLES`, and of `archive.Archive.tables`.

`$campaign`: empty means all. `$since`, `$until`: moments, or `-infinity` and `infinity`.

An attempt is what its events tell, or, when it never came to an edge, its line in the ledger.
"""

from __future__ import annotations

from datetime import timedelta

from protocols.wire.events import WANTED_BY, WANTED_CAUSES

ENDED_BY_SOMEBODY = f"(ended_by IN {WANTED_BY} OR cause IN {WANTED_CAUSES})"
"""What makes the end of an answered call an end that somebody wanted; without it the call is lost."""

LONGEST = timedelta(days=1)
"""So far from an attempt's beginning may anything lie that is told of it: what is further away is not read."""
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
SELECT (SELECT count(*) FROM recent) + (SELECT n FROM archived) AS events,
       (SELECT count(*) FROM dead_letters) AS dead_letters
"""

_DECISIONS = """
(
SELECT campaign_id, wall, contact_id, attempt_id, n, trunk, consent, passed, '' AS refused FROM ledger
UNION ALL
SELECT campaign_id, wall, contact_id, '', 0, '', '', [], rule_id FROM refusals
)
"""

LEDGER_TOTAL = f"SELECT count(*) AS total FROM {_DECISIONS} WHERE campaign_id = $campaign"

LEDGER_PAGE = f"""
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

__all__ = ["CALLS", "ENDS", "LEDGER_PAGE", "LEDGER_TOTAL", "LONGEST", "OPEN", "TOTALS", "TURNS"]
