"""Finding actors by name: a name is typed, and lives as long as the life that took it.

An actor takes a name in its `init` (`self.register(Name[Pool]("agents"))`), so it comes back with it after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from supervisors.errors import NameTaken

if TYPE_CHECKING:
    from supervisors.actor import Actor
    from supervisors.ref import Ref

A = TypeVar("A", bound="Actor")


@dataclass(frozen=True)
class Name(Generic[A]):
    """The name of one actor of class A. Two names are the same when their keys are: keep them as constants."""

    key: str


class Registry:
    """Names and the living who have them."""

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[str, Ref[Actor]] = {}

    def register(self, name: Name[A], ref: Ref[A]) -> Lease:
        """Give `name` to `ref`, until the lease is cancelled. Raises NameTaken."""
        if name.key in self._refs:
            raise NameTaken(name.key)
        self._refs[name.key] = ref
        return Lease(self._refs, name.key)

    def find(self, name: Name[A]) -> Ref[A] | None:
        """Return who has `name` now."""
        return self._refs.get(name.key)  # type: ignore[return-value] # `register` put a Ref[A] under a Name[A]


class Lease:
    """A name that is taken."""

    __slots__ = ("_key", "_refs")

    def __init__(self, refs: dict[str, Ref[Actor]], key: str) -> None:
        self._refs = refs
        self._key = key

    def cancel(self) -> None:
        """Give the name back."""
        self._refs.pop(self._key, None)
