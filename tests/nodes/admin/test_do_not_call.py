"""The do-not-call list over HTTP, with a real central's handlers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.central.listings import Listings
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import Refused
from nodes.links.kept_list import FILE, KeptList
from nodes.links.roster import Peer, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from protocols.wire.campaigns import ContactId, contact_id
from protocols.wire.do_not_call import ChangeDoNotCall, Listing
from protocols.wire.ids import Identity
from protocols.wire.subjects import Bucket
from tests.nodes.admin.conftest import Rig

PATH = "/api/do-not-call"
ADA, EVE = "+12025550100", "+12025550199"


@pytest.fixture
async def listed(rig: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    """The rig with a central that keeps the list."""

    async def is_fresh() -> bool:
        return True

    mesh = await Mesh.start(Identity("n1.central-0:1"), f"ipc://{tmp_path}/central")
    peer = Peer("central", "central-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE)
    roster = Roster(2, (*rig.roster.processes, peer), rig.roster.launcher)
    for one in (mesh, rig.mesh):
        one.roster(roster)
    rig.node.follow(replace(roster))
    async with Tasks() as tasks:
        listed = DoNotCall(rig.bus.kv(Bucket.DNC), KeptList(tmp_path / FILE, ""), is_fresh)
        Listings(listed, tmp_path / FILE).serve(mesh)
        tasks.spawn(listed.follow())
        await listed.decided.wait()
        future = Listing(contact_id(EVE, bytes(32)), False, "a clock", "is wrong", "2999-01-01T00:00:00+00:00")
        await listed.take([future])
        yield rig
    await mesh.close()


async def test_who_is_put_on_the_list_is_found_on_it_with_who_said_so_and_why(listed: Rig) -> None:
    numbers = {"numbers": ["+1 (202) 555-0100", "sip:ben@192.0.2.1"]}
    assert await listed.ask("POST", f"{PATH}/check", numbers) == (
        200, {"listed": {"+1 (202) 555-0100": False, "sip:ben@192.0.2.1": False}, "is_known": True}
    )  # fmt: skip
    added = await listed.ask("POST", PATH, {"numbers": [ADA], "why": "by letter"})
    assert added == (200, {"n_new": 1, "is_everywhere": True})
    _, found = await listed.ask("POST", f"{PATH}/check", numbers)
    assert found["listed"] == {"+1 (202) 555-0100": True, "sip:ben@192.0.2.1": False}
    status, page = await listed.ask("GET", PATH)
    one = next(one for one in page["listings"] if one["is_on"])
    assert (status, one["by"], one["why"], one["is_on"], page["is_last"]) == (200, "node", "by letter", True, True)
    assert ADA not in str(page)
    await listed.ask("POST", f"{PATH}/remove", {"numbers": [ADA]})
    _, found = await listed.ask("POST", f"{PATH}/check", {"numbers": [ADA]})
    assert found["listed"] == {ADA: False}


@pytest.mark.parametrize("body", ["", "{}", *(f'{{"numbers": ["{who}"]}}' for who in ("2025550100", "+1", "sip:"))])
async def test_what_is_nobody_is_refused_and_changes_nothing(listed: Rig, body: str) -> None:
    status, said = await listed.ask("POST", PATH, body)
    assert status == (409 if "numbers" in body else 400), "what the document allows is refused, the rest is wrong"
    assert "2025550100" not in said["error"], "what was given may be somebody's"
    assert not any(one["is_on"] for one in (await listed.ask("GET", PATH))[1]["listings"])


async def test_a_wish_holds_also_over_what_a_clock_in_the_future_has_said(listed: Rig) -> None:
    assert (await listed.ask("POST", PATH, {"numbers": [EVE]}))[1]["n_new"] == 1
    _, found = await listed.ask("POST", f"{PATH}/check", {"numbers": [EVE]})
    assert found["listed"] == {EVE: True}


async def test_an_entry_that_names_nobody_is_refused_before_it_is_written_down(listed: Rig, tmp_path: Path) -> None:
    for odd in ("", "x" * 32, "0" * 31 + " ", "0" * 33):
        with pytest.raises(Refused, match="bad_contact"):
            await listed.node.of_people(ChangeDoNotCall((Listing(ContactId(odd), True, "import", "", ""),)))
    assert b"import" not in (tmp_path / FILE).read_bytes()


async def test_without_a_central_nobody_says_that_it_is_done(rig: Rig) -> None:
    status, _ = await rig.ask("POST", PATH, {"numbers": [ADA]})
    assert status == 503
