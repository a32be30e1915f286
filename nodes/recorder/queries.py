"""The reports, as SQL over the tables of `store.TABLES`. `$campaign`, `$since`, `$until`: empty means all.

An attempt is what its events tell, or, when it never came to an edge, its line in the ledger.
"""

from __future__ import annotations

from protocols.wire.events import WANTED_BY, WANTED_CAUSES

ENDED_BY_SOMEBODY = f"(ended_by IN {WANTED_BY} OR cause IN {WANTED_CAUSES})"
"""What makes the end of an answered call an end that somebody wanted; without it the call is lost."""

ATTEMPTS = f"""
CREATE VIEW attempts AS
WITH calls AS (
    SELECT coalesce(nullif(attempt_id, ''), call_id) AS attempt_id,
           any_value(campaign_id) AS campaign_id,
           any_value(call_id) AS call_id,
           any_value(node_id) AS node_id,
           min(wall) AS began,
           max(wall) AS told,
           bool_or(kind = 'call.answered') AS is_answered,
           bool_or(kind = 'recovered') AS is_recovered,
           any_value(fields->>'disposition') FILTER (kind = 'call.ended') AS disposition,
           any_value(fields->>'cause') FILTER (kind = 'call.ended') AS cause,
           any_value(fields->>'by') FILTER (kind = 'call.ended') AS ended_by,
           any_value(CAST(fields->>'duration_s' AS DOUBLE)) FILTER (kind = 'call.ended') AS duration_s
    FROM events
    GROUP BY 1
)
SELECT *, is_answered AND disposition <> 'open' AND NOT {ENDED_BY_SOMEBODY} AS is_lost
FROM (
    SELECT attempt_id,
           coalesce(calls.campaign_id, ledger.campaign_id) AS campaign_id,
           coalesce(calls.began, ledger.wall) AS began,
           call_id,
           node_id,
           told,
           coalesce(is_answered, false) AS is_answered,
           coalesce(is_recovered, false) AS is_recovered,
           coalesce(calls.disposition, outcomes.disposition, 'open') AS disposition,
           coalesce(calls.cause, outcomes.cause, '') AS cause,
           coalesce(ended_by, '') AS ended_by,
           duration_s
    FROM calls FULL JOIN ledger USING (attempt_id) LEFT JOIN outcomes USING (attempt_id)
)
"""

_DIALLED = "disposition <> 'returned'"
"""Without the attempts that no edge has taken: nobody was dialled."""

_RANGE = """
    ($campaign = '' OR campaign_id = $campaign)
    AND ($since = '' OR {moment} >= CAST(nullif($since, '') AS TIMESTAMPTZ))
    AND ($until = '' OR {moment} < CAST(nullif($until, '') AS TIMESTAMPTZ))
"""

OPEN = f"""
SELECT call_id FROM attempts
WHERE disposition = 'open' AND node_id = $node AND told < now() - INTERVAL 10 SECOND AND {_RANGE.format(moment="began")}
"""
"""Calls of a node that have no end, and of which nothing was told just now: its edges know whether they are still up.

Ten seconds: what an edge's successor may take, and an event's way into the table.
"""

_SETTLED = """
(
    SELECT * REPLACE (
        CASE WHEN NOT is_gone THEN disposition WHEN is_answered THEN 'lost' ELSE 'failed' END AS disposition,
        is_lost OR (is_answered AND is_gone) AS is_lost
    ) FROM (
        SELECT *, coalesce(list_contains(CAST($gone AS VARCHAR[]), call_id), false) AS is_gone FROM attempts
    )
)
"""
"""The attempts, with the ends of those calls that are gone without one. `$gone`: their ids."""

CALLS = f"""
SELECT count(*) AS attempts,
       count(*) FILTER (is_answered) AS answered,
       count(*) FILTER (is_answered AND disposition <> 'open') / nullif(count(*) FILTER (disposition <> 'open'), 0)
           AS answer_seizure_ratio,
       avg(duration_s) FILTER (is_answered) AS mean_call_duration_s,
       count(*) FILTER (is_lost) AS lost,
       count(*) FILTER (is_recovered) AS recovered
FROM {_SETTLED} WHERE {_DIALLED} AND {_RANGE.format(moment="began")}
"""

DISPOSITIONS = f"""
SELECT disposition, count(*) AS n FROM {_SETTLED}
WHERE {_DIALLED} AND {_RANGE.format(moment="began")} GROUP BY 1 ORDER BY 2 DESC, 1
"""

FIRST_WORD_MS = "CAST(fields->>'first_word_ms' AS DOUBLE)"
FIRST_WORD_WITHIN_MS = 2000
"""So soon after the end of their greeting must a person hear somebody (16 CFR 310.4(b)(4)(iii))."""

TURNS = f"""
SELECT count(*) FILTER (kind = 'turn.heard') AS turns_understood,
       count(*) FILTER (kind = 'turn.nomatch') AS turns_not_understood,
       count(*) FILTER (kind = 'turn.noinput') AS turns_silent,
       quantile_cont(CAST(fields->>'answer_ms' AS DOUBLE), 0.5) FILTER (kind = 'prompt.started') AS turn_ms_p50,
       quantile_cont(CAST(fields->>'answer_ms' AS DOUBLE), 0.95) FILTER (kind = 'prompt.started') AS turn_ms_p95,
       quantile_cont({FIRST_WORD_MS}, 0.5) AS first_word_ms_p50,
       quantile_cont({FIRST_WORD_MS}, 0.95) AS first_word_ms_p95,
       count(*) FILTER ({FIRST_WORD_MS} > {FIRST_WORD_WITHIN_MS}) / nullif(count({FIRST_WORD_MS}), 0)
           AS first_word_late,
       count(*) FILTER (kind = 'handover.done') AS handovers,
       count(*) FILTER (kind = 'handover.failed') AS handovers_failed,
       quantile_cont(CAST(fields->>'ms' AS DOUBLE), 0.5) FILTER (kind = 'handover.done') AS handover_ms_p50,
       quantile_cont(CAST(fields->>'ms' AS DOUBLE), 0.99) FILTER (kind = 'handover.done') AS handover_ms_p99
FROM events WHERE {_RANGE.format(moment="wall")}
"""

TOTALS = """
SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM dead_letters) AS dead_letters
"""

LEDGER = """
CREATE VIEW decisions AS
SELECT campaign_id, wall, contact_id, attempt_id, n, trunk, consent, passed, '' AS refused,
       coalesce(attempts.disposition, 'open') AS disposition, coalesce(attempts.cause, '') AS cause
FROM ledger LEFT JOIN (SELECT attempt_id, disposition, cause FROM attempts) AS attempts USING (attempt_id)
UNION ALL
SELECT campaign_id, wall, contact_id, '', 0, '', '', [], rule_id, '', '' FROM refusals
"""

LEDGER_TOTAL = "SELECT count(*) AS total FROM decisions WHERE campaign_id = $campaign"

LEDGER_PAGE = """
SELECT * EXCLUDE (campaign_id) REPLACE (strftime(wall, '%Y-%m-%dT%H:%M:%S.%fZ') AS wall)
FROM decisions WHERE campaign_id = $campaign
ORDER BY decisions.wall, attempt_id, contact_id LIMIT $limit OFFSET $offset
"""

VIEWS = (ATTEMPTS, LEDGER)
"""In the order in which they build on each other."""

__all__ = ["CALLS", "DISPOSITIONS", "OPEN", "LEDGER_PAGE", "LEDGER_TOTAL", "TOTALS", "TURNS", "VIEWS"]
