"""What a rehearsal has shown: the bot's events held against what the callees have said and lived through."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from protocols.wire.events import CallEvent, Kind, is_wanted

ANSWERS = (Kind.HEARD, Kind.NOMATCH)


@dataclass(slots=True)
class Verdict:
    """Counts over all calls of a rehearsal; times in milliseconds as the callees measured them."""

    calls: int = 0
    answered: int = 0
    lost: int = 0
    dispositions: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    turn_ms: list[float] = field(default_factory=list)
    understood: int = 0
    misunderstood: int = 0
    misheard: list[str] = field(default_factory=list)
    """What was said and what was made of it, for each that was misunderstood."""
    keys: int = 0
    """Answers of callees who pressed one."""
    handovers: int = 0
    handover_ms: list[float] = field(default_factory=list)
    worst_gap_ms: float = 0.0
    recovered: int = 0
    self_interruptions: int = 0
    """Prompts that were stopped though the callee said nothing."""
    recordings: list[str] = field(default_factory=list)


def judge(events: Iterable[CallEvent], lived: Sequence[Mapping[str, Any]]) -> Verdict:
    """Return the verdict. `lived`: the callees' reports, one a call."""
    verdict = Verdict()
    by_call: dict[str, list[CallEvent]] = defaultdict(list)
    for event in events:
        by_call[event.call_id].append(event)
    for call in by_call.values():
        _count(verdict, sorted(call, key=lambda event: (event.wall, event.seq)))
    for report in lived:
        verdict.worst_gap_ms = max(verdict.worst_gap_ms, report["worst_gap_ms"])
        verdict.keys += len(report.get("pressed", ()))
        verdict.self_interruptions += report.get("cut_for_nothing", 0)
        verdict.turn_ms += report["answers_ms"][1:]  # the first follows the greeting, which machine detection waits out
        _compare(verdict, report, by_call.get(report["call_id"], []))
    return verdict


def _count(verdict: Verdict, call: Sequence[CallEvent]) -> None:
    kinds = Counter(event.kind for event in call)
    verdict.calls += 1
    verdict.answered += kinds[Kind.ANSWERED] > 0
    verdict.recovered += kinds[Kind.RECOVERED] > 0
    verdict.turns += kinds[Kind.HEARD] + kinds[Kind.NOMATCH] + kinds[Kind.NOINPUT]
    verdict.handovers += kinds[Kind.HANDOVER_DONE]
    verdict.handover_ms += [float(one.fields["ms"]) for one in call if one.kind is Kind.HANDOVER_DONE]  # type: ignore[arg-type]
    ended = next((event for event in call if event.kind is Kind.ENDED), None)
    verdict.dispositions[str(ended.fields["disposition"]) if ended else "open"] += 1
    if kinds[Kind.ANSWERED] and (ended is None or not is_wanted(ended.fields)):
        verdict.lost += 1
    if ended and (recording := ended.fields.get("recording")):
        verdict.recordings.append(str(recording))


def _compare(verdict: Verdict, report: Mapping[str, Any], call: Sequence[CallEvent]) -> None:
    """Hold each answer against the next that the bot has taken in the same state."""
    heard = [event for event in call if event.kind in ANSWERS]
    for said in report["said"]:
        at = next((n for n, event in enumerate(heard) if event.fields.get("state") == said["state"]), None)
        if at is None:
            continue  # the call ended while it was said
        event, heard = heard[at], heard[at + 1 :]
        if event.fields.get("intent") == said["intent"] and event.fields.get("slots") == said["slots"]:
            verdict.understood += 1
        else:
            verdict.misunderstood += 1
            made = f"{event.fields.get('intent', 'nothing')} ({event.fields['words']})"
            verdict.misheard.append(f"{said['words']} -> {made}")


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return a percentile, or None of nothing; of one value, that value.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([], 50)
    (2.5, None)
    """
    if len(values) < 2:
        return values[0] if values else None
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 1)


__all__ = ["Verdict", "judge", "percentile"]
