"""Errors as the API tells them: `{"error": reason}`."""

from __future__ import annotations

from typing import Final

from aiohttp import web

JSON: Final = "application/json"


def refusal(status: int, reason: str) -> web.Response:
    """Return an error's answer.

    >>> refusal(404, "no such call").text
    '{"error": "no such call"}'
    """
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"error": reason}, status=status, headers=headers)


def closing(response: web.Response) -> web.Response:
    """Return the response as the last one of its connection."""
    response.force_close()
    return response


__all__ = ["JSON", "closing", "refusal"]
