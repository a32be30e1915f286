"""A route of the API: its place, what it says, and the least role that may ask; and its handler as the server wants it.

Orders and answers are frozen dataclasses, so that the document (`openapi.py`) is made from what is really sent. An
error is `{"error": reason}`: 400 for a body that is wrong, 401, 403, 413, 415 and 429 from `guard.py`, 409 for a
refusal, 503 for one that holds for now only (the node is full, say) and for a process that is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from nodes.admin.refusals import refusal
from nodes.admin.roles import Role
from nodes.links.errors import LinkError, Refused
from protocols.wire.load import NOT_NOW


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `least`: None lets everybody ask. `answer`: None for what is no JSON; `order`: the body it takes."""

    method: str
    path: str
    what: str
    least: Role | None
    handler: Callable[[web.Request], Awaitable[object]]
    answer: type | None = None
    order: type | None = None


def handler_of(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the route's handler as the server wants it: dataclasses become JSON, errors their status."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            given = await route.handler(request)
        except (msgspec.DecodeError, RecursionError) as error:
            return refusal(400, str(error))
        except Refused as error:
            return refusal(503 if error.reason in NOT_NOW else 409, error.reason)
        except LinkError as error:
            return refusal(503, f"{type(error).__name__}: {error}")
        return given if isinstance(given, web.StreamResponse) else answer(given)

    return handle


def answer(given: object, status: int = 200) -> web.Response:
    """Return a dataclass as a JSON response, which nobody keeps."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    body = msgspec.json.encode(given)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


__all__ = ["Route", "answer", "handler_of"]
