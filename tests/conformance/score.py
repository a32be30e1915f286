"""The score of the conformance tests, case by case, as `make conformance` prints it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

import pytest

from tests.conformance.cases import Case, read

SUITE = re.compile(r"test_(\w+)_suite\.py::test_(\w+)")
VERDICTS = {"passed": "passes", "failed": "FAILS", "skipped": "SKIPPED"}


class Score:
    """What became of each case, by suite and name."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one phase of one test; a test with parameters has several."""
        found = SUITE.search(report.nodeid)
        if found and (report.when == "call" or report.outcome != "passed"):
            self.seen.setdefault((found[1], found[2]), set()).add(report.outcome)

    def verdict(self, case: Case) -> str:
        """Return the word for a case."""
        if not case.applies:
            return "x"
        outcomes = self.seen.get((case.suite, case.name), set())
        return next((VERDICTS[one] for one in ("failed", "skipped", "passed") if one in outcomes), "MISSING")

    def tally(self, cases: Iterable[Case]) -> str:
        """Return how many of the cases that apply pass."""
        applying = [case for case in cases if case.applies]
        return f"{sum(self.verdict(case) == 'passes' for case in applying)}/{len(applying)}"

    def lines(self, cases: Iterable[Case]) -> Iterator[str]:
        """Yield the table, section by section, and the totals as its last line."""
        cases = list(cases)
        for (suite, section), rows in groupby(cases, key=attrgetter("suite", "section")):
            here = list(rows)
            width = max(len(case.name) for case in here)
            yield f"{suite}: {section}"
            for case in here:
                yield f"  {case.name:{width}}  {self.verdict(case):<7}  {case.why}".rstrip()
            yield ""
        suites = dict.fromkeys(case.suite for case in cases)
        yield ", ".join(f"{suite} {self.tally(case for case in cases if case.suite == suite)}" for suite in suites)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        """Print the score, after pytest's own list of what has failed."""
        yield
        terminalreporter.section("OTP 25.2.3: passes, and what is different; or x, and why")
        for line in self.lines(read()):
            terminalreporter.write_line(line)


__all__ = ["Score"]
