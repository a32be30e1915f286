"""Sessions: who has signed in at a page, for how long, and what ends it.

A session is a random secret that the browser keeps in a cookie; we keep its hash, in memory and in
`<state>/sessions.json`, so that a desk that was started again knows its agents. It ends after its time, when its user
signs out, gets another secret or is removed, or with the oldest first when one user has too many. A role that changes
is the session's at once.

Ages are monotonic; what is on disk is wall time, because nothing else survives a machine: a clock that is set while the
desk runs signs nobody out.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from nodes.admin.roles import Who
from nodes.admin.users import Users
from nodes.errors import in_words
from nodes.files import write_private
from nodes.reading import read_json
from nodes.telemetry import logs

FILE: Final = "sessions.json"
MOST_OF_ONE: Final = 16
LONGEST_CALL_S: Final = 4 * 3600.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class _Session:
    """`ends_s`: seconds, monotonic."""

    user: str
    generation: str
    ends_s: float


class _Kept(msgspec.Struct, frozen=True):
    """A session on disk. `ends_at`: seconds of the epoch."""

    user: str
    generation: str
    ends_at: float


class Sessions:
    """The sessions of one desk, by the hash of their secret."""

    def __init__(self, path: Path, users: Users, lifetime_s: float) -> None:
        self._path, self._users, self.lifetime_s = path, users, lifetime_s
        self._writing = asyncio.Lock()
        self._sessions = self._read()

    async def begin(self, user: str) -> str:
        """Return the secret of a new session, for a user who has shown who they are."""
        known = self._users.find(user)
        secret = secrets.token_urlsafe(32)
        self._clear()
        own = [name for name, one in self._sessions.items() if one.user == user]
        for name in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
            del self._sessions[name]
        generation = known.generation if known else ""
        self._sessions[_hash(secret)] = _Session(user, generation, time.monotonic() + self.lifetime_s)
        await self._write()
        return secret

    def who(self, secret: str) -> Who | None:
        """Return whose session this is; None when it is none, or has ended."""
        return self.known(_hash(secret))

    def known(self, name: str, is_busy: bool = False) -> Who | None:
        """The same, by the name that `Who.session` has; who is busy may go on although the session's time is over."""
        session = self._sessions.get(name)
        if session is None or (session.ends_s <= time.monotonic() and not is_busy):
            return None
        user = self._users.find(session.user)
        if user is None or user.generation != session.generation:
            return None
        return Who(session.user, user.role, name)

    async def end(self, name: str) -> None:
        """End a session."""
        if self._sessions.pop(name, None):
            await self._write()

    def _clear(self) -> None:
        """Forget those that have ended, in which nobody can be busy any more."""
        long_ago = time.monotonic() - LONGEST_CALL_S
        self._sessions = {
            name: one
            for name, one in self._sessions.items() if one.ends_s > long_ago and self.known(name, is_busy=True)
        }  # fmt: skip

    async def _write(self) -> None:
        async with self._writing:
            now_s, now_at = time.monotonic(), time.time()
            kept = {
                name: _Kept(one.user, one.generation, now_at + one.ends_s - now_s)
                for name, one in self._sessions.items()
            }
            try:
                await asyncio.to_thread(write_private, self._path, msgspec.json.encode(kept))
            except OSError as error:  # they hold as long as this process does
                log.error("sessions.not_written", error=in_words(error))

    def _read(self) -> dict[str, _Session]:
        try:
            kept = read_json(self._path.read_bytes(), dict[str, _Kept])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            log.error("sessions.unreadable", error=in_words(error))
            return {}
        now_s, now_at = time.monotonic(), time.time()
        left = {name: min(one.ends_at - now_at, self.lifetime_s) for name, one in kept.items()}
        return {
            name: _Session(one.user, one.generation, now_s + left[name])
            for name, one in kept.items() if left[name] > 0
        }  # fmt: skip


def _hash(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


__all__ = ["FILE", "MOST_OF_ONE", "Sessions"]
