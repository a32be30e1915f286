"""From figures to a report: figures of several databases are added, and only then divided.

A quantile of quantiles would be none. Times are whole milliseconds, so how often each was seen is all there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from protocols.wire.reports import Figures, Report, Tally

FIRST_WORD_WITHIN_MS: Final = 2000
"""So soon after the end of their greeting must a person hear somebody (16 CFR 310.4(b)(4)(iii))."""
OPEN: Final = "open"


def summed(parts: Iterable[Figures]) -> Figures:
    """Return the figures of all databases together.

    >>> two = Figures({"busy": Tally(2)}, turn_ms={200: 1}), Figures({"busy": Tally(1)}, turn_ms={200: 2, 300: 1})
    >>> summed(two).calls["busy"].attempts, summed(two).turn_ms
    (3, {200: 3, 300: 1})
    """
    parts = list(parts)
    return Figures(
        calls={name: _tally([part.calls[name] for part in parts if name in part.calls]) for name in _names(parts)},
        understood=sum(part.understood for part in parts),
        not_understood=sum(part.not_understood for part in parts),
        silent=sum(part.silent for part in parts),
        handovers=sum(part.handovers for part in parts),
        handovers_failed=sum(part.handovers_failed for part in parts),
        turn_ms=_seen(part.turn_ms for part in parts),
        first_word_ms=_seen(part.first_word_ms for part in parts),
        handover_ms=_seen(part.handover_ms for part in parts),
        events=sum(part.events for part in parts),
        dead_letters=sum(part.dead_letters for part in parts),
        note="; ".join(filter(None, (part.note for part in parts))),
        archived=sum(part.archived for part in parts),
        archived_from=min((part.archived_from for part in parts if part.archived_from), default=""),
        archived_to=max((part.archived_to for part in parts), default=""),
    )


def report(figures: Figures) -> Report:
    """Return what the figures say."""
    every = _tally(figures.calls.values())
    n_open = figures.calls.get(OPEN, Tally())
    first = figures.first_word_ms
    by_number = sorted(figures.calls.items(), key=lambda item: (-item[1].attempts, item[0]))
    return Report(
        attempts=every.attempts,
        answered=every.answered,
        answer_seizure_ratio=_ratio(every.answered - n_open.answered, every.attempts - n_open.attempts),
        mean_call_duration_s=_ratio(every.duration_s, every.timed),
        dispositions={name: tally.attempts for name, tally in by_number},
        lost=every.lost,
        recovered=every.recovered,
        turns_understood=figures.understood,
        turns_not_understood=figures.not_understood,
        turns_silent=figures.silent,
        turn_ms_p50=quantile(figures.turn_ms, 0.5),
        turn_ms_p95=quantile(figures.turn_ms, 0.95),
        first_word_ms_p50=quantile(first, 0.5),
        first_word_ms_p95=quantile(first, 0.95),
        first_word_late=_ratio(sum(n for ms, n in first.items() if ms > FIRST_WORD_WITHIN_MS), sum(first.values())),
        handovers=figures.handovers,
        handovers_failed=figures.handovers_failed,
        handover_ms_p50=quantile(figures.handover_ms, 0.5),
        handover_ms_p99=quantile(figures.handover_ms, 0.99),
        events=figures.events,
        dead_letters=figures.dead_letters,
        note=figures.note,
        archived=figures.archived,
        archived_from=figures.archived_from,
        archived_to=figures.archived_to,
    )


def quantile(seen: Mapping[int, int], share: float) -> float | None:
    """Return the value below which this share lies, between neighbours in proportion (R's type 7, `quantile_cont`).

    >>> quantile({100: 1, 200: 1, 400: 1}, 0.5), quantile({100: 3, 200: 1}, 0.9), quantile({}, 0.5)
    (200.0, 170.0, None)
    """
    n_all = sum(seen.values())
    if not n_all:
        return None
    place = share * (n_all - 1)
    below = int(place)
    low, high = _at(seen, below), _at(seen, min(below + 1, n_all - 1))
    return low + (high - low) * (place - below)


def _at(seen: Mapping[int, int], place: int) -> float:
    for value in sorted(seen):
        place -= seen[value]
        if place < 0:
            break
    return float(value)


def _names(parts: Iterable[Figures]) -> list[str]:
    return sorted({name for part in parts for name in part.calls})


def _tally(tallies: Iterable[Tally]) -> Tally:
    tallies = list(tallies)
    return Tally(
        sum(one.attempts for one in tallies),
        sum(one.answered for one in tallies),
        sum(one.lost for one in tallies),
        sum(one.recovered for one in tallies),
        sum(one.duration_s for one in tallies),
        sum(one.timed for one in tallies),
    )


def _seen(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    seen: Counter[int] = Counter()
    for part in parts:
        seen.update(part)
    return dict(seen)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


__all__ = ["FIRST_WORD_WITHIN_MS", "quantile", "report", "summed"]
