"""Whoever is measured does the work that is measured: the kernel, the floor, and each peer that is installed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from nodes.bench.contender import Contender
from nodes.bench.core import installed
from nodes.bench.field import CONTENDERS
from nodes.bench.peers import beam

NEEDED = {"mode": "mode-streaming", "pykka": "pykka"}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Crashes are not logged."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=CONTENDERS)
async def it(request: pytest.FixtureRequest, quiet: None) -> AsyncIterator[Contender]:
    """Each contender, open."""
    if request.param in NEEDED and installed(NEEDED[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    made = CONTENDERS[request.param]()
    await made.open()
    yield made
    await made.close()


async def test_it_answers_every_kind_of_ask_and_takes_what_it_is_told(it: Contender) -> None:
    it.tell(1)
    assert [await ask(41) for ask in (it.ask, it.ask_in_time, it.ask_waiting)] == [42, 42, 42]


async def test_a_child_that_is_crashed_has_a_replacement_again_and_again(it: Contender) -> None:
    await it.spawn(3)
    for i in (0, 2, 2, 1):
        it.crash(i)
        await it.back(i)
    await it.stop()


async def test_children_can_be_started_again_after_they_were_stopped(it: Contender) -> None:
    for _ in range(2):
        await it.spawn(2)
        it.crash(1)
        await it.back(1)
        await it.stop()


@pytest.mark.skipif(beam.release() is None, reason="no erl")
def test_erlang_measures_the_same_figures() -> None:
    command = [sys.executable, "-m", "nodes.bench.peers.beam", "tiny"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)["Erlang"]
    works = {
        "ask",
        "ask_in_time",
        "ask_by_many",
        "tell",
        "spawn",
        "stop",
        "restart_p50",
        "restart_p99",
        "storm",
        "memory",
    }
    assert figures.keys() == works
    assert all(cost > 0 for cost in figures.values())


def test_where_there_is_no_erl_there_is_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert beam.release() is None
    assert installed("no-such-distribution") is None
