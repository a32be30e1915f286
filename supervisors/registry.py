"""Finding actors by name: a name is typed, and lives as long as the life that took it.

An actor takes a name in its `init` (`self.register(Name[Pool]("agents"))`), so it comes back with it after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from supervisors.errors import NameTaken

A = TypeVar("A")
C = TypeVar("C")


@dataclass(frozen=True)
class Name(Generic[A]):
    """The name of one actor of class A. Two names are the same when their keys are: keep them as constants."""

    key: str


class Registry(Generic[C]):
    """Names, and the addresses of the living who have them."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: dict[str, C] = {}

    def register(self, key: str, address: C) -> Lease[C]:
        """Give the name `key` to `address`, until the lease is cancelled. Raises NameTaken."""
        if key in self._taken:
            raise NameTaken(key)
        self._taken[key] = address
        return Lease(self._taken, key)

    def find(self, key: str) -> C | None:
        """Return who has `key` now."""
        return self._taken.get(key)


class Lease(Generic[C]):
    """A name that is taken."""

    __slots__ = ("_key", "_taken")

    def __init__(self, taken: dict[str, C], key: str) -> None:
        self._taken = taken
        self._key = key

    def cancel(self) -> None:
        """Give the name back."""
        self._taken.pop(self._key, None)
