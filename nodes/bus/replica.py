"""Somebody else's things as this process knows them: what was told just now, put right by the bucket's copy. Pure.

A thing's writer tells each change twice (`view.py`): as a delta, which comes at once or never, and in the bucket, which
comes late and always. Both have `rev`, and the higher one holds, so that a copy never takes back what a delta has said.
Only a deleted key has none. Where a delta has said more than the bucket by then, both may be right: the key may have
been used again, and then its copy is on its way. So the thing is kept for `DOUBT_S`, and goes if no copy comes. A delta
that nothing confirms is not believed for longer than `CONFIRM_S`: its writer has died before the bucket had it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Body: TypeAlias = dict[str, Any]

DOUBT_S: Final = 2.0
CONFIRM_S: Final = 30.0
"""The election of a leader of the bucket takes 4 to 7 s."""


@dataclass(slots=True)
class _Thing:
    """`body`: None once it is no more. `until`: when it is forgotten unless the bucket says more; None: it is there."""

    rev: int
    body: Body | None
    until: float | None


class Replica:
    """The things of one kind, by key. `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self.things: dict[str, Body] = {}
        """What there is."""
        self._known: dict[str, _Thing] = {}

    def delta(self, key: str, body: Body, now: float) -> bool:
        """Take a change that was told to everybody; `{"gone": true, "rev": n}` says that a thing is no more.

        Returns whether it was news.
        """
        rev, known = _rev(body), self._known.get(key)
        if known is not None and rev <= known.rev:
            return False
        self._keep(key, _Thing(rev, None if body.get("gone") else body, now + CONFIRM_S))
        return True

    def copy(self, key: str, body: Body | None, now: float) -> bool:
        """Take what the bucket says of a key, None: it was deleted; return whether it was news."""
        known = self._known.get(key)
        if body is not None:
            if known is not None and _rev(body) < known.rev:
                return False
            self._keep(key, _Thing(_rev(body), body, None))
            return known is None or _rev(body) > known.rev
        if known is None or known.body is None:
            return False
        if known.until is not None:
            known.until = min(known.until, now + DOUBT_S)
            return False
        self._keep(key, _Thing(known.rev, None, now + CONFIRM_S))
        return True

    def sweep(self, now: float) -> None:
        """Forget what nothing has confirmed in time."""
        for key, known in list(self._known.items()):
            if known.until is not None and known.until <= now:
                del self._known[key]
                self.things.pop(key, None)

    def _keep(self, key: str, thing: _Thing) -> None:
        self._known[key] = thing
        if thing.body is None:
            self.things.pop(key, None)
        else:
            self.things[key] = thing.body


def _rev(body: Body) -> int:
    """Return a body's number; 0 for one that has none, or none that is one: whatever else is known holds."""
    rev = body.get("rev")
    return rev if isinstance(rev, int) else 0


__all__ = ["CONFIRM_S", "DOUBT_S", "Body", "Replica"]
