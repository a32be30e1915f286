"""A node that starts is ready when its scripts and trunks are, and not only its processes; and how long that took."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.admin import startup as module
from nodes.admin.node import Process
from nodes.admin.readiness import NO_TRUNKS, TRUNKS_S, Readiness, Trunks, readiness
from nodes.admin.startup import FILE, scale_up_s
from tests.nodes.admin.conftest import Rig

HOUR_S = 3600.0
ONE, BOTH = Trunks(2, 1), Trunks(2, 2)


def judged(trunks: Trunks = NO_TRUNKS, starts_s: float | None = 1.0, **figures: float) -> Readiness:
    """Judge a node that has what it needs, and whose edge says this of itself."""
    told = {"edge": {"registrations": 0.0, **figures}, "media": {}, "speech": {}, "recorder": {}, "central": {}}
    processes = [Process(f"{role}-0", role, "active", 7, True, said) for role, said in told.items()]
    return readiness(processes, True, trunks=trunks, starts_s=starts_s)


def test_a_node_that_starts_waits_for_the_scripts_of_running_campaigns_and_says_so() -> None:
    asking, warming = judged(warming_up=1.0), judged(warming_up=1.0, scripts_cold=2.0)
    assert (asking.ready, asking.missing, asking.parts["scripts"]) == (
        False, ("scripts",), "asking central which are needed",
    )  # fmt: skip
    assert (warming.ready, warming.parts["scripts"]) == (False, "2 are made ready")
    assert judged(warming_up=0.0).parts["scripts"] == "ok"


def test_a_script_that_cannot_be_made_ready_is_told_and_waited_for_by_its_calls_only() -> None:
    given_up = judged(warming_up=0.0, scripts_cold=1.0)
    assert (given_up.ready, given_up.parts["scripts"]) == (
        True, "1 could not be made ready: their first calls wait",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trunks", "registered", "starts_s", "is_ready"),
    [
        (BOTH, 2, 1.0, True),
        (BOTH, 1, 1.0, False),  # there is hope
        (BOTH, 1, TRUNKS_S, True),  # one of two works
        (BOTH, 0, HOUR_S, False),  # nobody could be called
        (ONE, 0, 1.0, False),
        (ONE, 0, TRUNKS_S, True),  # the other one does not register: it may work
        (BOTH, 0, None, True),  # it was ready before: the carrier is down, and not the node
    ],
)
def test_a_trunk_that_is_down_does_not_keep_a_node_from_being_ready_for_ever_where_another_works(
    trunks: Trunks, registered: int, starts_s: float | None, is_ready: bool
) -> None:
    told = judged(trunks, starts_s, registrations=float(registered))
    assert told.ready is is_ready
    assert told.missing == (() if is_ready else ("trunks",))
    n_missing = trunks.n_register - registered
    assert told.parts["trunks"] == (f"{n_missing} of {trunks.n_register} not registered" if n_missing else "ok")


def test_of_several_edges_the_one_with_the_fewest_trunks_is_waited_for() -> None:
    edges = [Process(f"edge-{n}", "edge", "active", n, True, {"registrations": float(n)}) for n in (1, 2)]
    assert "trunks" in readiness(edges, True, trunks=BOTH, starts_s=1.0).missing


async def test_the_first_time_that_a_node_is_ready_is_told_to_its_launcher_with_what_began_it(rig: Rig) -> None:
    rig.figures = {"warming_up": 1.0}
    (rig.state / FILE).write_text(f"{time.time() - 100:.3f}\n")
    starting = asyncio.create_task(rig.startup.run())
    try:
        async with asyncio.timeout(60):
            while (answer := await rig.ask("GET", "/readyz"))[1]["missing"] != ["scripts"]:
                await asyncio.sleep(0.05)
        assert answer[0] == 503
        assert rig.told == []
        assert "\nringmaster_node_start_seconds " not in (await rig.ask("GET", "/metrics"))[1]
        rig.figures = {"warming_up": 0.0}
        async with asyncio.timeout(60):
            await starting
    finally:
        starting.cancel()
    (took,) = rig.told
    assert took["ready_s"] > 0
    assert 100 <= took["scale_up_s"] < 200
    assert not (rig.state / FILE).exists(), "the next start is another one"
    assert (await rig.ask("GET", "/readyz"))[0] == 200


async def test_a_desk_that_comes_later_is_told_how_long_the_start_took_and_waits_for_nothing(rig: Rig) -> None:
    assert rig.roster.launcher is not None
    told = replace(rig.roster.launcher, ready_s=7.5, scale_up_s=200.0)
    rig.node.follow(replace(rig.roster, launcher=told))
    rig.figures = {"warming_up": 1.0}
    async with asyncio.timeout(60):
        await rig.startup.run()
    assert rig.told == []
    assert (await rig.ask("GET", "/readyz"))[0] == 200
    metrics = (await rig.ask("GET", "/metrics"))[1]
    assert "ringmaster_node_start_seconds 7.5\n" in metrics
    assert "ringmaster_scale_up_seconds 200.0\n" in metrics


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-1", "1e99", "17", "\xff", "9" * 100])
def test_what_is_no_moment_of_the_last_day_is_forgotten(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert scale_up_s(tmp_path, now=1_790_000_000.0) == 0.0
    assert not (tmp_path / FILE).exists()


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    assert scale_up_s(tmp_path, now=1.0) == 0.0
    os.mkfifo(tmp_path / FILE)
    assert scale_up_s(tmp_path, now=1_790_000_000.0) == 0.0
    (tmp_path / FILE).mkdir()
    assert scale_up_s(tmp_path, now=1_790_000_000.0) == 0.0
    assert module.MOST_S == 24 * HOUR_S
