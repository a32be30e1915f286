"""Signing in and out: the routes of `/api/session`, which pages use. The session's secret is in a cookie only.

The cookie is HttpOnly (no script of any page reads it), SameSite=Strict (no other site's page sends it), and Secure
where the page came over TLS, ours or a proxy's.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from nodes.admin.access import WHO, Access
from nodes.admin.places import origin_of
from nodes.admin.roles import Role
from nodes.admin.routes import Route, answer
from nodes.links.errors import Refused
from nodes.reading import read_json


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who wants to sign in."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Self:
    """Who asks, as the desk knows them."""

    name: str
    role: Role


class SignIn:
    """The handlers."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def table(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", "/api/session", "Who asks.", Role.AGENT, self.tell, Self),
            Route("POST", "/api/session", "Sign in: sets the cookie.", None, self.begin, Self, Credentials),
            Route("DELETE", "/api/session", "Sign out.", Role.AGENT, self.end, Self),
        )

    async def tell(self, request: web.Request) -> Self:
        """Who asks."""
        return Self(request[WHO].name, request[WHO].role)

    async def begin(self, request: web.Request) -> web.Response:
        """Sign in."""
        given = read_json(await request.read(), Credentials)
        access, origin = self._access, origin_of(request.remote)
        secret = await access.sign_in(given.name, given.password, origin)
        who = access.sessions.who(secret)
        if who is None:
            raise Refused("ended_at_once")
        access.audit.note("session.begun", who, origin)
        response = answer(Self(who.name, who.role))
        is_secure = request.secure or request.headers.get("Origin", "").startswith("https:")
        response.set_cookie(
            access.cookie, secret, max_age=int(access.sessions.lifetime_s),
            httponly=True, samesite="Strict", secure=is_secure,
        )  # fmt: skip
        return response

    async def end(self, request: web.Request) -> web.Response:
        """Sign out. Refused: `no_session`, to whoever has shown a bearer."""
        who = request[WHO]
        if not who.session:
            raise Refused("no_session")
        await self._access.sessions.end(who.session)
        response = answer(Self(who.name, who.role))
        response.del_cookie(self._access.cookie, httponly=True, samesite="Strict")
        return response


__all__ = ["Credentials", "Self", "SignIn"]
