"""A running tree as an actor sees it: the others by path and by name, and all of them as data.

One event loop, one thread. Times come from the loop and chance from `entropy`, so a virtual loop and a seed reproduce
a run.
"""

from __future__ import annotations

from typing import Final, TypeVar

from supervisors import census
from supervisors.cell import Cell, Life, Shared
from supervisors.census import Census
from supervisors.errors import NoSuchChild
from supervisors.ref import Ref, expect
from supervisors.registry import Name

L = TypeVar("L", bound=Life)


class System(Shared):
    """What one running tree shares, and how to find who is in it."""

    __slots__ = ("root",)

    root: Cell

    def ref(self, path: str, cls: type[L]) -> Ref[L]:
        """Return the child at `path` ("links/zmq"). Raises NoSuchChild; TypeError when its actor is no `cls`."""
        cell = self.root
        for id in path.split("/"):
            if cell._children is None or id not in cell._children:
                raise NoSuchChild(path)
            cell = cell._children[id]
        return expect(cell, cls)

    def find(self, name: Name[L]) -> Ref[L] | None:
        """Return who has registered `name`."""
        return self.registry.find(name.key)  # type: ignore[return-value] # an actor registers under a name of its class

    def census(self) -> Census:
        """Return the whole tree as data; its `str` is a page for people."""
        return census.tree(self.root)


RUNNING: Final[set[System]] = set()
"""The trees that run in this process, for the watchdog: it has no other way from a loop to them."""
