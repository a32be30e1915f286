"""`ringmaster bench hearing`, its part on echoes: what becomes of prompts that come back; its figures."""

import json
import subprocess
import sys
from typing import Any

from nodes.commands.bench_echo import HEARD_MS, judged, wanted
from nodes.commands.bench_hearing import ANSWERS


def row(**more: Any) -> dict[str, Any]:
    usual = {
        "level_db": -10, "delay_ms": 20, "cancels": True, "prompts": 8, "interrupted": 0, "answers": 2,
        "heard_ms": [200.0, 300.0], "understood": 2,
    }  # fmt: skip
    return usual | more


def test_one_prompt_that_stops_by_itself_breaks_the_promise_and_one_without_a_canceller_does_not() -> None:
    assert judged([row(), row(cancels=False, interrupted=8)])["held"]
    assert not judged([row(interrupted=1)])["held"]


def test_callees_who_are_heard_late_or_never_break_the_promise() -> None:
    assert not judged([row(heard_ms=[HEARD_MS + 20])])["held"]
    assert not judged([row(heard_ms=[])])["held"]


def test_prompts_and_answers_on_a_line_with_an_echo_are_heard_by_the_product_in_virtual_time() -> None:
    answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    asked = wanted(answers) | {"levels_db": [-12], "delays_ms": [70], "prompts": ["Did it come on time?"]}
    asked["answers"] = answers[:1]
    done = subprocess.run(
        [sys.executable, "-m", "nodes.commands.over_prompts"], input=json.dumps(asked), capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["level_db"], one["cancels"]) for one in rows] == [(-90, True), (-90, False), (-12, True), (-12, False)]
    assert [one["interrupted"] for one in rows] == [0, 0, 0, 3]
    assert rows[2]["understood"] == 1
    assert judged(rows)["held"]
