"""`ringmaster bench core`: what it prints and how it ends."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from nodes.bench.core import Verdict
from nodes.commands.bench_core import show
from nodes.commands.terminal import PAPER
from tests.nodes.commands.conftest import PATIENCE_S, Place

ASK = Verdict("ask with deadline / asyncio.timeout", 0.5, 0.65, 0.5, True, True, "ratio", 4.0, 8.0, {})
STORM = Verdict("storm: 10,000 / 1,000", 17.0, 12, None, False, None, "ratio", 170_000.0, 10_000.0, {})
PEERS = {"mode": "0.7.1", "pykka": None, "Erlang": None}
FIELDS = {"name", "ratio", "must", "stretch", "meets_must", "meets_stretch"}


def test_the_json_is_one_object_with_a_row_for_each_promise(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([ASK, STORM], 3, {}, as_json=True) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    told = json.loads(out)
    assert (told["bench"], told["rounds"], told["missed"], told["peers"]) == ("core", 3, [STORM.name], {})
    assert told["python"]
    ask, storm = told["rows"]
    assert ask.keys() >= FIELDS
    assert (ask["ratio"], ask["meets_must"], storm["meets_must"], storm["meets_stretch"]) == (0.5, True, False, None)


def test_a_must_that_is_missed_is_named_and_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([ASK, STORM], 3, {}, as_json=False) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"missed: {STORM.name}"


def test_when_every_must_is_met_the_status_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([ASK, replace(STORM, meets_must=True)], 3, {}, as_json=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "every must is met"


def test_the_table_names_a_peer_that_is_not_installed_and_fits_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    peers: dict[str, float | None] = {"mode": 1234.5}
    show([replace(ASK, peers=peers), replace(STORM, peers=peers)], 3, PEERS, as_json=False)
    out = capsys.readouterr().out
    assert "mode 0.7.1, pykka is not installed, Erlang is not installed" in " ".join(out.split())
    assert "1,234" in out
    assert max(map(len, out.splitlines())) <= PAPER


def test_ctrl_c_takes_what_measures_along(place: Place) -> None:
    running = place.start("bench", "core", "--json")
    place.until(lambda: any("nodes.bench." in command for command in place.alive().values()), running)
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_S) == 128 + signal.SIGINT
    place.nothing_is_left()
    assert (place.out, place.err) == ("", "")
