"""Tables of a TOML document as frozen dataclasses: every key known, every value of its type and within its range.

What it does: strings, numbers, booleans, paths, choices (`Literal`), lists (`tuple`), tables, also of names that are
free (`dict`), and arrays of tables.
What it does not: defaults and meanings, which are the dataclass's own. A range is the field's `metadata["range"]`, both
ends allowed; a dataclass refuses what its fields cannot say with a `ValueError` from `__post_init__`.
"""

from __future__ import annotations

import tomllib
import types
from collections.abc import Iterable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from nodes.bounds import DEEPEST, is_too_deep
from nodes.errors import NodeError

T = TypeVar("T")

LAST_PORT: Final = 65_535
MAX_TEXT: Final = 100_000
"""Characters of a TOML document; a configuration with a dozen trunks has 3,000."""


class ConfigError(NodeError):
    """The configuration cannot be used: `file`, `key` (dotted, empty for the whole file) and `reason` say why."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")
        self.file, self.key, self.reason = file, key, reason


def within(default: float, low: float, high: float) -> Any:
    """Return a dataclass's field that is a number, and its range, both ends allowed."""
    return field(default=default, metadata={"range": (low, high)})


def a_port(default: int) -> Any:
    """Return a dataclass's field that is a port; 0 is any free one."""
    return within(default, 0, LAST_PORT)


def several(default: str = "") -> Any:
    """Return a dataclass's field that is one string, or a list of them, which then is one with commas."""
    return field(default=default, metadata={"joined": ","})


def toml(text: str, file: str) -> dict[str, Any]:
    """Return the document. Raises: `ConfigError` for what is not TOML, or is longer or deeper than settings can be."""
    if len(text) > MAX_TEXT:
        raise ConfigError(file, "", f"has more than {MAX_TEXT} characters")
    if is_too_deep(text.encode(errors="replace")):
        raise ConfigError(file, "", f"nests deeper than {DEEPEST} levels")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(file, "", f"is not TOML: {error}") from error


class Reader:
    """Values of a TOML document as the types that the dataclasses declare."""

    def __init__(self, file: str, base: Path) -> None:
        self._file, self._base = file, base

    def table(self, cls: type[T], given: object, key: str) -> T:
        """Build a dataclass from a table, all fields checked."""
        given = dict(self._items(given, key))
        hints, known = _hints(cls), fields(cls)  # type: ignore[arg-type]  # T is a dataclass here
        for name in given.keys() - {one.name for one in known}:
            raise ConfigError(self._file, _join(key, name), f"is not known{_suggest(name, [f.name for f in known])}")
        values = {one.name: self._field(one, hints[one.name], given, key) for one in known}
        try:
            return cls(**values)
        except ValueError as error:
            raise ConfigError(self._file, key, str(error)) from error

    def _field(self, one: Field[Any], wanted: Any, given: dict[str, object], key: str) -> object:
        key = _join(key, one.name)
        if one.name in given:
            value = given[one.name]
            if "joined" in one.metadata and isinstance(value, list):
                value = one.metadata["joined"].join(self._value(tuple[str, ...], value, key))
            value = self._value(wanted, value, key)
            low, high = one.metadata.get("range", (float("-inf"), float("inf")))
            if "range" in one.metadata and not low <= value <= high:
                raise ConfigError(self._file, key, f"{value} is not between {low} and {high}")
            return value
        if is_dataclass(wanted):
            return self.table(wanted, {}, key)  # type: ignore[arg-type]  # a class, not an instance
        if one.default_factory is not MISSING:
            return one.default_factory()
        if one.default is MISSING:
            raise ConfigError(self._file, key, "is missing")
        return (self._base / one.default).resolve() if isinstance(one.default, Path) else one.default

    def _value(self, wanted: Any, given: object, key: str) -> Any:
        if is_dataclass(wanted):
            return self.table(wanted, given, key)  # type: ignore[arg-type]  # a class, not an instance
        if get_origin(wanted) is types.UnionType:  # `Path | None`: TOML has no null, so a value is the first of them
            return self._value(get_args(wanted)[0], given, key)
        if get_origin(wanted) is tuple:
            return self._tuple(get_args(wanted), given, key)
        if get_origin(wanted) is dict:
            return {
                name: self._value(get_args(wanted)[1], one, _join(key, name)) for name, one in self._items(given, key)
            }
        if get_origin(wanted) is Literal:
            return self._choice(get_args(wanted), given, key)
        if wanted is Path:
            return (self._base / Path(self._plain(str, given, key)).expanduser()).resolve()
        if wanted is float and type(given) is int:
            return float(given)
        return self._plain(getattr(wanted, "__supertype__", wanted), given, key)

    def _plain(self, wanted: type[T], given: object, key: str) -> T:
        if type(given) is not wanted:
            raise ConfigError(self._file, key, f"is {_named(given)}, not {_TYPES[wanted]}")
        return given

    def _items(self, given: object, key: str) -> Iterable[tuple[str, object]]:
        if not isinstance(given, dict):
            raise ConfigError(self._file, key, f"is {_named(given)}, not a table")
        return given.items()

    def _choice(self, choices: tuple[str, ...], given: object, key: str) -> object:
        if given not in choices:
            raise ConfigError(self._file, key, f"is {given!r}, not one of {', '.join(choices)}")
        return given

    def _tuple(self, wanted: tuple[Any, ...], given: object, key: str) -> tuple[Any, ...]:
        if not isinstance(given, list):
            raise ConfigError(self._file, key, f"is {_named(given)}, not a list")
        if wanted[-1] is not ... and len(given) != len(wanted):
            raise ConfigError(self._file, key, f"has {len(given)} values, not {len(wanted)}")
        return tuple(self._value(wanted[0], one, f"{key}[{index}]") for index, one in enumerate(given))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


_TYPES: Final = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _named(given: object) -> str:
    names = {**_TYPES, dict: "a table", list: "a list"}
    return names.get(type(given), type(given).__name__)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _suggest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


__all__ = ["LAST_PORT", "MAX_TEXT", "ConfigError", "Reader", "a_port", "several", "toml", "within"]
