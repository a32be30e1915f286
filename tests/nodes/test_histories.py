"""What the launcher remembers of the processes that bore a name, one after another."""

from __future__ import annotations

import json

import pytest

from nodes.histories import LINE_CHARS, N_ENDS, N_LINES, History, last_words
from supervisors.process import ProcessExit, ProcessReport, Standing

KILLED = ProcessExit(None, 9, "", ("one", "two"))


def report(pid: int, standing: Standing, exit: ProcessExit | None = None) -> ProcessReport:
    return ProcessReport("edge-0", pid, standing, {}, exit)


@pytest.fixture
def history() -> History:
    """A name whose active process, 1, is up since 10 s, beside its spare, 2."""
    made = History("edge-0", "Pair")
    made.take(report(1, Standing.STARTING), 1.0)
    made.take(report(1, Standing.ACTIVE), 10.0)
    made.take(report(2, Standing.STARTING), 11.0)
    made.take(report(2, Standing.SPARE), 12.0)
    return made


def told(history: History, *fields: str) -> list[object]:
    return [history.row()[field] for field in fields]


def test_before_its_first_process_is_ready_a_name_is_starting() -> None:
    history = History("edge-0", "Pair")
    assert told(history, "state", "since_s", "n_ended", "failure") == ["starting", None, 0, None]
    history.take(report(1, Standing.STARTING), 1.0)
    assert told(history, "state", "since_s") == ["starting", None]


def test_it_runs_since_its_process_became_active_whatever_the_spare_does(history: History) -> None:
    assert told(history, "name", "kind", "state", "since_s", "n_ended") == ["edge-0", "Pair", "running", 10.0, 0]
    history.take(report(2, Standing.GONE, KILLED), 15.0)
    assert told(history, "state", "since_s", "n_ended", "ended_s") == ["running", 10.0, 1, [15.0]]


def test_between_the_end_of_the_active_process_and_the_next_it_is_being_brought_back(history: History) -> None:
    history.take(report(1, Standing.GONE, KILLED), 20.0)
    assert told(history, "state", "since_s", "n_ended", "ended_s") == ["restarting", None, 1, [20.0]]
    history.take(report(2, Standing.ACTIVE), 20.1)
    assert told(history, "state", "since_s", "n_ended", "ended_s") == ["running", 20.1, 1, [20.0]]


def test_one_that_never_gets_ready_is_brought_back_too(history: History) -> None:
    history.take(report(1, Standing.GONE, KILLED), 20.0)
    history.take(report(3, Standing.STARTING), 20.5)
    assert told(history, "state") == ["starting"]
    history.take(report(3, Standing.GONE, KILLED), 21.0)
    assert told(history, "state", "n_ended") == ["restarting", 2]


def test_the_last_failure_is_remembered_with_the_last_lines_on_standard_error(history: History) -> None:
    history.take(report(1, Standing.GONE, KILLED), 20.0)
    assert told(history, "failure") == [{"error": "ended with signal 9", "lines": ["one", "two"]}]


def test_an_end_with_code_0_counts_and_is_no_failure(history: History) -> None:
    history.take(report(1, Standing.GONE, KILLED), 20.0)
    history.take(report(2, Standing.GONE, ProcessExit(0, None, "", ("bye",))), 21.0)
    assert told(history, "n_ended", "failure") == [2, {"error": "ended with signal 9", "lines": ["one", "two"]}]


def test_what_a_process_has_logged_as_its_failure_is_the_reason_and_needs_no_lines(history: History) -> None:
    line = json.dumps({"event": "process.failed", "error": "desk.port: 8080 is taken"})
    history.take(report(1, Standing.GONE, ProcessExit(2, None, "", ("before", line))), 20.0)
    assert told(history, "failure") == [{"error": "desk.port: 8080 is taken", "lines": []}]


def test_of_a_bug_it_keeps_where_it_was(history: History) -> None:
    line = json.dumps({"event": "process.failed", "error": "KeyError: 'x'", "traceback": [*"abcdef", "KeyError: 'x'"]})
    history.take(report(1, Standing.GONE, ProcessExit(1, None, "", ("before", line))), 20.0)
    assert told(history, "failure") == [{"error": "KeyError: 'x'", "lines": [*"cdef", "KeyError: 'x'"]}]


@pytest.mark.parametrize(
    "line", ['"process.failed"', '{"event": "process.failed"}', '["process.failed"]', '{"process.failed": ']
)
def test_a_line_that_only_looks_like_such_a_log_line_is_a_line(line: str) -> None:
    exit = ProcessExit(1, None, "", (line,))
    assert last_words(exit) == f"ended with code 1: {line}"


def test_what_it_keeps_is_bounded(history: History) -> None:
    exit = ProcessExit(1, None, "", tuple("x" * 4000 for _ in range(20)))
    for pid in range(100):
        history.take(report(pid, Standing.GONE, exit), float(pid))
    assert told(history, "n_ended", "ended_s") == [100, [float(pid) for pid in range(100 - N_ENDS, 100)]]
    assert len(json.dumps(history.row())) < N_LINES * (LINE_CHARS + 10) + N_ENDS * 8 + 200


def test_the_last_words_are_why_it_was_killed_or_how_it_ended_and_its_last_line() -> None:
    assert last_words(ProcessExit(None, 9, "silent for 3.0 s", ())) == "silent for 3.0 s"
    assert last_words(KILLED) == "ended with signal 9: two"
