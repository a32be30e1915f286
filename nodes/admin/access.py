"""Who may ask: holders of the token, and no page of another site; and what is refused before anything looks at it.

The token is random; it lies in `<state>/token` for as long as the state does, and where commands look for it:
`<state>/run/token`. Both are readable by their owner only. A browser sends `Origin` with whatever a page asks for: a
page of another site is refused, even one that has learnt the token. Pages and health say nothing about anybody and are
open.

A body is read for a route that takes one, once its sender is known, and never unpacked. Whatever goes wrong, the answer
is `{"error": reason}`.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from nodes.admin.files import write_private
from nodes.telemetry import logs

TOKEN_FILE: Final = "token"
MAX_BODY: Final = 256 * 1024
"""Bytes of an order: a script fits."""
BODY_S: Final = 10.0
"""So long may a body take to arrive."""

_BEARER: Final = "Bearer "
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32,128}")

log = logs.get(__name__)


def own_token(state: Path, run: Path) -> str:
    """Return the node's token, made when there is none, and leave it in the run directory. Raises: OSError."""
    file = state / TOKEN_FILE
    with suppress(FileNotFoundError):
        token = file.read_text(errors="replace")
        if _TOKEN.fullmatch(token):
            write_private(run / TOKEN_FILE, token.encode())
            return token
    token = secrets.token_urlsafe(24)
    write_private(file, token.encode())
    write_private(run / TOKEN_FILE, token.encode())
    return token


def is_token(given: str, token: str) -> bool:
    """Say whether this is the token, in the same time whatever is wrong with it.

    Bytes that are no UTF-8 reach us as surrogates (PEP 383).
    """
    return hmac.compare_digest(given.encode(errors="surrogatepass"), token.encode())


def guard(token: str, open_paths: Collection[str], takes_body: Collection[tuple[str, str]]) -> Middleware:
    """Return the middleware: everything needs the token but `open_paths`, which name routes as the router has them.

    `takes_body`: method and path of the routes that want one.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        at_work = getattr(request.protocol, "at_work", _nobody_counts)
        at_work(True)
        try:
            return await answered(request, handler)
        finally:
            at_work(False)

    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if refused := refused_unread(request) or unknown(request):
                return refused
            resource = request.match_info.route.resource
            if resource is not None and (request.method, resource.canonical) in takes_body:
                async with asyncio.timeout(BODY_S):
                    await request.read()
            elif request.can_read_body:
                return closing(refusal(400, "nothing here takes a body"))
            return await handler(request)
        except web.HTTPException as error:
            return as_json(error)
        except TimeoutError:
            return closing(refusal(408, f"the body took longer than {BODY_S:g} s"))
        except Exception as error:
            log.error("http.failed", error=f"{type(error).__name__}: {error}", exc_info=True)
            return refusal(500, "this is our mistake; the node's log says more")

    def unknown(request: web.Request) -> web.Response | None:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical in open_paths:
            return None
        given = request.headers.get("Authorization", "")
        if given.startswith(_BEARER) and is_token(given.removeprefix(_BEARER), token):
            return None
        return refusal(401, "a bearer token is needed; this node's is in <state>/run/token")

    return check


def refused_unread(request: web.Request) -> web.Response | None:
    """Return the answer to a request that nobody looks at any further."""
    origin = request.headers.get("Origin")
    if origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}"):
        return refusal(403, "this page is of another site")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return closing(refusal(415, "a body with a Content-Encoding is not unpacked"))
    if (request.content_length or 0) > MAX_BODY:
        return closing(refusal(413, f"a body has {MAX_BODY} bytes at most"))
    return None


def as_json(error: web.HTTPException) -> web.StreamResponse:
    """Return what aiohttp refuses in our words; where to go instead is no refusal."""
    if error.status < 400:
        raise error
    given = refusal(error.status, HTTPStatus(error.status).phrase)
    if "Allow" in error.headers:
        given.headers["Allow"] = error.headers["Allow"]
    return given


def closing(response: web.Response) -> web.Response:
    """Return the response as the last one of its connection."""
    response.force_close()
    return response


def refusal(status: int, reason: str) -> web.Response:
    """Return an error as the API tells it: `{"error": reason}`."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"error": reason}, status=status, headers=headers)


def _nobody_counts(_: Any) -> None:
    """Stand in for a connection of a server that is not ours."""


__all__ = ["MAX_BODY", "TOKEN_FILE", "guard", "is_token", "own_token", "refusal"]
