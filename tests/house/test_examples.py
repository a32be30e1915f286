"""The examples in docstrings are true. Each part in a process of its own: pynini and the recogniser must not meet."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {
    "supervisors": ("supervisors",),
    "protocols": ("protocols",),
    "grammars": ("grammars",),
    "nodes": ("nodes", "--ignore=nodes/speech", "--ignore=nodes/commands"),
    "speech": ("nodes/speech",),
    "commands": ("nodes/commands",),
    "ops": ("ops",),
}
LIMIT_S = 400
"""For a part that takes seconds, where ten others want each processor."""


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("part", PARTS)
def test_every_example_in_a_docstring_is_true(part: str) -> None:
    command = [sys.executable, "-m", "pytest", "--doctest-modules", "-p", "no:cacheprovider", *PARTS[part]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode in (0, 5), done.stdout[-3000:]  # 5: there are none yet
