"""The types are part of the API: what is right passes, every planted mistake is found, nothing else is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TYPED = Path(__file__).parent / "typing" / "typed.py"

Found = dict[int, str]


@pytest.fixture(scope="module")
def found() -> Found:
    """The lines that mypy reports, each with the code of its error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes", str(TYPED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return {int(n): code for n, code in re.findall(r":(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)}


def planted(what: str = "") -> Found:
    """The lines with a planted mistake: all of them, or those about `what`."""
    lines = enumerate(TYPED.read_text().splitlines(), 1)
    marks = {n: re.search(r"# wrong: ([\w-]+)" + re.escape(what and f" ({what})"), line) for n, line in lines}
    return {n: mark[1] for n, mark in marks.items() if mark}


def test_mypy_finds_every_planted_mistake_for_what_it_is_and_nothing_else(found: Found) -> None:
    assert found == planted()


@pytest.mark.parametrize("what", ["the result", "an argument", "an argument of a start", "the event of a handler"])
def test_the_four_mistakes_that_the_api_was_made_to_catch_are_planted_and_found(what: str, found: Found) -> None:
    ((line, code),) = planted(what).items()
    assert found[line] == code
