"""The do-not-call list over HTTP: put somebody on it, take them off, look them up, read it page by page.

Numbers come in the body, never in a path or a query, where logs would keep them; they are named by a keyed hash here,
and go no further. Whoever asks is who said so.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from nodes.admin.access import WHO
from nodes.admin.node import Node
from nodes.admin.roles import Role
from nodes.admin.routes import Route
from nodes.links.errors import Refused
from nodes.people import NotAPerson, person
from nodes.reading import read_json
from protocols.wire.campaigns import ContactId, contact_id
from protocols.wire.do_not_call import (
    MOST,
    MOST_WORDS,
    ChangeDoNotCall,
    CheckDoNotCall,
    DoNotCallChanged,
    DoNotCallPage,
    ListDoNotCall,
    Listing,
)


@dataclass(frozen=True, slots=True)
class People:
    """Telephone numbers with + and the country code, or SIP URIs; `why` is kept with each."""

    numbers: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to look up."""

    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Who of those asked for must not be called. `is_known`: whether the list is known; else nobody is dialled."""

    listed: dict[str, bool]
    is_known: bool


class ListApi:
    """The handlers. `key`: of contacts' names."""

    def __init__(self, node: Node, key: bytes) -> None:
        self._node, self._key = node, key

    def table(self) -> tuple[Route, ...]:
        """Return the routes."""
        path = "/api/do-not-call"
        return (
            Route("GET", path, "What holds, by contact: `after` pages.", Role.LEAD, self.page, DoNotCallPage),
            Route("POST", path, "Call these no more.", Role.MACHINE, self.add, DoNotCallChanged, People),
            Route("POST", f"{path}/check", "Look these up.", Role.MACHINE, self.check, Found, Asked),
            Route("POST", f"{path}/remove", "Take these off.", Role.LEAD, self.remove, DoNotCallChanged, People),
        )

    async def page(self, request: web.Request) -> DoNotCallPage:
        """The list as it holds."""
        return await self._node.of_people(ListDoNotCall(request.query.get("after", "")))

    async def add(self, request: web.Request) -> DoNotCallChanged:
        """Put people on the list."""
        return await self._change(request, is_on=True)

    async def remove(self, request: web.Request) -> DoNotCallChanged:
        """Take people off the list."""
        return await self._change(request, is_on=False)

    async def check(self, request: web.Request) -> Found:
        """Look people up."""
        asked = read_json(await request.read(), Asked)
        names = self._names(asked.numbers)
        page = await self._node.of_people(CheckDoNotCall(tuple(names)))
        listed = {one.contact_id for one in page.listings if one.is_on}
        found = {number: name in listed for number, name in zip(asked.numbers, names, strict=True)}
        return Found(found, page.is_known)

    async def _change(self, request: web.Request, is_on: bool) -> DoNotCallChanged:
        wanted = read_json(await request.read(), People)
        by = request[WHO].name[:MOST_WORDS]
        said = tuple(Listing(name, is_on, by, wanted.why[:MOST_WORDS], wall="") for name in self._names(wanted.numbers))
        return await self._node.of_people(ChangeDoNotCall(said))

    def _names(self, numbers: tuple[str, ...]) -> list[ContactId]:
        """Return what people are called here. Raises: Refused."""
        if len(numbers) > MOST:
            raise Refused(f"numbers: more than {MOST}")
        try:
            return [contact_id(person(number), self._key) for number in numbers]
        except NotAPerson as error:
            raise Refused(f"numbers: one of them {error}") from error


__all__ = ["ListApi"]
