"""The served API held to its own document by schemathesis, which sends what fits the document and what does not.

The document names two ways to be known; a run is one role by one of them. Signing out is left out: it would end it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from nodes.admin.roles import Role
from nodes.links.roster import Peer, State
from nodes.mesh.mesh import Mesh
from protocols.wire.campaigns import Campaigns, ContactForgotten, ContactId, ForgetContact, ListCampaigns
from protocols.wire.do_not_call import (
    ChangeDoNotCall,
    CheckDoNotCall,
    DoNotCallChanged,
    DoNotCallPage,
    ListDoNotCall,
)
from protocols.wire.forgetting import ForgottenPeople, GetForgotten
from protocols.wire.ids import Identity
from tests.nodes.admin.conftest import Rig
from tests.nodes.admin.people import COOKIE, PASSWORD, let_in

NOBODY = "nobody"


async def held(rig: Rig, who: str, n_examples: int, root: Path) -> str:
    """Hold the server to its document as a role, or as nobody, and return what schemathesis has said of it.

    `n_examples`: of a route, beside those that follow from the document. Raises: AssertionError.
    """
    is_person = who not in (NOBODY, Role.MACHINE)
    if who != NOBODY:
        let_in(rig.run.parent, **{who: Role(who)})
    secret = await _signed_in(rig, who) if is_person else f"{who}.{PASSWORD}"
    scheme, key = ("session", "api_key") if is_person else ("bearer", "bearer")
    settings = root / "schemathesis.toml"
    settings.write_text("" if who == NOBODY else f"[auth.openapi.{scheme}]\n{key} = '{secret}'\n")
    central = await _central(rig, root)
    _, document = await rig.ask("GET", "/api/openapi.json")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run",
        str(_with_one_way(document, scheme, root / "openapi.json")), "--url", rig.address,
        "-H", f"Origin: {rig.address}", "--exclude-method", "DELETE", "--max-examples", str(n_examples),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=root,
    )  # fmt: skip
    said = (await running.communicate())[0].decode()
    await central.close()
    assert running.returncode == 0, said
    assert int(re.findall(r"(\d+) generated, \1 passed", said)[0]) > 100, said
    return said


async def _signed_in(rig: Rig, name: str) -> str:
    body, headers = {"name": name, "password": PASSWORD}, {"Origin": rig.address}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{rig.address}/api/session", json=body, headers=headers) as reply,
    ):
        return reply.cookies[COOKIE].value


async def _central(rig: Rig, root: Path) -> Mesh:
    """Let there be a central process: a node is whole when it is held to what it says of itself."""
    mesh = await Mesh.start(Identity("n1.central-0:1"), f"ipc://{root}/central")
    nobody = DoNotCallPage((), is_last=True, is_known=True)
    mesh.serve(ListCampaigns, lambda _, sender: Campaigns(()))
    mesh.serve(ListDoNotCall, lambda _, sender: nobody)
    mesh.serve(CheckDoNotCall, lambda _, sender: nobody)
    mesh.serve(ChangeDoNotCall, lambda _, sender: DoNotCallChanged(0, True))
    mesh.serve(GetForgotten, lambda _, sender: ForgottenPeople(()))
    mesh.serve(ForgetContact, lambda _, sender: ContactForgotten(0, ContactId("0" * 32), datetime.now(UTC)))
    peer = Peer("central", "central-0", mesh.identity, mesh.endpoint, 7, State.ACTIVE)
    whole = replace(rig.roster, processes=(*rig.roster.processes, peer))
    mesh.roster(whole)
    rig.mesh.roster(whole)
    rig.node.follow(whole)
    return mesh


def _with_one_way(document: dict, scheme: str, file: Path) -> Path:
    """Write the document with one way only to be known."""
    document["components"]["securitySchemes"] = {scheme: document["components"]["securitySchemes"][scheme]}
    for operation in (one for path in document["paths"].values() for one in path.values()):
        operation["security"] = [{scheme: []}] if operation["security"] else []
    file.write_text(json.dumps(document))
    return file


__all__ = ["NOBODY", "held"]
