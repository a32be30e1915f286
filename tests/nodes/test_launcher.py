"""What ends while a node starts: the node goes on, unless it is a server that cannot run and says nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodes.config import parse
from nodes.launcher import Launcher
from supervisors.program import ProcessExit, ProcessReport, Standing

KILLED, ENDED = ProcessExit(None, 9, "", ()), ProcessExit(1, None, "", ("bind: address already in use",))


@pytest.mark.parametrize(
    ("name", "exit", "unfit"),
    [
        ("central-0", KILLED, ""),
        ("edge-0", ENDED, ""),
        ("nats-0", KILLED, ""),
        ("nats-0", ENDED, "nats-0: ended with code 1: bind: address already in use"),
    ],
)
async def test_a_process_that_is_killed_while_the_node_starts_and_is_there_again_ends_no_node(
    tmp_path: Path, name: str, exit: ProcessExit, unfit: str
) -> None:
    """Its edge may have calls by then: they were hung up on, because central had died in their node's first minute."""
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    config.paths.run.mkdir(parents=True)
    launcher = Launcher(config, {})
    launcher._changed(ProcessReport(name, 7, Standing.GONE, {}, exit))
    assert launcher._unfit == unfit
    assert launcher._faults, "if the node cannot start, this is why"


async def test_the_log_says_of_each_process_that_ended_who_ended_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of one whose spare takes over, of which no supervisor tells."""
    config = parse('[paths]\nstate = "."', "test", tmp_path)
    config.paths.run.mkdir(parents=True)
    launcher = Launcher(config, {})
    for pid, exit in enumerate((ProcessExit(None, 9, "silent for 3.0 s", ()), ENDED, ProcessExit(0, None, "", ()))):
        launcher._changed(ProcessReport("edge-0", pid, Standing.GONE, {}, exit))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["name"], line["pid"], line["why"]) for line in lines] == [
        ("process.ended", "edge-0", 0, "silent for 3.0 s"),
        ("process.ended", "edge-0", 1, "ended with code 1"),
    ]


async def test_why_a_node_cannot_start_is_what_a_process_said_and_not_that_another_was_killed(tmp_path: Path) -> None:
    launcher = Launcher(parse('[paths]\nstate = "."', "test", tmp_path), {})
    launcher._config.paths.run.mkdir(parents=True)
    for name, exit in (("speech-0", KILLED), ("edge-0", ENDED), ("central-0", ENDED)):
        launcher._changed(ProcessReport(name, 7, Standing.GONE, {}, exit))
    assert launcher._why_not() == "edge-0: ended with code 1: bind: address already in use"
