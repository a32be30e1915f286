"""The users' file: `<state>/users.json`, readable by its owner only; no secret stands in it, only their hashes.

`ringmaster user` writes it, also while the desk runs, which reads it again when it has changed. A `generation` is drawn
anew with each secret: sessions name the one that they began with, so that they end with it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from nodes.admin.hashing import hashed
from nodes.admin.roles import Role
from nodes.errors import NodeError, in_words
from nodes.files import open_private, write_private
from nodes.reading import read_json
from nodes.telemetry import logs

FILE: Final = "users.json"
MIN_PASSWORD: Final = 8
"""Letters, at least (NIST SP 800-63B s.5.1.1.1); tries are throttled."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A part of subjects and keys; no dot, which ends the name in a machine's bearer."""

log = logs.get(__name__)


class UsersError(NodeError):
    """The users' file cannot be read, or what is asked of it makes no sense."""


class User(msgspec.Struct, frozen=True):
    """One user, as written down. `since`: when the secret was set."""

    role: Role
    hash: str
    generation: str
    since: str


class _File(msgspec.Struct, frozen=True):
    users: dict[str, User]
    version: int = 1


def new_user(role: Role, secret: str) -> User:
    """Return a user with this secret; takes as long as hashing takes."""
    return User(role, hashed(secret), secrets.token_hex(8), datetime.now(UTC).isoformat(timespec="seconds"))


def read(path: Path) -> dict[str, User]:
    """Return name -> user; nobody without a file. Raises: UsersError."""
    try:
        return read_json(path.read_bytes(), _File).users
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsersError(in_words(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsersError(f"{path}: {error}") from error


@contextmanager
def changing(path: Path) -> Iterator[dict[str, User]]:
    """Read the users, and write what the block has made of them; one such block at a time.

    Raises: UsersError, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_private(path.with_suffix(".lock"), os.O_RDWR)) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = read(path)
        yield users
        write_private(path, msgspec.json.format(msgspec.json.encode(_File(users)), indent=1) + b"\n")


class Users:
    """The file as it is at any moment. One that cannot be read lets nobody in, and says so once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = (0, 0, 0)
        self._users: dict[str, User] = {}

    def find(self, name: str) -> User | None:
        """Return a user; None when there is none of that name."""
        self._look()
        return self._users.get(name)

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        self._seen, self._users = seen, {}
        try:
            self._users = read(self._path)
        except UsersError as error:
            log.error("users.unreadable", error=str(error))


__all__ = ["FILE", "MIN_PASSWORD", "NAME", "User", "Users", "UsersError", "changing", "new_user", "read"]
