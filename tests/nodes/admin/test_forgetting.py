"""Forgetting a person over HTTP: who may, what the log of it says, and what became of it on every node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from nodes.admin.roles import Role
from nodes.links.errors import Refused
from nodes.links.forgotten import Forgotten
from nodes.links.roster import Peer, State
from nodes.mesh.mesh import Mesh
from protocols.wire.campaigns import ContactForgotten, ForgetContact, contact_id
from protocols.wire.forgetting import ForgottenPeople, GetForgotten, GetRemoved, Person, Place, Removed
from protocols.wire.ids import CallId, Identity
from tests.nodes.admin.conftest import Rig
from tests.nodes.admin.people import PASSWORD, let_in

PATH = "/api/forget"
ADA = "+12025550100"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HERS = contact_id(ADA, bytes(32))
JOURNAL = Place("journal", 1, 0)


class Central:
    """A central that leads. `asked`: whom it was asked to forget; `refuses`: with this word."""

    def __init__(self, mesh: Mesh) -> None:
        self.asked: list[ForgetContact] = []
        self.refuses = ""
        mesh.serve(ForgetContact, self.forget)
        mesh.serve(GetForgotten, self.forgotten)
        mesh.serve(GetRemoved, lambda asked, sender: Removed(True, (JOURNAL,)))

    def forget(self, wanted: ForgetContact, sender: Identity) -> ContactForgotten:
        if self.refuses:
            raise Refused(self.refuses)
        self.asked.append(wanted)
        return ContactForgotten(2, contact_id(wanted.target, bytes(32)), AT)

    def forgotten(self, asked: GetForgotten, sender: Identity) -> ForgottenPeople:
        people = {contact_id(one.target, bytes(32)): one for one in self.asked}
        return ForgottenPeople(tuple(Person(name, AT) for name in sorted(people) if name > asked.after))


@pytest.fixture
async def central(rig: Rig, tmp_path: Path) -> AsyncIterator[Central]:
    mesh = await Mesh.start(Identity("n1.central-0:1"), f"ipc://{tmp_path}/central")
    peer = Peer("central", "central-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE)
    roster = replace(rig.roster, processes=(*rig.roster.processes, peer))
    for one in (mesh, rig.mesh):
        one.roster(roster)
    rig.node.follow(roster)
    yield Central(mesh)
    await mesh.close()


async def test_who_is_forgotten_is_answered_by_a_hash_and_what_became_of_it_by_every_process(
    rig: Rig, central: Central
) -> None:
    edge = Forgotten(lambda people: _done(people))
    edge.serve(rig.edge)
    body = {"target": "+1 (202) 555-0100", "calls": ["7c1f"]}
    told = await rig.ask("POST", PATH, body)
    assert told == (200, {"campaigns": 2, "contact_id": HERS, "at": "2026-03-02T09:30:00Z"})
    assert central.asked == [ForgetContact(ADA, (CallId("7c1f"),))]
    status, became = await rig.ask("GET", f"{PATH}?contact={HERS}")
    assert (status, became["is_done"], became["away"]) == (200, False, [])
    edge.learn(Person(HERS, AT))
    edge.known.set()
    await edge.round()
    status, became = await rig.ask("GET", f"{PATH}?contact={HERS}")
    journal, removed = ({"looked": 1, "note": "", **one} for one in (
        {"place": "journal", "removed": 0}, {"place": "recordings", "removed": 1}
    ))  # fmt: skip
    keepers = [
        {"process": "n1.central-0", "answers": True, "is_done": True, "places": [journal]},
        {"process": "n1.edge-0", "answers": True, "is_done": True, "places": [removed]},
    ]
    assert became == {"contact_id": HERS, "at": "2026-03-02T09:30:00Z", "is_done": True, "away": [], "keepers": keepers}


async def _done(people: list[Person]) -> list[tuple[Person, Place]]:
    return [(one, Place("recordings", 1, 1)) for one in people]


async def test_the_audit_log_has_who_asked_and_the_hash_and_never_the_number(rig: Rig, central: Central) -> None:
    central.refuses = "call_is_up"
    assert await rig.ask("POST", PATH, {"target": ADA}) == (409, {"error": "call_is_up"})
    rig.audit._write()
    lines = [json.loads(line) for line in (rig.run.parent / "audit.jsonl").read_text().splitlines()]
    assert [(one["what"], one["who"], one.get("contact_id"), one.get("status")) for one in lines] == [
        ("contact.to_forget", "node", HERS, None), (f"POST {PATH}", "node", None, 409),
    ]  # fmt: skip
    assert "2025550100" not in str(lines)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "target"),
        ({"target": 7}, 400, "$.target"),
        ({"target": ADA, "calls": "7c1f"}, 400, "$.calls"),
        ({"target": "2025550100"}, 409, "target: is no number"),
        ({"target": "sip:"}, 409, "target: "),
        ({"target": ADA, "calls": [""]}, 409, "calls: one of them"),
        ({"target": ADA, "calls": ["x"] * 101}, 409, "calls: more than 100"),
    ],
)
async def test_what_is_wrong_is_named_by_its_field_and_nobody_is_forgotten(
    rig: Rig, central: Central, body: object, status: int, said: str
) -> None:
    code, answer = await rig.ask("POST", PATH, body)
    assert (code, said in answer["error"]) == (status, True), answer
    assert "2025550100" not in answer["error"], "what was given may be somebody's"
    assert central.asked == []


async def test_of_whom_nobody_has_forgotten_nothing_is_said(rig: Rig, central: Central) -> None:
    for contact, why in (("", "is no contact's id"), (ADA[1:], "is no contact's id"), (HERS, "was not forgotten")):
        assert await rig.ask("GET", f"{PATH}?contact={contact}") == (409, {"error": f"contact: {why}"})


async def test_only_an_admin_has_somebody_forgotten(rig: Rig, central: Central) -> None:
    let_in(rig.run.parent, crm=Role.MACHINE)
    headers = {"Authorization": f"Bearer crm.{PASSWORD}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{rig.address}{PATH}", json={"target": ADA}) as reply,
    ):
        assert (reply.status, (await reply.json())["error"]) == (403, "a machine may not; the least that may is admin")
    assert central.asked == []
