"""Errors as the API tells them: `{"error": reason}`."""

from __future__ import annotations

from typing import Final

from aiohttp import web

JSON: Final = "application/json"


AGAIN_S: Final = 5
"""After so long an order that was refused for now may be tried again: calls have ended, or a process is back."""


def refusal(status: int, reason: str) -> web.Response:
    """Return an error's answer; 401 says how to be known, 503 when to come again.

    >>> refusal(404, "no such call").text
    '{"error": "no such call"}'
    """
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(AGAIN_S)}}.get(status)
    return web.json_response({"error": reason}, status=status, headers=headers)


def closing(response: web.Response) -> web.Response:
    """Return the response as the last one of its connection."""
    response.force_close()
    return response


__all__ = ["JSON", "closing", "refusal"]
