"""How somebody's number or address may stand in bytes: the pattern by which a search finds every written form of it.

A number is found with and without `+` and country, as part of a `tel:` or `sip:` URI, and with what people put between
digits; so what is looked for is its national part. Patterns are of the syntax that Python and RE2 (DuckDB) share.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.sip.callee import callee

_ONE: Final = ("1", "7")
_TWO: Final = frozenset(
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 "
    "91 92 93 94 95 98".split()
)
"""Country codes of two digits; those of one are `_ONE`, all others have three. Source: ITU-T E.164, list of 2016."""
_PORT: Final = re.compile(r":\d+\Z")
BETWEEN: Final = r"[ ().\-/]{0,3}"


def pattern_of(target: str) -> str:
    r"""Return the pattern of whoever answers at a target.

    >>> bool(re.search(pattern_of("+12025550100"), "call (202) 555-0100 today"))
    True
    >>> pattern_of("sip:ann@pbx.example")
    'ann@pbx\\.example'
    """
    who = callee(target)
    if not who.startswith("+"):
        return pattern_of_words(_PORT.sub("", who.removeprefix("sip:")))
    return BETWEEN.join(national(who))


def pattern_of_words(words: str) -> str:
    """Return the pattern of a text as it stands, however many blanks are in it; searches do not look at case."""
    return r"\s+".join(map(_escaped, words.lower().split()))


def national(number: str) -> str:
    """Return a number without its country.

    >>> national("+4930123456"), national("+12025550100"), national("+37112345678")
    ('30123456', '2025550100', '12345678')
    """
    digits = number.lstrip("+")
    length = 1 if digits.startswith(_ONE) else 2 if digits[:2] in _TWO else 3
    return digits[length:]


def _escaped(word: str) -> str:
    """Return the pattern of a word in lower case; bytes are made so only where they are ASCII."""
    return "".join(map(_of_character, word))


def _of_character(one: str) -> str:
    if one.isascii():
        return one if one.isalnum() or one in "_@-" else f"\\{one}"
    return one if one == one.upper() else f"(?:{one}|{one.upper()})"


__all__ = ["national", "pattern_of", "pattern_of_words"]
