"""Who hears whom, over HTTP, with a central's real settings behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes import config as configuration
from nodes.links.members import Members
from nodes.links.roster import Peer, Roster, State
from nodes.links.settings import Settings
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.subjects import Bucket
from tests.nodes.admin.conftest import Rig

PATH = "/api/speech"


@pytest.fixture
async def led(rig: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    """The rig with a central that keeps settings."""
    mesh = await Mesh.start(Identity("n1.central-0:1"), f"ipc://{tmp_path}/central")
    peer = Peer("central", "central-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE)
    roster = Roster(2, (*rig.roster.processes, peer), rig.roster.launcher)
    for one in (mesh, rig.mesh):
        one.roster(roster)
    rig.node.follow(replace(roster))
    config = configuration.parse(f"[paths]\nstate = '{tmp_path}'", "central", tmp_path)
    Settings(config, rig.bus.kv(Bucket.CONFIG), may_write=True).lead(mesh, Members(mesh, config))
    yield rig
    await mesh.close()


async def test_calls_are_heard_by_another_recogniser_and_everybody_sees_who_has_said_so(led: Rig) -> None:
    assert await led.ask("GET", PATH) == (200, {"recognisers": ["kaldi", "other"], "use": [], "version": 0})
    wanted = {"engine": "other", "percent": 10, "campaign": "spring"}
    assert await led.ask("POST", f"{PATH}/use", wanted) == (200, {"version": 1, "is_new": True})
    assert (await led.ask("POST", f"{PATH}/use", {"engine": "other"}))[1]["version"] == 2
    _, told = await led.ask("GET", PATH)
    all_others = {"engine": "other", "percent": 100.0, "campaign": ""}
    assert told["use"] == [wanted, all_others]
    assert (await led.ask("POST", f"{PATH}/use", {"engine": "kaldi"}))[1]["version"] == 3
    assert (await led.ask("GET", PATH))[1]["use"] == [wanted]
    entry = await led.bus.kv(Bucket.CONFIG).get("settings")
    assert entry is not None
    assert entry.value is not None
    assert entry.value["by"] == "node@n1"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"engine": "nobody"}, 409, "engine: nobody is none; there are kaldi, other"),
        ({"engine": "other", "percent": 101}, 409, "percent: 101.0 is not between 0 and 100"),
        ({"percent": 10}, 400, "engine"),
        ("[]", 400, "array"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field_and_changes_nothing(
    led: Rig, body: object, status: int, said: str
) -> None:
    told = await led.ask("POST", f"{PATH}/use", body)
    assert told[0] == status
    assert said in told[1]["error"]
    assert (await led.ask("GET", PATH))[1]["version"] == 0
