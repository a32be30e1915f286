"""`ringmaster bench hearing`: what becomes of answers with pauses, and how its figures come of it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from nodes.commands.bench_hearing import ANSWERS, COMPLETE_S, USUAL_MS, judged


def row(heard: str | None, dead_air_ms: float, **more: Any) -> dict[str, Any]:
    usual = {
        "rule": "digits", "voice": "ann", "complete_ms": USUAL_MS, "pause_ms": 500, "is_one_word": False,
        "means": "4271", "heard": heard, "confidence": 1.0 if heard else 0.0, "dead_air_ms": dead_air_ms,
        "silences_ms": [500],
    }  # fmt: skip
    return usual | more


def test_whoever_is_answered_before_the_end_is_cut_off_unless_that_was_what_they_meant() -> None:
    found = judged([row("4271", 200), row("42", -300), row(None, -300), row("4271", -100)])
    assert found["curve"] == [{"complete_ms": USUAL_MS, "cut_off": 50.0, "dead_air_ms": 100.0}]
    assert (found["right"], found["wrong"], found["refused"]) == (50.0, 25.0, 25.0)


def test_each_promise_is_judged_by_the_best_point_that_waits_no_longer() -> None:
    rows = [row("42", -300), row("4271", 290), *2 * [row("4271", 590, complete_ms=1200.0)]]
    found = judged(rows)
    assert (found["cut_off_300"], found["cut_off_600"], found["held"]) == (50.0, 0.0, False)


def test_a_detector_of_silence_alone_cuts_off_whoever_pauses_as_long() -> None:
    (silence,) = judged([row("4271", 160), row("4271", 160, silences_ms=[20])])["baselines"].values()
    assert [one["cut_off"] for one in silence["curve"] if one["silence_ms"] in (450, 600)] == [50.0, 0.0]


def test_only_complete_answers_of_one_word_that_were_understood_count_as_such() -> None:
    rows = [row("yes", 150, means="yes", is_one_word=True), row(None, 800, is_one_word=True), row("4271", 700)]
    assert judged(rows)["one_word_p95_ms"] == 150.0


def test_what_is_asked_about_first_is_counted_among_the_wrong_and_the_right() -> None:
    rows = [row("4271", 200), row("4271", 200, confidence=0.7), row("4279", 200, confidence=0.4), row(None, 800)]
    assert judged(rows)["asked_about"] == {"right": 50.0, "wrong": 100.0}


def test_other_speech_is_taken_where_it_is_understood_and_sure_enough_and_is_no_answer() -> None:
    others = [(None, 0.0), ("4271", 0.9), ("4271", 0.7), ("human", 0.4), ("who", 0.4)]
    rows = [row(heard, 200, means=None, confidence=sure) for heard, sure in others]
    found = judged([row("4271", 200, confidence=0.8), *rows])
    assert found["other_speech"] == {"understood": 80.0, "taken": 40.0, "at_95": 20.0}
    assert found["answers"] == 1


def test_what_a_question_usually_allows_is_on_the_curve() -> None:
    assert USUAL_MS / 1000 in COMPLETE_S


@pytest.mark.parametrize("number", [0, 5])
def test_answers_are_heard_by_the_product_in_virtual_time(number: int) -> None:
    answer = json.loads(ANSWERS.read_text().splitlines()[number])
    wanted = {"answers": [answer], "pauses_ms": [900], "complete_s": [USUAL_MS / 1000]}
    done = subprocess.run(
        [sys.executable, "-m", "nodes.commands.hearing"], input=json.dumps(wanted), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    n_places = max(1, len(answer["parts"]) - 1)
    assert len(rows) == 3 * n_places
    found = judged(rows)
    assert found["right"] > 60
    assert found["cut_off_300"] == 0
