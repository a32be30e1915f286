"""The types are part of the API: what is right passes, every planted mistake is found, nothing else is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TYPED = Path(__file__).parent / "typing" / "typed.py"


def test_mypy_finds_every_planted_mistake_and_nothing_else() -> None:
    planted = {n for n, line in enumerate(TYPED.read_text().splitlines(), 1) if line.endswith("# wrong")}
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", str(TYPED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert found == planted, done.stdout + done.stderr
