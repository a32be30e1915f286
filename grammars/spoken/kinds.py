"""One value of a known kind into words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grammars.spoken import values
from grammars.spoken.free_text import normalise

KINDS: Mapping[str, Callable[[str], str]] = {
    "": normalise,
    "date": values.say_date,
    "time": values.say_time,
    "money": values.say_money,
    "number": values.say_number,
    "ordinal": values.say_ordinal,
    "digits": values.say_digits,
    "phone": values.say_phone,
}
"""The kinds that a part of a prompt may name."""


def verbalise(text: str, kind: str = "") -> str:
    """Return `text` as words, read as a value of `kind`; what is no such value is read as free text. Never raises.

    >>> verbalise("2026-03-03", "date"), verbalise("next week", "date")
    ('March third twenty twenty six', 'next week')
    """
    try:
        return KINDS.get(kind, normalise)(text)
    except ValueError:
        return normalise(text)
