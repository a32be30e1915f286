"""A node that starts has the scripts of running campaigns made ready, and waits for none longer than there is hope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodes.edge import warm_up
from nodes.edge.warm_up import WarmUp
from nodes.links.errors import Refused
from protocols.wire.campaigns import Campaigns, CampaignScript, CampaignStatus, GetScript, ListCampaigns
from protocols.wire.ids import CampaignId, Identity
from protocols.wire.messages import WarmScript
from tests.nodes.edge.surroundings import Surroundings, surroundings

READY, COLD = {"warming_up": 0.0, "scripts_cold": 0.0}, {"warming_up": 0.0, "scripts_cold": 1.0}


def status(name: str, phase: str) -> CampaignStatus:
    return CampaignStatus(CampaignId(name), phase, 0, 0, 0, 0, 0)


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    async with surroundings(tmp_path, "speech-0", "speech-1", "central-0") as made:
        yield made


def leads(around: Surroundings, *told: CampaignStatus) -> None:
    central = around.peers["central-0"]
    central.serve(ListCampaigns, lambda _, sender: Campaigns(told))
    central.serve(GetScript, lambda asked, sender: CampaignScript(f"script of {asked.campaign_id}".encode()))


async def warmed(around: Surroundings) -> WarmUp:
    warming = WarmUp(around.services)
    warming.begin()
    assert warming.figures()["warming_up"] == 1.0
    async with asyncio.timeout(60):
        await warming.run()
    return warming


async def test_every_engine_has_the_scripts_of_campaigns_that_run_and_no_others(around: Surroundings) -> None:
    leads(around, status("spring", "running"), status("old", "stopped"), status("new", "imported"))
    assert (await warmed(around)).figures() == READY
    engines = [await around.hears(WarmScript) for _ in range(2)]
    assert sorted(engines, key=str) == [(name, WarmScript(b"script of spring")) for name in ("speech-0", "speech-1")]
    assert around.told.empty()


async def test_whoever_leads_a_little_later_is_waited_for(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "AGAIN_S", 0.02)
    asked = 0

    def not_yet(_: ListCampaigns, sender: Identity) -> Campaigns:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Refused("not_leading")
        return Campaigns((status("spring", "running"),))

    leads(around)
    around.peers["central-0"].serve(ListCampaigns, not_yet)
    assert (await warmed(around)).figures() == READY
    assert (await around.hears(WarmScript))[1] == WarmScript(b"script of spring")


async def test_where_nobody_leads_nothing_is_waited_for_any_longer(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "LEAD_S", 0.1)
    monkeypatch.setattr(warm_up, "AGAIN_S", 0.02)
    around.follow("central-0")
    assert (await warmed(around)).figures() == READY


async def test_a_script_that_an_engine_refuses_is_told_and_the_others_are_made_ready(around: Surroundings) -> None:
    leads(around, status("autumn", "running"), status("spring", "running"))
    around.refusals["speech-1", WarmScript] = "engine_failed"
    warming = await warmed(around)
    assert warming.figures() == COLD | {"scripts_cold": 2.0}
    told = [await around.hears(WarmScript) for _ in range(4)]
    assert {name for name, _ in told} == {"speech-0", "speech-1"}


async def test_an_engine_that_hangs_keeps_no_node_from_being_ready(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "WARM_S", 0.3)
    leads(around, status("spring", "running"))
    around.waits[WarmScript] = asyncio.Event()
    assert (await warmed(around)).figures() == COLD
    around.waits[WarmScript].set()
