"""`ringmaster speech` where no node is up: what the file says, what is refused, and one that keeps no contract."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from nodes.config import ENVIRONMENT
from tests.nodes.commands.conftest import COMMAND

STRANGERS = Path(__file__).parents[1] / "speech/strangers"


def speech(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "ringmaster.toml"
    config.write_text(
        "[paths]\nstate = 'state'\n[[speech.engines]]\nname = 'other'\n[[speech.use]]\nengine = 'other'\npercent = 5\n"
    )
    environment = {**os.environ, ENVIRONMENT: str(config), "PYTHONPATH": str(STRANGERS)}
    return subprocess.run(
        [COMMAND, "speech", *words], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_what_the_file_says_is_told(tmp_path: Path) -> None:
    done = speech(tmp_path, "list", "--json")
    use = [{"engine": "other", "percent": 5.0, "campaign": ""}]
    assert (done.returncode, json.loads(done.stdout)) == (0, {"recognisers": {"kaldi": {}, "other": {}}, "use": use})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("use", "nobody"), "nobody is none of speech.engines; there are kaldi, other"),
        (("use", "other", "--percent", "101"), "101 is not between 0 and 100"),
        (("use", "other"), "ringmaster up"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = speech(tmp_path, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_one_that_keeps_no_contract_is_told_check_by_check_and_the_status_says_so(tmp_path: Path) -> None:
    done = speech(tmp_path, "check", "agrees", "--json")
    found = {one["check"]: one["wrong"] for one in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert "confidence 1.00" in found["it is not sure of what is no answer"]
    assert found["it says what it can do"] == ""
