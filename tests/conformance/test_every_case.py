"""Every case of OTP's that applies has a test of its name, in OTP's order, and no test has a name that is not OTP's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.cases import read
from tests.conformance.score import Score

SUITES = dict.fromkeys(case.suite for case in read())


def docstrings(suite: str) -> dict[str, str]:
    """Return the name of each test of a suite, without its `test_`, and its docstring."""
    tree = ast.parse(Path(__file__).with_name(f"test_{suite}_suite.py").read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    tests = (node for node in functions if node.name.startswith("test_"))
    return {test.name.removeprefix("test_"): ast.get_docstring(test) or "" for test in tests}


@pytest.mark.parametrize("suite", SUITES)
def test_every_case_has_its_test_and_every_test_its_case(suite: str) -> None:
    assert list(docstrings(suite)) == [case.name for case in read() if case.suite == suite and case.applies]


@pytest.mark.parametrize("suite", SUITES)
def test_a_docstring_says_what_is_checked_and_what_has_changed(suite: str) -> None:
    told = docstrings(suite)
    assert all(told.values())
    changed = [case.name for case in read() if case.suite == suite and case.mark == "~"]
    assert [name for name, text in told.items() if "Changed: " in text] == changed


def test_what_is_different_is_said() -> None:
    assert not [case.name for case in read() if (case.mark == "=") == bool(case.why)]
    assert {case.mark for case in read()} <= {"=", "~", "x"}


def test_the_score_fits_a_terminal_and_ends_with_the_totals() -> None:
    *rows, totals = Score().lines(read())
    assert [row for row in rows if len(row) > 120] == []
    assert totals == "supervisor 0/77, gen_server 0/46, gen_statem 0/46, proc_lib 0/15, application 0/14"
