"""What every request passes before anything else: refused unread, then who asks, then what they may, then the body.

A body is read for a route that takes one, once its sender is known, and never unpacked. Whatever goes wrong, the answer
is `{"error": reason}`; only the log has a traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from nodes.admin.access import WHO, Access, Denied, is_foreign
from nodes.admin.places import origin_of
from nodes.admin.refusals import JSON, closing, refusal
from nodes.admin.roles import may
from nodes.admin.routes import Route
from nodes.telemetry import logs

MAX_BODY: Final = 256 * 1024
"""Bytes of an order: a script fits."""
BODY_S: Final = 10.0
"""So long may a body take to arrive."""

log = logs.get(__name__)


def guard(access: Access, table: Iterable[Route], pages: Collection[str]) -> Middleware:
    """Return the middleware. `pages`: further routes, which are open, as the router names them."""
    routes = {(route.method, route.path): route for route in table}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        at_work = getattr(request.protocol, "at_work", _nobody_counts)
        at_work(True)
        try:
            return await answered(request, handler)
        except Denied as error:
            return _denied(error)
        except web.HTTPException as error:
            return _as_json(error)
        except Exception as error:  # a bug: whoever reads the log sees where, whoever asked sees only that
            log.error("http.failed", error=f"{type(error).__name__}: {error}", exc_info=True)
            return refusal(500, "this is our mistake; the node's log says more")
        finally:
            at_work(False)

    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refused := _unread(request):
            return refused
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else ""
        route = routes.get((request.method, path))
        is_open = path in pages or (route is not None and route.least is None)
        if not is_open and not isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            await _let_in(request, route)
        if route and route.order is not None:
            await _read(request)
        elif request.can_read_body and request.match_info.http_exception is None:
            return closing(refusal(400, "this takes no body"))
        given = await handler(request)
        if route and route.least and route.method != "GET":
            access.audit.note(
                f"{route.method} {route.path}", request.get(WHO), origin_of(request.remote), status=given.status
            )
        return given

    async def _let_in(request: web.Request, route: Route | None) -> None:
        who = await access.who(request)
        if who is None:
            raise Denied(401, "sign in, or send a bearer: a machine's NAME.SECRET, or this node's <state>/run/token")
        if route and route.least and not may(who.role, route.least):
            access.audit.refused(f"{route.method} {route.path}", origin_of(request.remote), name=who.name)
            raise Denied(403, f"a {who.role} may not; the least that may is {route.least}")
        request[WHO] = who

    return check


def _unread(request: web.Request) -> web.Response | None:
    """Return the answer to a request that nobody looks at any further."""
    if is_foreign(request):
        return refusal(403, "this page is of another site")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return closing(refusal(415, "a body with a Content-Encoding is not unpacked"))
    if (request.content_length or 0) > MAX_BODY:
        return closing(refusal(413, f"a body has {MAX_BODY} bytes at most"))
    return None


async def _read(request: web.Request) -> None:
    """Have the body here. Raises: Denied, HTTPException."""
    if request.content_type != JSON:
        raise Denied(415, f"the body is {JSON}, and says so in its Content-Type")
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise Denied(408, f"the body took longer than {BODY_S:g} s") from None


def _denied(error: Denied) -> web.Response:
    given = refusal(error.status, error.reason)
    if error.wait_s:
        given.headers["Retry-After"] = str(int(error.wait_s) + 1)
    return closing(given) if error.status in (408, 415) else given


def _as_json(error: web.HTTPException) -> web.StreamResponse:
    """Return what aiohttp refuses in our words; where to go instead is no refusal."""
    if error.status < 400:
        raise error
    given = refusal(error.status, HTTPStatus(error.status).phrase)
    if "Allow" in error.headers:
        given.headers["Allow"] = error.headers["Allow"]
    return given


def _nobody_counts(_: Any) -> None:
    """Stand in for a connection of a server that is not ours."""


__all__ = ["MAX_BODY", "guard"]
