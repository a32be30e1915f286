"""Secrets at rest: argon2id, and its work off the event loop, one at a time.

19 MiB and two passes are the least that OWASP's cheat sheet on storing passwords asks for: 40 ms of one core here,
which nobody's call feels, where the library's own 64 MiB on four threads would be heard.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2

MAX_WAITING: Final = 32
"""Who comes while so many wait is told to come again: the last of them waits a second."""
MAX_SECRET: Final = 1024

_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Busy(Exception):
    """Too many wait already."""


def hashed(secret: str) -> str:
    """Return what may be written down of a secret."""
    return _HASHER.hash(secret.encode(errors="surrogatepass"))


def matches(known: str | None, secret: str) -> bool:
    """Say whether the secret is the one that was hashed; without one, after as long, that it is not."""
    try:
        _HASHER.verify(known or _nobodys(), secret.encode(errors="surrogatepass"))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHash):
        return False
    return known is not None


@functools.cache
def _nobodys() -> str:
    return hashed(secrets.token_urlsafe())


class Hasher:
    """Compares secrets in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hasher")
        self._n_waiting = 0

    async def matches(self, known: str | None, secret: str) -> bool:
        """The same as `matches`, while the loop goes on. Raises: Busy."""
        if len(secret) > MAX_SECRET:
            return False
        if self._n_waiting >= MAX_WAITING:
            raise Busy
        self._n_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, matches, known, secret)
        finally:
            self._n_waiting -= 1


__all__ = ["Busy", "Hasher", "MAX_SECRET", "hashed", "matches"]
