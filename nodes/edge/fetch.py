"""Business APIs that a script asks: HTTP with a time-out, JSON back, and a breaker per host.

Whatever goes wrong is a value, because the script has words for it: an API that is down must not cost a call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from grammars.conversation_state import Fetch, Fetched, FetchFailed
from supervisors import Breaker

MAX_REPLY: Final = 64 * 1024
"""Bytes of a reply that are read: a few fields, not a document."""


class Breakers:
    """One breaker per host, so that calls do not queue up in front of an API that fails."""

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = {}

    def of(self, host: str) -> Breaker:
        """Return the host's breaker (open above 50 % errors, DESIGN 6)."""
        return self._breakers.setdefault(host, Breaker())


async def fetch(breakers: Breakers, wanted: Fetch) -> Fetched | FetchFailed:
    """Ask and return the parsed JSON reply, or why there is none: breaker_open, timeout, http_503, not_json, ..."""
    try:
        url = URL(wanted.url)
    except ValueError:
        return FetchFailed("bad_url")
    breaker = breakers.of(url.host or "")
    if not breaker.allows(time.monotonic()):
        return FetchFailed("breaker_open")
    answer = await _ask(url, wanted.method, wanted.body, wanted.timeout_s)
    breaker.record(isinstance(answer, Fetched), time.monotonic())
    return answer


async def _ask(url: URL, method: str, body: Mapping[str, str] | None, timeout_s: float) -> Fetched | FetchFailed:
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(method, url, json=body, allow_redirects=False) as reply,
        ):
            data = await reply.content.read(MAX_REPLY + 1)
            if reply.status != 200:
                return FetchFailed(f"http_{reply.status}")
    except TimeoutError:
        return FetchFailed("timeout")
    except (aiohttp.ClientError, OSError) as error:
        return FetchFailed(type(error).__name__)
    if len(data) > MAX_REPLY:
        return FetchFailed("too_long")
    try:
        return Fetched(msgspec.json.decode(data))
    except msgspec.DecodeError:
        return FetchFailed("not_json")


__all__ = ["Breakers", "fetch"]
