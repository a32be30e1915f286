"""What a line of the log must not have is taken out of it, whatever its writer has put in, and at every level.

That is telephone numbers, users of SIP addresses, passwords and tokens, and what callers have said. Two tables and the
shapes of values decide. An event that is in no table becomes `undeclared`, and a field `[undeclared]`. Of those that
are, each may only be what its row says (`log_fields.tsv`):

    id, name    letters, digits and `._:/-`, without a space      else [words]; a telephone number: [number]
    measure     a number, or true and false                       else [words]
    text        a sentence of ours or of a library's              without what its shape gives away, below
    traceback   the same; lines of our own source are as they are

What a text gives away: `sip:[user]@host`, `[number]` for 7 digits and more that are no date, address of a machine or
part of a hexadecimal name, `[secret]` for what has the shape of one, and `[...]` for what stands in quotes and has
not the form of a name: a library quotes what it did not like, and that may be a caller's word. What no shape tells is
a word of a caller's in a text without quotes, and a secret that is given for an `id`: nobody may write these.

A part of the launcher, too: the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from functools import lru_cache
from typing import Any, Final

from nodes.telemetry.log_table import FieldKind, log_events, log_fields

UNDECLARED: Final = "[undeclared]"
WORDS: Final = "[words]"
NUMBER: Final = "[number]"
SECRET: Final = "[secret]"
QUOTED: Final = "[...]"
EVENT: Final = "undeclared"
MOST_CHARS: Final = 4000
"""Of a text; what a library says is not longer."""
MOST_COUNT: Final = 1_000_000
"""Up to here a number is written in a field that nobody has declared: it has less than seven digits."""

_REMEMBERED: Final = 1024
"""So many values are remembered with what is written of them: ids come again and again, and so do errors."""

_NAME: Final = re.compile(r"[\w.:/*>$+-]{1,200}")
_DOTTED: Final = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_SEPARATOR: Final = r"[\s().\-/\u00b7\u2010-\u2015]{0,2}"
_DATE: Final = r"(?:19|20)\d\d[-/]?[01]\d[-/]?[0-3]\d"
_CLOCK: Final = r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?|T\d{6})(?:Z|[+-]\d\d:?\d\d)?"
_BYTE: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_KEPT: Final = rf"(?:{_DATE}(?:{_CLOCK})?|\d\d:\d\d:\d\d(?:[.,]\d+)?|(?:{_BYTE}\.){{3}}{_BYTE}(?::\d{{1,5}})?)"
"""A date with its time, a time of day, or the address of a machine with a port: no telephone number."""
_SEVEN: Final = re.compile(rf"\d(?:{_SEPARATOR}\d){{6}}|\+\d{{5}}")
"""What has none of this has no number: a quick look before the long one."""
_DIGITS: Final = re.compile(
    rf"(?<![0-9A-Za-z.+])(?P<kept>{_KEPT})(?![0-9A-Za-z]|[.\-/ ]\d)"
    rf"|\+?(?<![0-9A-Fa-f])\(?\d(?:{_SEPARATOR}\d){{6,}}(?![0-9A-Fa-f])"
    r"|\+\d{5,}"
    r"|(?P<mixed>[0-9A-Za-z]*\d{7}[0-9A-Za-z]*)"
)  # fmt: skip
_NOT_HEX: Final = re.compile(r"[g-zG-Z]")
_USER: Final = re.compile(r"(?i)(\bsips?:)[^@\s<>\"]*@|\btel:[^\s<>\"]+|[^\s<>\"'(,;/@]+@")
_SECRET: Final = re.compile(
    r"(?i:\b(?:password|passwd|secret|token|authorization|cookie|seed)['\"]?\s*[=:]\s*['\"]?(?=\S*[\d=_+/-])\S{6,})"
    r"|(?i:\b(?:bearer|basic)\s+\S{6,})"
    r"|\b[A-Z2-7]{40,}|\b[0-9a-fA-F]{41,}"
)
_RUN: Final = re.compile(r"[A-Za-z0-9_+=-]{20,}")
_LONG: Final = re.compile(r"[A-Za-z0-9_+=-]{20}|(?i:passw|secret|token|authoriz|cookie|seed|bearer|basic)")
_QUOTE: Final = re.compile("['\"`\u2018\u201c\u00ab]")
_QUOTED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?P<q>['\"`])(?P<in>(?:\\.|(?!(?P=q)).)*)(?P=q)(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])['\"](?=\S).*|[\u2018\u201c\u00ab].*?[\u2019\u201d\u00bb]",
    re.DOTALL,
)
_NAMED: Final = re.compile(r"(?=.*[0-9._/:])[\w./:*>$-]+")
"""The form of a name of ours in quotes: a path, a key, a subject. A plain word is none."""
_FRAME: Final = re.compile(r'\s*(\|\s*)?File "[^"]+", line \d+(, in \S+)?|\S+\.py:\d+ in \S+')


def redact(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a line that may be written; fields without a value are left out. A processor of structlog's."""
    kept: dict[str, Any] = {}
    for name, value in line.items():
        if name == "event":
            kept[name] = event_of(value)
        elif value is not None:
            kept[str(name)] = field(name, value)
    return kept


def event_of(name: object) -> str:
    """Return an event's name; another one's, where it is none.

    >>> event_of("call.answered"), event_of("she said yes")
    ('call.answered', 'undeclared')
    """
    return str(name) if name in log_events() or (isinstance(name, str) and _DOTTED.fullmatch(name)) else EVENT


def field(name: str, value: object) -> object:
    """Return what may be written of a field.

    >>> field("call_id", "spring-a4ee2b-2"), field("words", "yes, please"), field("why", "to sip:+4930@192.0.2.1")
    ('spring-a4ee2b-2', '[undeclared]', 'to sip:[user]@192.0.2.1')
    """
    if value is None or isinstance(value, bool):
        return value
    row = log_fields().get(name)
    if row is None:
        return value if isinstance(value, int | float) and abs(value) < MOST_COUNT else UNDECLARED
    return _OF_KIND[row.kind](value)


@lru_cache(_REMEMBERED)
def text(value: str) -> str:
    """Return a text without what its shape gives away.

    >>> text("KeyError: 'Miller', asked by (202) 555-0100 at 2026-03-03T10:00:00Z from 192.0.2.1:5060")
    'KeyError: [...], asked by [number] at 2026-03-03T10:00:00Z from 192.0.2.1:5060'
    """
    value = value[:MOST_CHARS]
    if "@" in value or "tel:" in value.lower():
        value = _USER.sub(_without_user, value)
    if _LONG.search(value):
        value = _RUN.sub(_without_secret, _SECRET.sub(SECRET, value))
    if _QUOTE.search(value):
        value = _QUOTED.sub(_without_quoted, value)
    return _without_numbers(value)


def _without_numbers(value: str) -> str:
    return _DIGITS.sub(_without_number, value) if _SEVEN.search(value) else value


def _without_user(found: re.Match[str]) -> str:
    return f"{found[1]}[user]@" if found[1] else "[user]@" if found[0].endswith("@") else NUMBER


def _without_secret(found: re.Match[str]) -> str:
    return SECRET if _is_secret(found[0]) else found[0]


def _is_secret(run: str) -> bool:
    """Say whether letters look drawn by lot: both cases, and digits or as many capitals as no name has."""
    n_upper = sum(map(str.isupper, run))
    if not n_upper or not any(map(str.islower, run)):
        return False
    return 4 * n_upper > len(run) or any(not one.isalpha() for one in run)


def _without_quoted(found: re.Match[str]) -> str:
    inside = found["in"]
    if inside is not None and (not inside or _NAMED.fullmatch(inside)):
        return found[0]
    return QUOTED


def _without_number(found: re.Match[str]) -> str:
    if found["kept"] or (found["mixed"] and not _NOT_HEX.search(found["mixed"])):
        return found[0]
    return NUMBER


def _each(of_one: Callable[[object], object]) -> Callable[[object], object]:
    def of_all(value: object) -> object:
        if isinstance(value, list | tuple | set | frozenset):
            return [of_one(one) for one in value]
        if isinstance(value, dict):
            return {str(_name(key)): of_one(one) for key, one in value.items()}
        return of_one(value)

    return of_all


def _name(value: object) -> object:
    if isinstance(value, int | float):
        return value if abs(value) < MOST_COUNT else NUMBER
    return _name_of(str(value))


@lru_cache(_REMEMBERED)
def _name_of(told: str) -> str:
    return _without_numbers(told) if _NAME.fullmatch(told) else told and WORDS


def _measure(value: object) -> object:
    return value if isinstance(value, int | float) else WORDS


def _text(value: object) -> object:
    if isinstance(value, int | float):
        return value if abs(value) < MOST_COUNT else NUMBER
    return text(str(value))


def _traceback(value: object) -> object:
    if isinstance(value, list | tuple):
        return list(_lines([str(one) for one in value]))
    return "\n".join(_lines(str(value).splitlines()))


def _lines(lines: list[str]) -> Iterator[str]:
    """Yield a traceback's lines: after a frame comes our source, and all else is what somebody has said."""
    is_source = False
    for line in lines:
        is_frame = bool(_FRAME.fullmatch(line))
        yield line if is_frame or is_source else text(line)
        is_source = is_frame


_OF_KIND: Final[dict[FieldKind, Callable[[object], object]]] = {
    FieldKind.ID: _each(_name),
    FieldKind.NAME: _each(_name),
    FieldKind.MEASURE: _each(_measure),
    FieldKind.TEXT: _each(_text),
    FieldKind.TRACEBACK: _traceback,
}

__all__ = ["EVENT", "NUMBER", "QUOTED", "SECRET", "UNDECLARED", "WORDS", "event_of", "field", "redact", "text"]
