"""`ringmaster bench hearing`: how many callees are cut off in the middle of an answer, against how long others wait.

The method is that of benchmarks of end-of-turn detection (LiveKit's eot-bench): a detector may buy fewer cut-offs with
more dead air, so each is shown as a curve. Answers with pauses are heard by the product's own ears, in virtual time
(`hearing.py`); a detector that knows only how long nobody has spoken stands beside it, over the same frames. Lines
with an echo are measured besides (`bench_echo.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from grammars.doubt import LEAST, SURE, USUAL
from grammars.rules.spec import INTENTS
from nodes.commands import bench_echo
from nodes.commands.terminal import console, emit
from nodes.errors import NodeError
from protocols import pauses

ANSWERS: Final = Path(__file__).with_suffix(".jsonl")
"""What callees answer, in parts between which they may pause, and what it means on 2026-03-02, a Monday."""
OTHERS: Final = ("digits", "date", "yes_no", "number", "time", "choices")
"""Questions to which others answer, too, what is no answer (`OTHER_SPEECH`): with the parameters of their first row."""
OTHER_SPEECH: Final = (
    "hang on the door", "put it on the table", "where are my keys", "the kids are at school", "not now darling",
    "turn that thing off", "it's raining again", "who left this open", "we had pasta for dinner", "pass me the salt",
    "the dog wants out", "did you feed the cat", "my mother called", "this coffee is cold", "over there by the window",
    "what a lovely morning", "let me find my glasses", "the train was late",
)  # fmt: skip
"""Said to somebody else, 0.5 to 2 s long; none of it is in a grammar."""
PAUSES_MS: Final = (60, 300, 500, 700, 900)
COMPLETE_S: Final = (0.15, 0.3, 0.5, 0.7, 0.9, 1.2)
"""The curve: how long whoever may go on is waited for. One of them is what a question has that says nothing."""
USUAL_MS: Final = pauses.COMPLETE_S * 1000
SILENCE_MS: Final = (150, 300, 450, 600, 750, 900, 1050)
"""The other curve: after so much silence the turn is ours, whatever was said."""
PROMISES: Final = {300.0: 5.0, 600.0: 2.0}
"""Mean dead air in ms -> cut off, in per cent, at the most."""
ONE_WORD_MS: Final = 200.0
"""p95 of complete answers of one word."""
OTHER_TAKEN: Final = 5.0
"""Of other speech so much, in per cent, is taken for an answer at the most."""
_ROOT: Final = Path(__file__).parents[2]


class NotMeasured(NodeError):
    """The process that hears has ended with an error."""


def hearing(as_json: bool) -> int:
    """Measure and print; 1 when a promise is broken. Raises: NotMeasured."""
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    wanted = {"answers": answers, "pauses_ms": PAUSES_MS, "complete_s": COMPLETE_S}
    other = {"answers": _other_speech(answers), "pauses_ms": PAUSES_MS, "complete_s": [pauses.COMPLETE_S]}
    found = judged(_measured("hearing", wanted) + _measured("hearing", other))
    echo = bench_echo.judged(_measured("over_prompts", bench_echo.wanted(answers)))
    if as_json:
        emit({"bench": "hearing", **found, "echo": echo})
    else:
        _print(found)
        bench_echo.show(echo, console())
    return 0 if found["held"] and echo["held"] else 1


def _measured(module: str, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", f"nodes.commands.{module}"]
    done = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, cwd=_ROOT, check=False)
    if done.returncode:
        raise NotMeasured(f"{module}: {done.stderr[-2000:]}")
    return [json.loads(row) for row in done.stdout.splitlines()]


def _other_speech(answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    first = {row["rule"]: row for row in reversed(answers)}
    return [{**first[rule], "parts": [words], "means": None} for rule in OTHERS for words in OTHER_SPEECH]


def judged(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of outcomes (`hearing.Outcome`), per cent and ms, and whether the promises hold."""
    rows = [row for row in outcomes if row["means"] is not None]
    others = [row for row in outcomes if row["means"] is None]
    usual = [row for row in rows if row["complete_ms"] == USUAL_MS]
    ours = [_point([row for row in rows if row["complete_ms"] == ms]) | {"complete_ms": ms} for ms in _each(rows)]
    silence = [_silent(usual, ms) for ms in SILENCE_MS]
    at = {ms: (_at_most(ours, ms), _at_most(silence, ms)) for ms in PROMISES}
    one_word = [row["dead_air_ms"] for row in usual if row["is_one_word"] and _is_right(row)]
    p95 = float(np.percentile(one_word, 95)) if one_word else float("inf")
    other = _other(usual, others)
    held = p95 <= ONE_WORD_MS and other["taken"] <= OTHER_TAKEN
    held = held and all(at[ms][0] <= most for ms, most in PROMISES.items())
    return {
        **{f"cut_off_{ms:.0f}": ours_at for ms, (ours_at, _) in at.items()},
        "one_word_p95_ms": round(p95, 1),
        **_shares(usual),
        "baselines": {"silence": {f"cut_off_{ms:.0f}": theirs for ms, (_, theirs) in at.items()} | {"curve": silence}},
        "curve": ours,
        "by_rule": {rule: _shares(of) | _point(of) for rule, of in _by(usual, "rule").items()},
        "by_voice": {voice: _shares(of) | _point(of) for voice, of in _by(usual, "voice").items()},
        "asked_about": asked_about(usual),
        "other_speech": other,
        "answers": len(usual),
        "held": held,
    }


def asked_about(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how many answers, in per cent, are asked about before they are taken: of the right, and of the wrong."""
    wrong = [row for row in rows if row["heard"] is not None and not _is_right(row)]
    right = [row for row in rows if _is_right(row)]
    return {
        "right": _per_cent(sum(map(_is_asked, right)), len(right)),
        "wrong": _per_cent(sum(map(_is_asked, wrong)), len(wrong)),
    }


def _other(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return how much of what was no answer was understood, how much of that was taken without being asked about, and
    how much there would be at a confidence that 95 % of right answers have."""
    right = [row["confidence"] for row in rows if _is_right(row)]
    at_95 = float(np.percentile(right, 5)) if right else 0.0
    heard = [row for row in others if row["heard"] is not None]
    return {
        "understood": _per_cent(len(heard), len(others)),
        "taken": _per_cent(sum(not _is_asked(row) for row in heard), len(others)),
        "at_95": _per_cent(sum(row["confidence"] >= at_95 for row in heard), len(others)),
    }


def _is_asked(row: Mapping[str, Any]) -> bool:
    """Whether it is asked about, or for once more, where its question says nothing of that."""
    if row["heard"] in INTENTS:
        return bool(row["confidence"] < SURE.get(row["heard"], LEAST))
    return bool(row["confidence"] < USUAL.get(row["rule"], 0.0))


def _is_right(row: Mapping[str, Any]) -> bool:
    return bool(row["heard"] == row["means"])


def _is_cut_off(row: Mapping[str, Any]) -> bool:
    return row["dead_air_ms"] < 0 and not _is_right(row)


def _point(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return a point of a curve; whoever is answered before the end, and rightly, has waited for nothing."""
    waited = [max(0.0, row["dead_air_ms"]) for row in rows if not _is_cut_off(row)]
    return {
        "dead_air_ms": round(float(np.mean(waited)), 1) if waited else 0.0,
        "cut_off": _per_cent(sum(map(_is_cut_off, rows)), len(rows)),
    }


def _silent(rows: Sequence[Mapping[str, Any]], after_ms: int) -> dict[str, float]:
    """Return the point of a detector that answers after so much silence."""
    cut = sum(max(row["silences_ms"], default=0) >= after_ms for row in rows)
    return {"silence_ms": after_ms, "dead_air_ms": float(after_ms), "cut_off": _per_cent(cut, len(rows))}


def _at_most(curve: Iterable[Mapping[str, float]], dead_air_ms: float) -> float:
    """Return the fewest cut off, in per cent, of those that are not slower."""
    return min((one["cut_off"] for one in curve if one["dead_air_ms"] <= dead_air_ms), default=100.0)


def _shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    n_right, n_refused = sum(map(_is_right, rows)), sum(row["heard"] is None for row in rows)
    of = len(rows)
    return {
        "right": _per_cent(n_right, of),
        "wrong": _per_cent(of - n_right - n_refused, of),
        "refused": _per_cent(n_refused, of),
    }


def _per_cent(n: int, of: int) -> float:
    return round(100 * n / of, 1) if of else 0.0


def _each(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    return sorted({row["complete_ms"] for row in rows})


def _by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[Mapping[str, Any]]]:
    found = defaultdict[str, list[Mapping[str, Any]]](list)
    for row in rows:
        found[row[key]].append(row)
    return dict(found)


def _print(found: Mapping[str, Any]) -> None:
    to = console()
    curves = Table("waited for what may go on, ms", "dead air, ms", "cut off, %")
    for one in found["curve"]:
        curves.add_row(f"{one['complete_ms']:.0f}", f"{one['dead_air_ms']:.0f}", f"{one['cut_off']:.1f}")
    to.print(curves)
    silence = Table("silence alone, ms", "dead air, ms", "cut off, %")
    for one in found["baselines"]["silence"]["curve"]:
        silence.add_row(f"{one['silence_ms']}", f"{one['dead_air_ms']:.0f}", f"{one['cut_off']:.1f}")
    to.print(silence)
    for by in ("by_rule", "by_voice"):
        table = Table(by.removeprefix("by_"), "right, %", "wrong", "refused", "cut off", "dead air, ms")
        for name, one in found[by].items():
            figures = (one["right"], one["wrong"], one["refused"], one["cut_off"])
            table.add_row(name, *(f"{each:.1f}" for each in figures), f"{one['dead_air_ms']:.0f}")
        to.print(table)
    at = "; ".join(
        f"cut off at {ms:.0f} ms of dead air {found[f'cut_off_{ms:.0f}']:.1f} % (at most {most:g}; silence alone "
        f"{found['baselines']['silence'][f'cut_off_{ms:.0f}']:.1f})"
        for ms, most in PROMISES.items()
    )
    doubt, other = found["asked_about"], found["other_speech"]
    to.print(
        f"asked about first: {doubt['wrong']:.1f} % of wrong answers, {doubt['right']:.1f} % of right ones; "
        f"other speech: {other['understood']:.1f} % understood, {other['taken']:.1f} % taken without a question "
        f"(at most {OTHER_TAKEN:g}; {other['at_95']:.1f} % at a confidence that 95 % of right answers have)"
    )
    word = f"one word: p95 {found['one_word_p95_ms']:.0f} ms (at most {ONE_WORD_MS:g})"
    to.print(f"{found['answers']} answers; {at}; {word}: {'held' if found['held'] else 'broken'}")
