"""Forgetting a person over HTTP: have it done, and learn what became of it on every node.

A number comes in the body, never in a path or a query, where logs would keep it; from then on they are named by a keyed
hash. Who has asked is in the audit log, with the hash, before anything is done. What it does not do: search for what
may be left, which reads every file of every node; that is `ringmaster forget --prove`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from nodes.admin.access import WHO
from nodes.admin.audit import Audit
from nodes.admin.node import Node
from nodes.admin.places import origin_of
from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.links.errors import Refused
from nodes.links.removed import OLD_CENTRAL
from nodes.mesh.pieces import is_name
from nodes.people import NotAPerson, person
from nodes.reading import read_json
from protocols.wire.campaigns import ContactForgotten, ContactId, ForgetContact, contact_id, is_contact_id
from protocols.wire.forgetting import MOST_CALLS, GetForgotten, GetRemoved, Person, Place
from protocols.wire.ids import CallId, NodeId

PATH: Final = "/api/forget"


@dataclass(frozen=True, slots=True)
class ToForget:
    """Whom to forget: a number with + and the country code, or a SIP URI. `calls`: with them, of no campaign."""

    target: str
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keeper:
    """What a process has removed. Not `answers`: it did not say; it removes them all the same, when it is back."""

    process: str
    answers: bool
    is_done: bool
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Became:
    """What became of it. `at`: up to when all is forgotten; `is_done`: by all `keepers`, and no node is `away`."""

    contact_id: ContactId
    at: datetime
    is_done: bool
    keepers: tuple[Keeper, ...]
    away: tuple[NodeId, ...] = ()


class ForgetApi:
    """The handlers. `key`: of contacts' names."""

    def __init__(self, node: Node, key: bytes, audit: Audit) -> None:
        self._node, self._key, self._audit = node, key, audit

    def table(self) -> tuple[Route, ...]:
        """Return the routes. What is forgotten does not come back, so nobody below an admin may."""
        became = "What became of it: `contact` is the id that was answered then."
        return (
            Route("POST", PATH, "Forget a person, for good.", Role.ADMIN, self.forget, ContactForgotten, ToForget),
            Route("GET", PATH, became, Role.LEAD, self.became, Became),
        )

    async def forget(self, request: web.Request) -> ContactForgotten:
        """Have somebody forgotten. Refused: a field and what is wrong with it; as `ForgetContact`."""
        wanted = read_json(await request.read(), ToForget)
        try:
            target = person(wanted.target)
        except NotAPerson as error:
            raise Refused(f"target: {error}") from error
        if len(wanted.calls) > MOST_CALLS:
            raise Refused(f"calls: more than {MOST_CALLS}")
        if not all(map(is_name, wanted.calls)):
            raise Refused("calls: one of them is no call's name")
        name = contact_id(target, self._key)
        self._audit.note("contact.to_forget", request[WHO], origin_of(request.remote), contact_id=name)
        told = await self._node.of_people(ForgetContact(target, tuple(map(CallId, wanted.calls))))
        if told.at is None:
            raise Refused(OLD_CENTRAL)
        return told

    async def became(self, request: web.Request) -> Became:
        """Say what became of it. Refused: `contact: ...`."""
        one = await self._person(request.query.get("contact", ""))
        said, away = await self._node.removed(GetRemoved(one.contact_id, one.at))
        keepers = [
            Keeper(process, told is not None, told is not None and told.is_done, told.places if told else ())
            for process, told in sorted(said.items())
        ]
        is_done = not away and all(keeper.is_done for keeper in keepers)
        return Became(one.contact_id, one.at, is_done, tuple(keepers), tuple(away))

    async def _person(self, name: str) -> Person:
        if not is_contact_id(name):
            raise Refused("contact: is no contact's id")
        page = await self._node.of_people(GetForgotten(name[:-1]))  # the page that begins with them, or just before
        if (one := next((one for one in page.people if one.contact_id == name), None)) is None:
            raise Refused("contact: was not forgotten")
        return one


__all__ = ["Became", "ForgetApi", "Keeper", "ToForget"]
