"""Who may ask: holders of the token, and no page of another site.

The token is random and new with each start of the process; it lies in `<state>/run/token`, readable by its owner only,
where the command line finds it. A browser sends `Origin` with whatever a page asks for: a page of another site is
refused, even one that has learnt the token. Pages and health say nothing about anybody and are open.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

TOKEN_FILE: Final = "token"

_BEARER: Final = "Bearer "


def new_token(run: Path) -> str:
    """Make a token and leave it in the run directory. Raises: OSError."""
    token = secrets.token_urlsafe(24)
    draft = run / f"{TOKEN_FILE}.new"
    draft.touch(mode=0o600)
    draft.write_text(token)
    draft.replace(run / TOKEN_FILE)
    return token


def is_token(given: str, token: str) -> bool:
    """Say whether this is the token, in the same time whatever is wrong with it."""
    return hmac.compare_digest(given.encode(), token.encode())


def guard(token: str, open_paths: Collection[str]) -> Middleware:
    """Return the middleware: everything needs the token but `open_paths`, which name routes as the router has them."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}"):
            return refusal(403, "this page is of another site")
        resource = request.match_info.route.resource
        if resource is None or resource.canonical not in open_paths:
            given = request.headers.get("Authorization", "")
            if not given.startswith(_BEARER) or not is_token(given.removeprefix(_BEARER), token):
                return refusal(401, "a bearer token is needed; this node's is in <state>/run/token")
        return await handler(request)

    return check


def refusal(status: int, reason: str) -> web.Response:
    """Return an error as the API tells it: `{"error": reason}`."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"error": reason}, status=status, headers=headers)


__all__ = ["TOKEN_FILE", "guard", "is_token", "new_token", "refusal"]
