"""Points in time inside plain data: which fields are such, and the same data in the time of another machine's clock.

A moment is seconds on the monotonic clock of the machine that wrote it. That clock begins somewhere at each boot, so to
another machine it means nothing until somebody who knows the difference of the two clocks has moved it. A length of
time (`ring_s`) means the same everywhere. Both are floats whose names end in `_s`, so the type says which it is.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args, get_type_hints

from protocols.replacing import replace

_MARK: Final = "moment"
Moment: TypeAlias = Annotated[float, _MARK]
"""A point in time; 0.0, where a field begins so, and None: not yet."""
HARDLY_S: Final = 1e-9
"""What a moment becomes that would be 0.0 on another clock: it has been, and must not read as 'not yet'."""
T = TypeVar("T")


def shifted(value: T, by_s: float) -> T:
    """Return the same with every moment in it later by `by_s` seconds: as a clock that is ahead by so much shows it.

    `value`: a dataclass, or a tuple of them, with others in their fields; what is no dataclass is returned as it is.
    """
    moved: Any = _shifted(value, by_s)
    return moved  # type: ignore[no-any-return]


@cache
def moments_of(kind: type) -> frozenset[str]:
    """Return the names of a dataclass's fields that are moments."""
    hints = get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _MARK in _marks(hint))


def _shifted(value: Any, by_s: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_shifted(one, by_s) for one in value) if value else value
    kind: Any = type(value)
    changes = {}
    for name, is_moment in _fields_of(kind):
        before = getattr(value, name)
        after = _moved(before, by_s) if is_moment else _shifted(before, by_s)
        if after is not before:
            changes[name] = after
    return replace(value, **changes) if changes else value


@cache
def _fields_of(kind: type) -> tuple[tuple[str, bool], ...]:
    """Return a dataclass's fields, and which are moments; of another type nothing."""
    return tuple((one.name, one.name in moments_of(kind)) for one in fields(kind)) if is_dataclass(kind) else ()


def _moved(at_s: float | None, by_s: float) -> float | None:
    return (at_s + by_s or HARDLY_S) if at_s else at_s


def _marks(hint: object) -> list[object]:
    """Return what a type and the members of its union are annotated with."""
    return [mark for one in (hint, *get_args(hint)) for mark in getattr(one, "__metadata__", ())]


__all__ = ["HARDLY_S", "Moment", "moments_of", "shifted"]
